//! JSON as clients send it, into JSON as the schemas say: canonical names, checked types, addresses in their one spelling,
//! the known quirks undone.

use kernel::EmailAddress;
use serde_json::{Map, Value};

use crate::Error;
use crate::schema::{self, Attribute, Kind, MAILBOX, Schema};

/// A value for an attribute; `Null` if it unassigns it. `label` names the attribute in errors.
///
/// Undone: booleans as text (Entra), the one value of an attribute in a list, `{"value": x}` for a simple `x` (both
/// Entra's older client), one value without its list, an id for `{"value": id}`.
pub(crate) fn value(attribute: &Attribute, label: &str, given: Value) -> Result<Value, Error> {
    if given.is_null() {
        return Ok(Value::Null);
    }
    if attribute.multi_valued {
        let items = match given {
            Value::Array(items) => items,
            one => vec![one],
        };
        let items = items.into_iter().map(|item| element(attribute, label, item));
        let items = items.filter(|item| !matches!(item, Ok(Value::Null)));
        return items.collect::<Result<Vec<_>, _>>().map(Value::Array);
    }
    match given {
        Value::Array(mut items) => match (items.pop(), items.is_empty()) {
            (None, _) => Ok(Value::Null),
            (Some(only), true) => element(attribute, label, only),
            (Some(_), false) => Err(Error::value(format!("{label} has one value"))),
        },
        one => element(attribute, label, one),
    }
}

/// One value of an attribute.
pub(crate) fn element(attribute: &Attribute, label: &str, given: Value) -> Result<Value, Error> {
    let wrong = |what: &str| Err(Error::value(format!("{label} must be {what}")));
    match (attribute.kind, given) {
        (_, Value::Null) => Ok(Value::Null),
        (Kind::Complex, Value::Object(object)) => {
            object_of(attribute.sub_attributes, Some(label), object).map(Value::Object)
        }
        (Kind::Complex, text @ Value::String(_)) if attribute.sub("value").is_some() => {
            Ok(Value::Object(Map::from_iter([("value".to_owned(), text)])))
        }
        (Kind::Complex, _) => wrong("an object"),
        (_, Value::Object(mut object)) => match object.remove("value") {
            Some(inner) if !inner.is_object() && !inner.is_array() => element(attribute, label, inner),
            _ => wrong("a simple value"),
        },
        (Kind::String, Value::String(text)) if attribute.is_address => Ok(Value::String(address(&text))),
        (Kind::String | Kind::DateTime | Kind::Reference, text @ Value::String(_)) => Ok(text),
        (Kind::String | Kind::DateTime | Kind::Reference, _) => wrong("a string"),
        (Kind::Boolean, given) => match boolean(&given) {
            Some(value) => Ok(Value::Bool(value)),
            None => wrong("true or false"),
        },
        (Kind::Integer, Value::Number(number)) if number.as_i64().is_some() => Ok(Value::Number(number)),
        (Kind::Integer, _) => wrong("a whole number"),
    }
}

/// The one spelling of an address; what is none stays as it is.
pub(crate) fn address(text: &str) -> String {
    text.parse::<EmailAddress>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

fn boolean(given: &Value) -> Option<bool> {
    match given {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The fields that are attributes of the list, by their canonical names; others are kept as they are.
fn object_of(
    attributes: &'static [Attribute],
    label: Option<&str>,
    object: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut out = Map::new();
    for (key, given) in object {
        let known = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(&key));
        let name = known.map_or(key.as_str(), |attribute| attribute.name);
        let label = label.map_or_else(|| name.to_owned(), |label| format!("{label}.{name}"));
        let read = match known {
            Some(attribute) => value(attribute, &label, given)?,
            None => given,
        };
        if !read.is_null() {
            insert_once(&mut out, name, read, &label)?;
        }
    }
    Ok(out)
}

/// A resource of this core schema with the attributes that Pillarbox knows and no others.
pub(crate) fn resource(core: &'static Schema, given: Value) -> Result<Map<String, Value>, Error> {
    let Value::Object(given) = given else {
        return Err(Error::syntax("a resource is a JSON object"));
    };
    let mut out = Map::new();
    for (key, given) in given {
        if let Some(attribute) = schema::attribute_of(core, None, &key) {
            let read = value(attribute, attribute.name, given)?;
            if !read.is_null() {
                insert_once(&mut out, attribute.name, read, attribute.name)?;
            }
        } else if key.eq_ignore_ascii_case(MAILBOX.id) && !given.is_null() {
            let Value::Object(extension) = given else {
                return Err(Error::value(format!("{} must be an object", MAILBOX.id)));
            };
            let read = object_of(MAILBOX.attributes, None, extension)?;
            insert_once(&mut out, MAILBOX.id, Value::Object(read), MAILBOX.id)?;
        }
    }
    if let Some(Value::Array(urns)) = out.get("schemas")
        && !urns.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(core.id))
    {
        return Err(Error::syntax(format!("schemas must contain {}", core.id)));
    }
    Ok(out)
}

/// Names are the same whatever their case, so an object could say two things of one attribute.
fn insert_once(out: &mut Map<String, Value>, name: &str, read: Value, label: &str) -> Result<(), Error> {
    match out.insert(name.to_owned(), read) {
        None => Ok(()),
        Some(_) => Err(Error::syntax(format!("{label} is given twice"))),
    }
}
