//! Users and groups as typed values. RFC 7643 §4.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::schema::{GROUP, GROUP_URN, MAILBOX_URN, Schema, USER, USER_URN};
use crate::{Error, canonical};

/// A user. Reading takes any case of a name, ignores what it does not know, and is strict about types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The server's id; what a client sends is ignored by those who create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The sign-in address, in its one spelling; never empty once read.
    pub user_name: String,
    /// The name shown to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The person's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Whether the user may sign in; `None` if the client did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// A password to set. Never written out.
    #[serde(skip_serializing)]
    pub password: Option<Password>,
    /// The addresses, at most one of them primary. Those without a value are left out when read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<Email>,
    /// The client's roles. Those without a value are left out when read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The groups; read-only, so what a client sends is to be ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRef>,
    /// Our extension.
    #[serde(
        rename = "urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User",
        skip_serializing_if = "Option::is_none"
    )]
    pub mailbox: Option<Mailbox>,
}

/// The parts of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Name {
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formatted: Option<String>,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
}

/// A password that a client sets. Not shown by `Debug`, not written by serde.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// An address of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The address, in its one spelling.
    pub value: String,
    /// What it is for, as `work`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it is the preferred one.
    #[serde(default)]
    pub primary: bool,
    /// The address for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
}

/// A role in the client's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The role.
    pub value: String,
    /// The role for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// What it is for.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it is the main one.
    #[serde(default)]
    pub primary: bool,
}

/// A group that a user belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRef {
    /// The group's id.
    #[serde(default)]
    pub value: String,
    /// The group's URI.
    #[serde(rename = "$ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// `direct`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Our extension of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mailbox {
    /// The limit in bytes, not negative once read; `None`: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<i64>,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The role in the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The server's id; what a client sends is ignored by those who create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The group's name; never empty once read.
    pub display_name: String,
    /// Who belongs to it, each id once when read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id.
    pub value: String,
    /// The member's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// `User` or `Group`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The member's URI.
    #[serde(rename = "$ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// When and where a resource is; the moments as RFC 3339 in UTC, the version as an entity tag with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// When it was created.
    pub created: String,
    /// When it last changed, if that is known.
    pub last_modified: Option<String>,
    /// Its URI.
    pub location: String,
    /// Its entity tag, as `W/"3"`.
    pub version: String,
}

impl User {
    /// Reads a user: the body of a POST or PUT, or what is left of a resource after a PATCH.
    ///
    /// # Errors
    /// `invalidSyntax` if it is no object, says it is something else, or names an attribute twice; `invalidValue`,
    /// with the attribute's name, for a wrong type, a missing `userName`, a negative quota or two primary values.
    pub fn read(resource: &Value) -> Result<Self, Error> {
        let mut object = canonical::resource(&USER, resource.clone())?;
        require(&USER, &object)?;
        for list in ["emails", "roles"] {
            drop_valueless(&mut object, list);
            at_most_one_primary(&object, list)?;
        }
        let user: Self = typed(object, "user")?;
        if user.mailbox.as_ref().and_then(|mailbox| mailbox.quota_bytes).is_some_and(i64::is_negative) {
            return Err(Error::value("quotaBytes must not be negative"));
        }
        Ok(user)
    }

    /// The resource as clients see it, with this id.
    #[must_use]
    pub fn to_resource(&self, id: &str, meta: &Meta) -> Value {
        let mut schemas = vec![USER_URN];
        if self.mailbox.is_some() {
            schemas.push(MAILBOX_URN);
        }
        shown(json!(self), &schemas, id, meta.to_value(USER.name))
    }
}

impl Group {
    /// Reads a group: the body of a POST or PUT, or what is left of a resource after a PATCH.
    ///
    /// # Errors
    /// `invalidSyntax` if it is no object, says it is something else, or names an attribute twice; `invalidValue`,
    /// with the attribute's name, for a wrong type, a missing `displayName` or a member without `value`.
    pub fn read(resource: &Value) -> Result<Self, Error> {
        let object = canonical::resource(&GROUP, resource.clone())?;
        require(&GROUP, &object)?;
        if items(&object, "members").iter().any(|member| !has_value(member)) {
            return Err(Error::value("members.value is required"));
        }
        let mut group: Self = typed(object, "group")?;
        let mut seen = std::collections::HashSet::new();
        group.members.retain(|member| seen.insert(member.value.clone()));
        Ok(group)
    }

    /// The resource as clients see it, with this id.
    #[must_use]
    pub fn to_resource(&self, id: &str, meta: &Meta) -> Value {
        shown(json!(self), &[GROUP_URN], id, meta.to_value(GROUP.name))
    }
}

impl Meta {
    fn to_value(&self, resource_type: &str) -> Value {
        let mut meta = json!({
            "resourceType": resource_type,
            "created": self.created,
            "location": self.location,
            "version": self.version,
        });
        if let Some(last_modified) = &self.last_modified {
            meta["lastModified"] = json!(last_modified);
        }
        meta
    }
}

fn shown(mut resource: Value, schemas: &[&str], id: &str, meta: Value) -> Value {
    resource["schemas"] = json!(schemas);
    resource["id"] = json!(id);
    resource["meta"] = meta;
    resource
}

/// The types are checked already; what serde could still say might quote a value.
fn typed<T: serde::de::DeserializeOwned>(object: Map<String, Value>, what: &str) -> Result<T, Error> {
    serde_json::from_value(Value::Object(object))
        .map_err(|_| Error::syntax(format!("the resource does not read as a {what}")))
}

fn require(core: &Schema, object: &Map<String, Value>) -> Result<(), Error> {
    let missing = core.attributes.iter().find(|attribute| {
        let text = object.get(attribute.name).and_then(Value::as_str).unwrap_or_default();
        attribute.required && text.trim().is_empty()
    });
    missing.map_or(Ok(()), |attribute| Err(Error::value(format!("{} is required", attribute.name))))
}

fn items<'a>(object: &'a Map<String, Value>, list: &str) -> &'a [Value] {
    object.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn has_value(item: &Value) -> bool {
    item.get("value").and_then(Value::as_str).is_some_and(|value| !value.is_empty())
}

/// Entra sets `type` and `primary` of addresses that the directory does not have.
fn drop_valueless(object: &mut Map<String, Value>, list: &str) {
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.retain(has_value);
    }
}

/// RFC 7643 §2.4: `true` appears no more than once.
fn at_most_one_primary(object: &Map<String, Value>, list: &str) -> Result<(), Error> {
    let primary = items(object, list).iter().filter(|item| item["primary"] == Value::Bool(true)).count();
    if primary > 1 { Err(Error::value(format!("{list} has more than one primary value"))) } else { Ok(()) }
}
