//! A user's account as a SCIM resource, and what a resource makes of an account.

use chrono::SecondsFormat;
use kernel::TenantId;
use scim::patch::{self, Operation, Target};
use scim::resource::{Email, Mailbox, Meta, Name};
use scim::{Error, Projection, ScimType, User};
use secrecy::SecretString;
use serde_json::Value;
use tenancy::Role;
use tenancy::user::directory::{Account, Change};
use tenancy::user::{NewUser, UserChange};

use super::answer::{Resource, tag};

/// Where a user is.
pub(super) fn location(tenant_id: TenantId, account: &Account) -> String {
    format!("{}/Users/{}", super::base(tenant_id), account.user.id)
}

/// All of the resource.
pub(super) fn resource(tenant_id: TenantId, account: &Account) -> Value {
    let created = account.user.created_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let meta = Meta {
        // When a user changed is in the trail alone; one in their first version has not (RFC 7643 §3.1).
        last_modified: (account.version == 1).then(|| created.clone()),
        created,
        location: location(tenant_id, account),
        version: tag(account.version),
    };
    shown(account).to_resource(&account.user.id.to_string(), &meta)
}

/// The answer that shows it.
pub(super) fn answer(tenant_id: TenantId, account: &Account, projection: &Projection) -> Resource {
    let body = projection.apply(resource(tenant_id, account));
    Resource { version: account.version, created_at: None, body }
}

fn shown(account: &Account) -> User {
    let user = &account.user;
    let parts: Vec<&str> =
        [&user.given_name, &user.family_name].into_iter().filter_map(|part| part.as_deref()).collect();
    let name = Name {
        formatted: Some(parts.join(" ")),
        given_name: user.given_name.clone(),
        family_name: user.family_name.clone(),
    };
    let primary =
        Email { value: user.address.clone(), kind: Some("work".into()), primary: true, ..Email::default() };
    let other =
        |alias: &String| Email { value: alias.clone(), kind: Some("other".into()), ..Email::default() };
    User {
        external_id: user.external_id.clone(),
        user_name: user.address.clone(),
        display_name: Some(user.display_name.clone()),
        name: (!parts.is_empty()).then_some(name),
        active: Some(account.may_sign_in()),
        emails: std::iter::once(primary).chain(user.aliases.iter().map(other)).collect(),
        mailbox: Some(Mailbox {
            quota_bytes: account.quota_bytes,
            aliases: user.aliases.clone(),
            role: Some(user.role.to_string()),
        }),
        ..User::default()
    }
}

/// The user that a POST makes, and whether they may sign in.
pub(super) fn new_user(body: &Value) -> Result<(NewUser, bool), Error> {
    let user = User::read(body)?;
    let mailbox = user.mailbox.clone().unwrap_or_default();
    let mut aliases = Vec::new();
    let given = addresses(&user).chain(mailbox.aliases.iter().map(String::as_str));
    given.for_each(|address| add(&mut aliases, address, &user.user_name));
    let new = NewUser {
        display_name: display_name(&user),
        aliases,
        role: mailbox.role.as_deref().map_or(Ok(Role::User), role)?,
        password: password_of(&user),
        quota_bytes: mailbox.quota_bytes,
        external_id: present(&user.external_id),
        given_name: given_name(&user),
        family_name: family_name(&user),
        address: user.user_name,
    };
    Ok((new, user.active.unwrap_or(true)))
}

/// The password that a resource brings.
pub(super) fn password_of(user: &User) -> Option<SecretString> {
    user.password.as_ref().map(|password| SecretString::from(password.expose()))
}

/// The password that a PATCH sets.
pub(super) fn patched_password(operations: &[Operation]) -> Option<SecretString> {
    let set = operations.iter().rev().find_map(|operation| match &operation.target {
        Target::Attribute { path, .. } if path.name.eq_ignore_ascii_case("password") => {
            operation.value.as_ref()?.as_str()
        }
        _ => None,
    });
    set.map(SecretString::from)
}

/// What a PUT makes of an account. Of what it does not mention, names are taken away and the rest stays as it is, which
/// RFC 7644 §3.5.1 leaves to the server: a directory that does not know of aliases is not to remove them.
pub(super) fn replaced(account: &Account, body: User) -> Result<Change, Error> {
    let mut before = shown(account);
    let after = User {
        external_id: body.external_id.clone().or_else(|| before.external_id.clone()),
        mailbox: body.mailbox.clone().or_else(|| before.mailbox.clone()),
        ..body
    };
    before.emails.clear();
    changed(&before, &after)
}

/// What a PATCH makes of an account.
pub(super) fn patched(
    tenant_id: TenantId,
    account: &Account,
    operations: &[Operation],
) -> Result<Change, Error> {
    let mut resource = resource(tenant_id, account);
    patch::apply(&mut resource, operations)?;
    changed(&shown(account), &User::read(&resource)?)
}

fn changed(before: &User, after: &User) -> Result<Change, Error> {
    let (had, has) = (before.mailbox.clone().unwrap_or_default(), after.mailbox.clone().unwrap_or_default());
    let renamed = before.user_name != after.user_name;
    let named = Some(display_name(after)).filter(|name| !name.is_empty());
    let display_name = named.unwrap_or_else(|| after.user_name.clone());
    let role = has.role.as_deref().filter(|role| had.role.as_deref() != Some(role)).map(role).transpose()?;
    let user = UserChange {
        address: renamed.then(|| after.user_name.clone()),
        aliases: aliases(before, after, &had.aliases, &has.aliases),
        display_name: (before.display_name.as_ref() != Some(&display_name)).then_some(display_name),
        given_name: differing(given_name(before), given_name(after)),
        family_name: differing(family_name(before), family_name(after)),
        role,
        external_id: differing(present(&before.external_id), present(&after.external_id)),
    };
    Ok(Change { user, may_sign_in: after.active, quota_bytes: differing(had.quota_bytes, has.quota_bytes) })
}

/// Directories send an empty text, or blanks, for what they do not have.
fn present(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| kernel::is_visible(text))
}

fn given_name(user: &User) -> Option<String> {
    present(&user.name.as_ref()?.given_name)
}

fn family_name(user: &User) -> Option<String> {
    present(&user.name.as_ref()?.family_name)
}

fn differing<T: PartialEq>(before: T, after: T) -> Option<T> {
    (before != after).then_some(after)
}

/// The further addresses, if they change. They are shown in two places, and each may be changed: what was taken out of
/// either goes, what was put into either comes. A former primary address stays, so that mail to it arrives.
fn aliases(before: &User, after: &User, had: &[String], has: &[String]) -> Option<Vec<String>> {
    let is_in = |list: &[String], address: &str| list.iter().any(|other| other == address);
    let is_mailed = |user: &User, address: &str| user.emails.iter().any(|email| email.value == address);
    let is_taken_out =
        |address: &str| (is_mailed(before, address) && !is_mailed(after, address)) || !is_in(has, address);
    let mut next: Vec<String> = Vec::new();
    had.iter().filter(|alias| !is_taken_out(alias)).for_each(|alias| add(&mut next, alias, &after.user_name));
    let put_in = addresses(after).filter(|address| !is_mailed(before, address));
    let put_in = put_in.chain(has.iter().map(String::as_str).filter(|alias| !is_in(had, alias)));
    put_in.for_each(|address| add(&mut next, address, &after.user_name));
    add(&mut next, &before.user_name, &after.user_name);
    (next != had).then_some(next)
}

/// The mailbox's addresses among a user's: one at home is elsewhere.
fn addresses(user: &User) -> impl Iterator<Item = &str> {
    let is_home =
        |email: &&Email| email.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("home"));
    user.emails.iter().filter(move |email| !is_home(email)).map(|email| email.value.as_str())
}

/// Adds an address to the further ones, unless it is the primary one or among them.
fn add(aliases: &mut Vec<String>, address: &str, primary: &str) {
    if address != primary && !aliases.iter().any(|other| other == address) {
        aliases.push(address.to_owned());
    }
}

/// The name for others; empty if there is none to be made.
fn display_name(user: &User) -> String {
    let formatted = || present(&user.name.as_ref()?.formatted);
    let parts = || [given_name(user), family_name(user)].into_iter().flatten().collect::<Vec<_>>();
    present(&user.display_name).or_else(formatted).unwrap_or_else(|| parts().join(" "))
}

fn role(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|_| Error::new(ScimType::InvalidValue, "role is not the name of a role"))
}
