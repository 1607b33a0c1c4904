//! The attributes that Pillarbox knows, defined once: filters take case rules from here, PATCH types and
//! mutability, discovery its documents. RFC 7643 §2, §7.

mod definitions;

use serde_json::{Map, Value};

pub use definitions::{COMMON, GROUP, MAILBOX, USER};

/// URN of the core user.
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the core group.
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// URN of the enterprise extension: accepted, and ignored.
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// URN of our own extension of the user.
pub const MAILBOX_URN: &str = "urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User";

/// A schema: a URN and its attributes.
#[derive(Debug)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// What it describes.
    pub description: &'static str,
    /// Its attributes, without the common ones (RFC 7643 §3.1).
    pub attributes: &'static [Attribute],
}

/// An attribute's type. RFC 7643 §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A moment, as RFC 3339 writes it.
    DateTime,
    /// A URI of a resource.
    Reference,
    /// An object of sub-attributes.
    Complex,
}

/// Who may write an attribute, and when. RFC 7643 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The server alone.
    ReadOnly,
    /// Clients, at any time.
    ReadWrite,
    /// Clients, once.
    Immutable,
    /// Clients, at any time; never shown.
    WriteOnly,
}

/// When an attribute is shown. RFC 7643 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Whatever the client asked for.
    Always,
    /// Unless the client asked for others or excluded it.
    Default,
    /// Never.
    Never,
}

/// Among what an attribute's value is unique. RFC 7643 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Nothing.
    None,
    /// The tenant's resources of the type.
    Server,
}

/// The definition of one attribute. RFC 7643 §7.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Its name in its canonical case.
    pub name: &'static str,
    /// Its type, of each value if it has several.
    pub kind: Kind,
    /// Whether it is a list.
    pub multi_valued: bool,
    /// What it means.
    pub description: &'static str,
    /// Whether a resource must have it.
    pub required: bool,
    /// Whether its text is compared to the letter.
    pub case_exact: bool,
    /// Whether its text is a mail address, which is read in its one spelling.
    pub is_address: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is shown.
    pub returned: Returned,
    /// Among what it is unique.
    pub uniqueness: Uniqueness,
    /// The values that are usual; empty if any is.
    pub canonical_values: &'static [&'static str],
    /// The resource types that a reference may name.
    pub reference_types: &'static [&'static str],
    /// What a complex attribute consists of.
    pub sub_attributes: &'static [Attribute],
}

impl Attribute {
    /// The sub-attribute of this name, whatever its case.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&'static Attribute> {
        named(self.sub_attributes, name)
    }
}

/// The schema of this URN, whatever its case; the enterprise extension has none, since it is ignored.
#[must_use]
pub fn by_urn(urn: &str) -> Option<&'static Schema> {
    [&USER, &GROUP, &MAILBOX].into_iter().find(|schema| schema.id.eq_ignore_ascii_case(urn))
}

/// The canonical spelling of a URN that clients may name.
pub(crate) fn known_urn(urn: &str) -> Option<&'static str> {
    [USER_URN, GROUP_URN, MAILBOX_URN, ENTERPRISE_URN]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(urn))
}

/// Whether attributes of this schema stand at the resource's top instead of under their URN.
pub(crate) fn is_core(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(USER_URN) || urn.eq_ignore_ascii_case(GROUP_URN)
}

/// The core schema that a resource says it has; a resource that does not say is a user.
pub(crate) fn of_resource(resource: &Map<String, Value>) -> &'static Schema {
    let listed = field(resource, "schemas").and_then(Value::as_array);
    let is_group = listed.is_some_and(|urns| {
        urns.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(GROUP_URN))
    });
    if is_group { &GROUP } else { &USER }
}

/// The definition of an attribute of a resource with this core schema, or of an extension.
pub(crate) fn attribute_of(
    core: &'static Schema,
    urn: Option<&str>,
    name: &str,
) -> Option<&'static Attribute> {
    match urn {
        Some(urn) if !is_core(urn) => named(by_urn(urn)?.attributes, name),
        _ => named(COMMON, name).or_else(|| named(core.attributes, name)),
    }
}

/// The definition of an attribute when the resource's type is not known: the two core schemas do not disagree.
pub(crate) fn attribute(urn: Option<&str>, name: &str) -> Option<&'static Attribute> {
    attribute_of(&USER, urn, name).or_else(|| attribute_of(&GROUP, urn, name))
}

fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// The field of this name, whatever its case.
pub(crate) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// How an object spells this key, if it has it.
pub(crate) fn spelling(object: &Map<String, Value>, name: &str) -> Option<String> {
    if object.contains_key(name) {
        return Some(name.to_owned());
    }
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}
