//! A group as a SCIM resource, and what a resource makes of a group.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use kernel::TenantId;
use scim::patch::{self, Operation};
use scim::resource::{Member, Meta};
use scim::{Error, Group, Projection, ScimType};
use serde_json::Value;
use tenancy::group::directory::{Change, Entry, Roster};
use tenancy::group::{GroupChange, NewGroup};

use super::answer::{Resource, tag};

/// Where a group is.
pub(super) fn location(tenant_id: TenantId, roster: &Roster) -> String {
    format!("{}/Groups/{}", super::base(tenant_id), roster.group.id)
}

/// All of the resource.
pub(super) fn resource(tenant_id: TenantId, roster: &Roster) -> Value {
    let created = roster.group.created_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let meta = Meta {
        // As for users: when it changed is in the trail alone.
        last_modified: (roster.group.version == 1).then(|| created.clone()),
        created,
        location: location(tenant_id, roster),
        version: tag(roster.group.version),
    };
    shown(tenant_id, roster).to_resource(&roster.group.id.to_string(), &meta)
}

/// The answer that shows it.
pub(super) fn answer(tenant_id: TenantId, roster: &Roster, projection: &Projection) -> Resource {
    let body = projection.apply(resource(tenant_id, roster));
    Resource { version: roster.group.version, created_at: None, body }
}

fn shown(tenant_id: TenantId, roster: &Roster) -> Group {
    let base = super::base(tenant_id);
    let member = |(entry, name): (&Entry, &String)| {
        let (value, kind) = match entry {
            Entry::User(id) => (id.to_string(), "User"),
            Entry::Group(id) => (id.to_string(), "Group"),
        };
        Member {
            reference: Some(format!("{base}/{kind}s/{value}")),
            value,
            display: Some(name.clone()),
            kind: Some(kind.into()),
        }
    };
    Group {
        external_id: roster.group.external_id.clone(),
        display_name: roster.group.display_name.clone(),
        members: roster.entries.iter().map(member).collect(),
        ..Group::default()
    }
}

/// The group that a POST makes, and its members.
pub(super) fn new_group(body: &Value) -> Result<(NewGroup, BTreeSet<Entry>), Error> {
    let group = Group::read(body)?;
    let entries = entries(&group)?;
    let new = NewGroup {
        external_id: present(&group.external_id),
        display_name: group.display_name,
        ..NewGroup::default()
    };
    Ok((new, entries))
}

/// What a PUT makes of a group: its name and members. An `externalId` that it does not mention stays.
pub(super) fn replaced(roster: &Roster, body: &Group) -> Result<Change, Error> {
    let external_id = body.external_id.clone().or_else(|| roster.group.external_id.clone());
    changed(roster, &Group { external_id, ..body.clone() })
}

/// What a PATCH makes of a group.
pub(super) fn patched(
    tenant_id: TenantId,
    roster: &Roster,
    operations: &[Operation],
) -> Result<Change, Error> {
    let mut resource = resource(tenant_id, roster);
    patch::apply(&mut resource, operations)?;
    changed(roster, &Group::read(&resource)?)
}

fn changed(before: &Roster, after: &Group) -> Result<Change, Error> {
    let entries = entries(after)?;
    let external_id = present(&after.external_id);
    let group = GroupChange {
        display_name: (before.group.display_name != after.display_name).then(|| after.display_name.clone()),
        external_id: (before.group.external_id != external_id).then_some(external_id),
        ..GroupChange::default()
    };
    let is_same = entries.iter().eq(before.entries.keys());
    Ok(Change { group, entries: (!is_same).then_some(entries) })
}

/// Clients send an empty text for what is not there.
fn present(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| kernel::is_visible(text))
}

fn entries(group: &Group) -> Result<BTreeSet<Entry>, Error> {
    group.members.iter().map(|member| entry(&member.value)).collect()
}

/// The member that an id names.
pub(super) fn entry(id: &str) -> Result<Entry, Error> {
    if let Ok(id) = id.parse() {
        return Ok(Entry::User(id));
    }
    let group = id.parse().map(Entry::Group);
    let detail = "members.value has to be the id of a user or group";
    group.map_err(|_| Error::new(ScimType::InvalidValue, detail))
}
