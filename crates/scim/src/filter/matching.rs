//! Filter against resource.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{CompareOp, Filter, Literal};
use crate::path::{elements, scope};
use crate::schema::{self, Attribute, Kind};
use crate::{AttrPath, canonical, date_time};

/// Whether a resource satisfies a filter.
pub(super) fn resource(filter: &Filter, object: &Map<String, Value>) -> bool {
    match filter {
        Filter::Compare { path, op, value } => any(&path.values(object), *op, value, definition(path)),
        Filter::Present(path) => {
            let whole = AttrPath { sub: None, ..path.clone() };
            let found =
                scope(object, path.schema.as_deref()).and_then(|object| schema::field(object, &whole.name));
            match path.sub {
                None => found.is_some_and(is_present),
                Some(_) => path.values(object).into_iter().any(is_present),
            }
        }
        Filter::ValuePath { path, filter } => {
            let parent = schema::attribute(path.schema.as_deref(), &path.name);
            let found =
                scope(object, path.schema.as_deref()).and_then(|object| schema::field(object, &path.name));
            found.is_some_and(|found| elements(found).into_iter().any(|each| element(filter, parent, each)))
        }
        Filter::Not(inner) => !resource(inner, object),
        Filter::And(all) => all.iter().all(|each| resource(each, object)),
        Filter::Or(all) => all.iter().any(|each| resource(each, object)),
    }
}

/// Whether one value of an attribute satisfies the filter in its brackets.
pub(crate) fn element(filter: &Filter, parent: Option<&Attribute>, value: &Value) -> bool {
    match filter {
        Filter::Compare { path, op, value: literal } => {
            // A simple value is its own `value`, and its case rule is the attribute's.
            let definition = parent.and_then(|parent| match parent.kind {
                Kind::Complex => parent.sub(&path.name),
                _ => Some(parent),
            });
            any(&within(path, value), *op, literal, definition)
        }
        Filter::Present(path) => within(path, value).into_iter().any(is_present),
        Filter::ValuePath { .. } => false,
        Filter::Not(inner) => !element(inner, parent, value),
        Filter::And(all) => all.iter().all(|each| element(each, parent, value)),
        Filter::Or(all) => all.iter().any(|each| element(each, parent, value)),
    }
}

fn within<'a>(path: &AttrPath, value: &'a Value) -> Vec<&'a Value> {
    match value {
        Value::Object(object) => path.values(object),
        simple if path.name.eq_ignore_ascii_case("value") => vec![simple],
        _ => Vec::new(),
    }
}

fn definition(path: &AttrPath) -> Option<&'static Attribute> {
    let attribute = schema::attribute(path.schema.as_deref(), &path.name)?;
    match (&path.sub, attribute.kind) {
        (Some(sub), Kind::Complex) => attribute.sub(sub),
        (None, Kind::Complex) => attribute.sub("value"),
        _ => Some(attribute),
    }
}

fn any(values: &[&Value], op: CompareOp, literal: &Literal, definition: Option<&Attribute>) -> bool {
    if values.is_empty() {
        return compare(&Value::Null, op, literal, definition);
    }
    values.iter().any(|value| compare(value, op, literal, definition))
}

fn compare(value: &Value, op: CompareOp, literal: &Literal, definition: Option<&Attribute>) -> bool {
    match op {
        CompareOp::Eq => equal(value, literal, definition),
        CompareOp::Ne => !equal(value, literal, definition),
        CompareOp::Gt => order(value, literal, definition) == Some(Ordering::Greater),
        CompareOp::Lt => order(value, literal, definition) == Some(Ordering::Less),
        CompareOp::Ge => order(value, literal, definition).is_some_and(Ordering::is_ge),
        CompareOp::Le => order(value, literal, definition).is_some_and(Ordering::is_le),
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew => {
            let (Value::String(text), Literal::String(part)) = (value, literal) else {
                return false;
            };
            let (text, part) = (folded(text, definition), folded(part, definition));
            match op {
                CompareOp::Co => text.contains(&part),
                CompareOp::Sw => text.starts_with(&part),
                _ => text.ends_with(&part),
            }
        }
    }
}

fn equal(value: &Value, literal: &Literal, definition: Option<&Attribute>) -> bool {
    match (value, literal) {
        (Value::Null, Literal::Null) => true,
        (Value::Bool(a), Literal::Bool(b)) => a == b,
        // Entra writes `primary eq "True"`.
        (Value::Bool(a), Literal::String(b)) => b.eq_ignore_ascii_case(if *a { "true" } else { "false" }),
        (Value::Number(_), Literal::Number(_)) | (Value::String(_), Literal::String(_)) => {
            order(value, literal, definition) == Some(Ordering::Equal)
        }
        _ => false,
    }
}

fn order(value: &Value, literal: &Literal, definition: Option<&Attribute>) -> Option<Ordering> {
    match (value, literal) {
        (Value::Number(a), Literal::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Literal::String(b)) => {
            if definition.is_some_and(|d| d.kind == Kind::DateTime)
                && let (Some(a), Some(b)) = (date_time::moment(a), date_time::moment(b))
            {
                return Some(a.cmp(&b));
            }
            Some(folded(a, definition).cmp(&folded(b, definition)))
        }
        _ => None,
    }
}

/// Text as it is compared. RFC 7643 §2.2: an attribute is not case-exact unless it says so. A domain in its Unicode form is
/// the same as in its ASCII form.
fn folded(text: &str, definition: Option<&Attribute>) -> String {
    match definition {
        Some(definition) if definition.case_exact => text.to_owned(),
        Some(definition) if definition.is_address => canonical::address(text).to_lowercase(),
        _ => text.to_lowercase(),
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => all.iter().any(is_present),
        Value::Object(object) => object.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}
