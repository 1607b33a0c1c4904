//! Operations on an attribute with several values.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::Op;
use super::apply::{Change, set};
use crate::schema::{self, Attribute, Kind, Mutability};
use crate::{Error, canonical, filter};

/// Applies a change to the values of its attribute.
pub(super) fn apply(change: &Change<'_>, items: &mut Vec<Value>) -> Result<(), Error> {
    // The `value` of a simple list is the element itself.
    let sub = change.sub.filter(|_| !is_simple(change.attribute));
    let touched = match (change.filter, sub, change.op) {
        (None, None, Op::Remove) => {
            remove(change, items)?;
            Vec::new()
        }
        (None, None, Op::Add) => add(change, items, list_of(change.value(change.attribute)?))?,
        (None, None, Op::Replace) => {
            items.clear();
            add(change, items, list_of(change.value(change.attribute)?))?
        }
        (Some(filter), None, Op::Remove) => {
            items.retain(|item| !filter::element_matches(filter, change.attribute, item));
            Vec::new()
        }
        (Some(_), None, Op::Add | Op::Replace) => set_elements(change, items)?,
        (_, Some(sub), _) => set_sub_attribute(change, items, sub)?,
    };
    one_primary(change, items, &touched)
}

fn is_simple(attribute: Option<&Attribute>) -> bool {
    attribute.is_some_and(|attribute| attribute.kind != Kind::Complex)
}

fn list_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn remove(change: &Change<'_>, items: &mut Vec<Value>) -> Result<(), Error> {
    let Some(named) = change.named()? else {
        items.clear();
        return Ok(());
    };
    let named: HashSet<String> = list_of(named).iter().map(|item| identity(change.attribute, item)).collect();
    items.retain(|item| !named.contains(&identity(change.attribute, item)));
    Ok(())
}

/// RFC 7644 §3.5.2.1: a value that is already there is not added again. Returns which elements were written.
fn add(change: &Change<'_>, items: &mut Vec<Value>, new: Vec<Value>) -> Result<Vec<usize>, Error> {
    let mut present: HashMap<String, usize> =
        items.iter().enumerate().map(|(i, item)| (identity(change.attribute, item), i)).collect();
    let mut touched = Vec::new();
    for item in new {
        let at = *present.entry(identity(change.attribute, &item)).or_insert(items.len());
        match items.get_mut(at) {
            None => items.push(item),
            Some(Value::Object(old)) => {
                if let Value::Object(item) = item {
                    merge(change.attribute, old, item);
                }
            }
            Some(_) => {}
        }
        touched.push(at);
    }
    Ok(touched)
}

/// What an element is, so that it is not there twice: its `value`, or all of it.
fn identity(attribute: Option<&Attribute>, item: &Value) -> String {
    let (value, definition) = match item {
        Value::Object(object) => (schema::field(object, "value"), attribute.and_then(|a| a.sub("value"))),
        simple => (Some(simple), attribute),
    };
    match value {
        Some(Value::String(text)) if definition.is_some_and(|d| !d.case_exact) => text.to_lowercase(),
        Some(Value::String(text)) => text.clone(),
        _ => item.to_string(),
    }
}

fn merge(attribute: Option<&Attribute>, old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (key, value) in new {
        let mutability = attribute.and_then(|a| a.sub(&key)).map(|sub| sub.mutability);
        if mutability.is_none_or(|m| m == Mutability::ReadWrite) {
            set(old, &key, value);
        }
    }
}

fn selected(change: &Change<'_>, items: &[Value]) -> Vec<usize> {
    let matches = |item: &Value| {
        change.filter.is_none_or(|filter| filter::element_matches(filter, change.attribute, item))
    };
    items.iter().enumerate().filter(|(_, item)| matches(item)).map(|(i, _)| i).collect()
}

fn set_elements(change: &Change<'_>, items: &mut Vec<Value>) -> Result<Vec<usize>, Error> {
    let mut given = list_of(change.value(change.attribute)?);
    let chosen = selected(change, items);
    let new = match (given.pop(), given.is_empty()) {
        (Some(new), true) => new,
        (Some(_), false) => {
            return Err(Error::value(format!("{} is set to one value at a time", change.label)));
        }
        (None, _) => {
            items.retain(|item| !selected(change, std::slice::from_ref(item)).contains(&0));
            return Ok(Vec::new());
        }
    };
    if chosen.is_empty() {
        let seed = seed(change)?;
        let created = match (seed, new) {
            (Value::Object(mut seed), Value::Object(new)) => {
                new.into_iter().for_each(|(key, value)| set(&mut seed, &key, value));
                Value::Object(seed)
            }
            (_, new) => new,
        };
        return add(change, items, vec![created]);
    }
    for i in &chosen {
        match (&mut items[*i], &new, change.op) {
            (Value::Object(old), Value::Object(new), Op::Add) => merge(change.attribute, old, new.clone()),
            (old, new, _) => *old = new.clone(),
        }
    }
    Ok(chosen)
}

fn set_sub_attribute(change: &Change<'_>, items: &mut Vec<Value>, sub: &str) -> Result<Vec<usize>, Error> {
    let definition = change.attribute.and_then(|attribute| attribute.sub(sub));
    if definition.is_some_and(|definition| definition.mutability == Mutability::ReadOnly) {
        return Err(Error::mutability(format!("{} is read-only", change.label)));
    }
    let value = change.value(definition)?;
    let chosen = selected(change, items);
    if value.is_null() {
        // An element without its value says nothing.
        let emptied = |item: &mut Value| match item {
            Value::Object(object) => {
                set(object, sub, Value::Null);
                object.is_empty() || sub.eq_ignore_ascii_case("value")
            }
            _ => false,
        };
        let mut i = 0;
        items.retain_mut(|item| {
            i += 1;
            !(chosen.binary_search(&(i - 1)).is_ok() && emptied(item))
        });
        return Ok(Vec::new());
    }
    if chosen.is_empty() {
        let Value::Object(mut created) = seed(change)? else {
            return Err(Error::no_target(format!("{} selects nothing", change.label)));
        };
        set(&mut created, sub, value);
        return add(change, items, vec![Value::Object(created)]);
    }
    if change.filter.is_none() && chosen.len() > 1 {
        return Err(Error::path(format!("{} does not say which of several values", change.label)));
    }
    for i in &chosen {
        let Value::Object(object) = &mut items[*i] else {
            return Err(Error::path(format!("{} is not there", change.label)));
        };
        let immutable = definition.is_some_and(|definition| definition.mutability == Mutability::Immutable);
        if immutable && schema::field(object, sub).is_some_and(|old| *old != value) {
            return Err(Error::mutability(format!("{} is immutable", change.label)));
        }
        set(object, sub, value.clone());
    }
    Ok(chosen)
}

/// The element that a filter describes when none satisfies it.
fn seed(change: &Change<'_>) -> Result<Value, Error> {
    let Some(filter) = change.filter else {
        return Ok(Value::Object(Map::new()));
    };
    let Some(equalities) = filter.equalities() else {
        return Err(Error::no_target(format!("{} selects nothing", change.label)));
    };
    let described = equalities.into_iter().map(|(path, literal)| (path.name.clone(), Value::from(literal)));
    let described = Value::Object(described.collect());
    match change.attribute {
        Some(attribute) if attribute.kind == Kind::Complex => {
            canonical::element(attribute, attribute.name, described)
        }
        _ => Ok(described),
    }
}

/// RFC 7644 §3.5.2: setting one value as the primary one unsets the others.
fn one_primary(change: &Change<'_>, items: &mut [Value], touched: &[usize]) -> Result<(), Error> {
    if change.attribute.is_some_and(|attribute| attribute.sub("primary").is_none()) {
        return Ok(());
    }
    let is_primary = |item: &Value| {
        item.as_object().and_then(|object| schema::field(object, "primary")) == Some(&Value::Bool(true))
    };
    let mut chosen: Vec<usize> = touched.iter().copied().filter(|i| is_primary(&items[*i])).collect();
    chosen.sort_unstable();
    chosen.dedup();
    match chosen.as_slice() {
        [] => Ok(()),
        [one] => {
            let others = items.iter_mut().enumerate().filter(|(i, item)| i != one && is_primary(item));
            for (_, item) in others {
                if let Value::Object(object) = item {
                    set(object, "primary", Value::Bool(false));
                }
            }
            Ok(())
        }
        _ => Err(Error::value(format!("{} has more than one primary value", change.label))),
    }
}
