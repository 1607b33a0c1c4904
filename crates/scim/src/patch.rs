//! PATCH. RFC 7644 §3.5.2, and what Entra ID and Okta make of it.

mod apply;
mod list;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::path::is_name;
use crate::schema;
use crate::{AttrPath, Error, Filter};

pub use apply::apply;

/// The URN of the message.
pub const PATCH_OP_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations in one request.
pub const MAX_OPERATIONS: usize = 100;
/// The most changes that the operations may come to, after those without a path are taken apart.
pub const MAX_CHANGES: usize = 1000;
/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = crate::filter::MAX_LENGTH_BYTES;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Adds to a list, or sets.
    Add,
    /// Sets.
    Replace,
    /// Takes away.
    Remove,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An attribute: `name`, `name.sub`, `name[filter]` or `name[filter].sub`, with or without a URN.
    Attribute {
        /// The attribute and its sub-attribute.
        path: AttrPath,
        /// Which of its values.
        filter: Option<Filter>,
    },
    /// Everything under the URN of an extension.
    Extension(String),
}

/// One change. An operation without a path becomes as many as its value has attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What it does.
    pub op: Op,
    /// To what.
    pub target: Target,
    /// With what; `None` if there was none.
    pub value: Option<Value>,
}

impl Target {
    /// Reads a path of RFC 7644 §3.5.2.
    ///
    /// # Errors
    /// `invalidPath` if it is malformed, `invalidFilter` if what stands in brackets is.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_PATH_BYTES {
            return Err(Error::path(format!("the path is longer than {MAX_PATH_BYTES} bytes")));
        }
        let text = text.trim();
        if let Some(urn) = schema::known_urn(text) {
            // RFC 7644 §3.10: a URN alone is an extension's whole object; of the core schema there is no such object.
            return if schema::is_core(urn) {
                Err(Error::path("the path names a schema and no attribute"))
            } else {
                Ok(Self::Extension(urn.to_owned()))
            };
        }
        let Some((before, bracket)) = text.split_once('[') else {
            return Ok(Self::Attribute { path: AttrPath::parse(text)?, filter: None });
        };
        let Some((inside, after)) = bracket.rsplit_once(']') else {
            return Err(Error::path("the path's bracket is not closed"));
        };
        let mut path = AttrPath::parse(before)?;
        let filter = Filter::parse(inside)?;
        if path.sub.is_some() || has_value_path(&filter) {
            return Err(Error::path("brackets follow an attribute, and do not nest"));
        }
        path.sub = match after.strip_prefix('.') {
            Some(sub) if is_name(sub) => Some(sub.to_owned()),
            None if after.is_empty() => None,
            _ => return Err(Error::path("only a sub-attribute may follow the brackets")),
        };
        Ok(Self::Attribute { path, filter: Some(filter) })
    }
}

fn has_value_path(filter: &Filter) -> bool {
    match filter {
        Filter::ValuePath { .. } => true,
        Filter::Not(inner) => has_value_path(inner),
        Filter::And(all) | Filter::Or(all) => all.iter().any(has_value_path),
        Filter::Compare { .. } | Filter::Present(_) => false,
    }
}

/// Reads the body of a PATCH request.
///
/// # Errors
/// `invalidSyntax` if the body is no PatchOp or asks for more than [`MAX_OPERATIONS`] or [`MAX_CHANGES`];
/// `invalidPath` or `invalidFilter` for a path; `noTarget` for a removal without a path; `invalidValue` for an
/// addition or replacement without a value.
pub fn parse(body: &Value) -> Result<Vec<Operation>, Error> {
    let body = body.as_object().ok_or_else(|| Error::syntax("the body must be a JSON object"))?;
    let urns = schema::field(body, "schemas").and_then(Value::as_array);
    if !urns.is_some_and(|urns| {
        urns.iter().filter_map(Value::as_str).any(|u| u.eq_ignore_ascii_case(PATCH_OP_URN))
    }) {
        return Err(Error::syntax(format!("schemas must contain {PATCH_OP_URN}")));
    }
    let operations = schema::field(body, "Operations").and_then(Value::as_array);
    let operations = operations.ok_or_else(|| Error::syntax("Operations must be a list"))?;
    if operations.is_empty() || operations.len() > MAX_OPERATIONS {
        return Err(Error::syntax(format!("there must be between 1 and {MAX_OPERATIONS} operations")));
    }
    let mut out = Vec::new();
    for operation in operations {
        let operation =
            operation.as_object().ok_or_else(|| Error::syntax("an operation must be an object"))?;
        read_operation(operation, &mut out)?;
        if out.len() > MAX_CHANGES {
            return Err(Error::syntax(format!("the operations change more than {MAX_CHANGES} attributes")));
        }
    }
    Ok(out)
}

fn read_operation(operation: &Map<String, Value>, out: &mut Vec<Operation>) -> Result<(), Error> {
    let word = schema::field(operation, "op").and_then(Value::as_str).unwrap_or_default();
    // RFC 7644 §3.5.2 has them in lower case; Entra capitalises them.
    let op = match word.to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "replace" => Op::Replace,
        "remove" => Op::Remove,
        _ => return Err(Error::syntax("op must be add, remove or replace")),
    };
    let value = schema::field(operation, "value");
    let path = match schema::field(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.trim().is_empty() => None,
        Some(Value::String(path)) => Some(path),
        Some(_) => return Err(Error::path("the path must be a string")),
    };
    if op != Op::Remove && value.is_none() {
        return Err(Error::value("add and replace need a value"));
    }
    match (path, op, value) {
        (Some(path), ..) => push(op, Target::parse(path)?, value, out),
        (None, Op::Remove, _) => Err(Error::no_target("remove needs a path")),
        (None, _, value) => {
            let Some(object) = value.and_then(sole_object) else {
                return Err(Error::value("without a path, the value must be an object of attributes"));
            };
            for (key, value) in object {
                push(op, Target::parse(key)?, Some(value), out)?;
            }
            Ok(())
        }
    }
}

/// Setting a whole extension is setting each of its attributes.
fn push(op: Op, target: Target, value: Option<&Value>, out: &mut Vec<Operation>) -> Result<(), Error> {
    match (target, op, value) {
        (Target::Extension(urn), Op::Add | Op::Replace, Some(value)) if !value.is_null() => {
            let Some(object) = sole_object(value) else {
                return Err(Error::value(format!("{urn} must be an object")));
            };
            for (key, value) in object {
                let Target::Attribute { mut path, filter } = Target::parse(key)? else {
                    return Err(Error::path("an extension has no extensions"));
                };
                path.schema.get_or_insert_with(|| urn.clone());
                let target = Target::Attribute { path, filter };
                out.push(Operation { op, target, value: Some(value.clone()) });
            }
        }
        (target, ..) => out.push(Operation { op, target, value: value.cloned() }),
    }
    Ok(())
}

/// An object, or the one object of a list.
fn sole_object(value: &Value) -> Option<&Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        Value::Array(items) => match items.as_slice() {
            [Value::Object(object)] => Some(object),
            _ => None,
        },
        _ => None,
    }
}
