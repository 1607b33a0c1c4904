//! Operations against a resource.

use serde_json::{Map, Value};

use super::{Op, Operation, Target, list};
use crate::schema::{self, Attribute, Kind, Mutability, Schema};
use crate::{AttrPath, Error, Filter, canonical};

/// Applies the operations in order to a resource, all of them or none.
///
/// Where RFC 7644 §3.5.2 leaves a choice, or the identity providers leave the RFC:
///
/// - `add` and `replace` with a filter that selects nothing create the element, if the filter is a conjunction of
///   equalities: `emails[type eq "work"].value`. §3.5.2.3 wants `noTarget`, but Entra ID relies on it for every
///   address that is not yet there. Another filter does not say what to create and is `noTarget`.
/// - `remove` of what is not there succeeds: both providers repeat removals.
/// - `remove` with a list as value takes away only those (Entra's older client, for members).
/// - A value is the same as another if their `value` is; adding it again merges the other sub-attributes.
/// - Taking the `value` out of an element takes the element.
/// - `null` unassigns.
/// - Attributes that Pillarbox does not know are kept as they are given.
/// - Setting a read-only attribute to what it is changes nothing (Okta sends `id` with each `displayName`).
///
/// # Errors
/// `mutability` for what is read-only, immutable or required; `invalidPath`, `noTarget` and `invalidValue` for what
/// does not suit the attribute. The resource is then as it was.
pub fn apply(resource: &mut Value, operations: &[Operation]) -> Result<(), Error> {
    let object = resource.as_object().ok_or_else(|| Error::syntax("a resource is a JSON object"))?;
    let core = schema::of_resource(object);
    let mut changed = object.clone();
    for operation in operations {
        match &operation.target {
            Target::Extension(urn) => remove_key(&mut changed, urn),
            Target::Attribute { path, filter } => {
                Change::new(core, operation, path, filter.as_ref())?.apply(&mut changed)?;
            }
        }
    }
    *resource = Value::Object(changed);
    Ok(())
}

/// One operation with what is known about its attribute.
pub(super) struct Change<'a> {
    pub(super) op: Op,
    path: &'a AttrPath,
    pub(super) filter: Option<&'a Filter>,
    given: Option<&'a Value>,
    pub(super) attribute: Option<&'static Attribute>,
    pub(super) sub: Option<&'a str>,
    pub(super) label: String,
}

impl<'a> Change<'a> {
    fn new(
        core: &'static Schema,
        operation: &'a Operation,
        path: &'a AttrPath,
        filter: Option<&'a Filter>,
    ) -> Result<Self, Error> {
        if path
            .schema
            .as_deref()
            .is_some_and(|urn| schema::is_core(urn) && !urn.eq_ignore_ascii_case(core.id))
        {
            return Err(Error::path(format!("the resource is no {}", path)));
        }
        let attribute = schema::attribute_of(core, path.schema.as_deref(), &path.name);
        let mut label = attribute.map_or(path.name.as_str(), |attribute| attribute.name).to_owned();
        let mut sub = path.sub.as_deref();
        if let (Some(attribute), Some(name)) = (attribute, sub) {
            let known = attribute.sub(name);
            if attribute.kind != Kind::Complex
                && !(attribute.multi_valued && name.eq_ignore_ascii_case("value"))
            {
                return Err(Error::path(format!("{label} has no sub-attributes")));
            }
            sub = Some(known.map_or(name, |known| known.name));
        }
        if attribute.is_some_and(|attribute| !attribute.multi_valued) && filter.is_some() {
            return Err(Error::path(format!("{label} has one value, none to select from")));
        }
        if let Some(sub) = sub {
            label = format!("{label}.{sub}");
        }
        Ok(Self { op: operation.op, path, filter, given: operation.value.as_ref(), attribute, sub, label })
    }

    fn apply(&self, resource: &mut Map<String, Value>) -> Result<(), Error> {
        if self.attribute.is_some_and(|attribute| attribute.mutability == Mutability::ReadOnly) {
            return self.unchanged(resource);
        }
        let Some(urn) = self.path.schema.as_deref().filter(|urn| !schema::is_core(urn)) else {
            return self.within(resource);
        };
        let urn = schema::spelling(resource, urn)
            .unwrap_or_else(|| schema::known_urn(urn).unwrap_or(urn).to_owned());
        let entry = resource.entry(urn.clone()).or_insert_with(|| Value::Object(Map::new()));
        let extension = entry.as_object_mut().ok_or_else(|| Error::path(format!("{urn} is no extension")))?;
        self.within(extension)?;
        if extension.is_empty() {
            resource.remove(&urn);
        }
        Ok(())
    }

    /// A client that repeats what is so does not modify it.
    fn unchanged(&self, resource: &Map<String, Value>) -> Result<(), Error> {
        let refused = || Err(Error::mutability(format!("{} is read-only", self.label)));
        let (Some(given), false, None) = (self.given, self.op == Op::Remove, self.filter) else {
            return refused();
        };
        if self.label == "schemas" && names_known_schemas(given) {
            return Ok(());
        }
        let mut current = schema::field(resource, &self.path.name);
        if let Some(sub) = self.sub {
            current = current.and_then(Value::as_object).and_then(|object| schema::field(object, sub));
        }
        if says_no_more(given, current.unwrap_or(&Value::Null)) { Ok(()) } else { refused() }
    }

    fn within(&self, object: &mut Map<String, Value>) -> Result<(), Error> {
        let name = schema::spelling(object, &self.path.name)
            .unwrap_or_else(|| self.attribute.map_or(self.path.name.as_str(), |a| a.name).to_owned());
        // Of an unknown attribute, its present value, the path or the given value says whether it is a list.
        let is_list = self.attribute.map_or_else(
            || {
                self.filter.is_some()
                    || object.get(&name).is_some_and(Value::is_array)
                    || (self.sub.is_none() && self.given.is_some_and(Value::is_array))
            },
            |attribute| attribute.multi_valued,
        );
        if is_list {
            let mut items = match object.remove(&name) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(items)) => items,
                Some(one) => vec![one],
            };
            list::apply(self, &mut items)?;
            // RFC 7643 §2.5: an empty list is no value.
            if !items.is_empty() {
                object.insert(name, Value::Array(items));
            }
            return Ok(());
        }
        match self.sub {
            None => self.single(object, name),
            Some(sub) => self.sub_attribute(object, name, sub),
        }
    }

    fn single(&self, object: &mut Map<String, Value>, name: String) -> Result<(), Error> {
        match self.value(self.attribute)? {
            Value::Null => {
                // RFC 7644 §3.5.2.2
                if self.attribute.is_some_and(|attribute| attribute.required) {
                    return Err(Error::mutability(format!("{} is required", self.label)));
                }
                object.remove(&name);
            }
            Value::Object(new) => match object.get_mut(&name) {
                // RFC 7644 §3.5.2.3: sub-attributes that are not named are left as they are.
                Some(Value::Object(old)) => new.into_iter().for_each(|(key, value)| set(old, &key, value)),
                _ => {
                    object.insert(name, Value::Object(new));
                }
            },
            value => {
                object.insert(name, value);
            }
        }
        Ok(())
    }

    fn sub_attribute(&self, object: &mut Map<String, Value>, name: String, sub: &str) -> Result<(), Error> {
        let value = self.value(self.attribute.and_then(|attribute| attribute.sub(sub)))?;
        if value.is_null() && !object.contains_key(&name) {
            return Ok(());
        }
        let entry = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        let complex =
            entry.as_object_mut().ok_or_else(|| Error::path(format!("{} is not there", self.label)))?;
        set(complex, sub, value);
        if complex.is_empty() {
            object.remove(&name);
        }
        Ok(())
    }

    /// The value for this attribute; `Null` if the operation takes it away.
    pub(super) fn value(&self, attribute: Option<&Attribute>) -> Result<Value, Error> {
        match (self.op, self.given, attribute) {
            (Op::Remove, ..) | (_, None, _) => Ok(Value::Null),
            (_, Some(given), Some(attribute)) => canonical::value(attribute, &self.label, given.clone()),
            (_, Some(given), None) => Ok(given.clone()),
        }
    }

    /// The values that a removal names, if it names any.
    pub(super) fn named(&self) -> Result<Option<Value>, Error> {
        match (self.given, self.attribute) {
            (None | Some(Value::Null), _) => Ok(None),
            (Some(given), Some(attribute)) => {
                canonical::value(attribute, &self.label, given.clone()).map(Some)
            }
            (Some(given), None) => Ok(Some(given.clone())),
        }
    }
}

/// Sets a field, or takes it away if the value is `Null`.
pub(super) fn set(object: &mut Map<String, Value>, key: &str, value: Value) {
    let key = schema::spelling(object, key).unwrap_or_else(|| key.to_owned());
    if value.is_null() {
        object.remove(&key);
    } else {
        object.insert(key, value);
    }
}

fn remove_key(object: &mut Map<String, Value>, key: &str) {
    if let Some(key) = schema::spelling(object, key) {
        object.remove(&key);
    }
}

/// The list follows from which extensions have values, so a client that names the usual ones changes nothing.
fn names_known_schemas(given: &Value) -> bool {
    given.as_array().is_some_and(|urns| {
        urns.iter().all(|urn| urn.as_str().is_some_and(|urn| schema::known_urn(urn).is_some()))
    })
}

fn says_no_more(given: &Value, current: &Value) -> bool {
    match (given, current) {
        (Value::Object(given), Value::Object(current)) => given.iter().all(|(key, value)| {
            schema::field(current, key).is_some_and(|current| says_no_more(value, current))
        }),
        (Value::Array(given), Value::Null) => given.is_empty(),
        (given, current) => given == current,
    }
}
