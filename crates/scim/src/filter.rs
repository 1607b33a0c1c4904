//! Filters. RFC 7644 §3.4.2.2.

mod matching;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Number, Value};

use crate::{AttrPath, Error, schema};

pub(crate) use matching::element as element_matches;

/// The longest filter that is read, in bytes.
pub const MAX_LENGTH_BYTES: usize = 4096;
/// How deep groups, negations and value paths may nest.
pub const MAX_DEPTH: usize = 16;

/// A filter. The order of evaluation is `not`, `and`, `or`; the groups that a client wrote are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `path op value`
    Compare {
        /// What is compared; inside a value path, relative to the element.
        path: AttrPath,
        /// How.
        op: CompareOp,
        /// With what.
        value: Literal,
    },
    /// `path pr`: it has a value that is not empty.
    Present(AttrPath),
    /// `path[filter]`: one element satisfies the whole filter. Entra's `path[filter].sub op value` is read as
    /// `path[filter and sub op value]`, which means the same.
    ValuePath {
        /// The attribute with several complex values.
        path: AttrPath,
        /// What one of them satisfies.
        filter: Box<Filter>,
    },
    /// `not (filter)`
    Not(Box<Filter>),
    /// Two or more filters joined by `and`.
    And(Vec<Filter>),
    /// Two or more filters joined by `or`.
    Or(Vec<Filter>),
}

/// A comparison of RFC 7644 §3.4.2.2, table 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Less than.
    Lt,
    /// Greater than or equal.
    Ge,
    /// Less than or equal.
    Le,
}

/// What a filter compares with: a JSON value that is neither a list nor an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `null`: no value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `invalidFilter` if it is longer than [`MAX_LENGTH_BYTES`], nests deeper than [`MAX_DEPTH`], is malformed, or
    /// orders or searches what has no order or no text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::whole(text)
    }

    /// Whether a resource satisfies the filter. Of an attribute with several values one is enough; an attribute
    /// without value compares as `null`.
    #[must_use]
    pub fn matches(&self, resource: &Value) -> bool {
        resource.as_object().is_some_and(|object| matching::resource(self, object))
    }

    /// The text that every match must have at `path`, which is `name` or `name.sub` of the core schema or has its
    /// URN in front: what an index can look up before [`Filter::matches`] decides. `None` if the filter is no
    /// conjunction with such an equality. `emails.value` finds all of `emails eq`, `emails.value eq`,
    /// `emails[value eq …]` and `emails[type eq "work"].value eq`.
    #[must_use]
    pub fn equality(&self, path: &str) -> Option<&str> {
        let wanted = AttrPath::parse(path).ok()?;
        self.equality_at(&wanted, None)
    }

    fn equality_at(&self, wanted: &AttrPath, within: Option<&AttrPath>) -> Option<&str> {
        match self {
            Self::Compare { path, op: CompareOp::Eq, value: Literal::String(text) } => {
                let full = match within {
                    None => path.clone(),
                    Some(parent) if path.sub.is_none() => {
                        AttrPath { sub: Some(path.name.clone()), ..parent.clone() }
                    }
                    Some(_) => return None,
                };
                same_attribute(&full, wanted).then_some(text)
            }
            Self::ValuePath { path, filter } if within.is_none() => filter.equality_at(wanted, Some(path)),
            Self::And(all) => all.iter().find_map(|each| each.equality_at(wanted, within)),
            _ => None,
        }
    }

    /// The equalities that an element must satisfy, if the filter is nothing but a conjunction of them: what is
    /// known of an element that a PATCH creates because none was selected.
    pub(crate) fn equalities(&self) -> Option<Vec<(&AttrPath, &Literal)>> {
        match self {
            Self::Compare { path, op: CompareOp::Eq, value } if path.sub.is_none() => {
                Some(vec![(path, value)])
            }
            Self::And(all) => {
                let each = all.iter().map(Self::equalities).collect::<Option<Vec<_>>>()?;
                Some(each.into_iter().flatten().collect())
            }
            _ => None,
        }
    }
}

fn same_attribute(a: &AttrPath, b: &AttrPath) -> bool {
    let extension = |path: &AttrPath| path.schema.clone().filter(|urn| !schema::is_core(urn));
    let sub = |path: &AttrPath| {
        path.sub.clone().or_else(|| {
            let attribute = schema::attribute(path.schema.as_deref(), &path.name)?;
            attribute.sub("value").map(|value| value.name.to_owned())
        })
    };
    a.name.eq_ignore_ascii_case(&b.name)
        && same_text(extension(a).as_deref(), extension(b).as_deref())
        && same_text(sub(a).as_deref(), sub(b).as_deref())
}

fn same_text(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (None, None) => true,
        _ => false,
    }
}

impl CompareOp {
    const ALL: [Self; 9] =
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Lt, Self::Ge, Self::Le];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Ge => "ge",
            Self::Le => "le",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(word))
    }

    /// RFC 7644 §3.4.2.2: booleans have no order, and only text has parts.
    const fn suits(self, value: &Literal) -> bool {
        match self {
            Self::Eq | Self::Ne => true,
            Self::Co | Self::Sw | Self::Ew => matches!(value, Literal::String(_)),
            Self::Gt | Self::Lt | Self::Ge | Self::Le => {
                matches!(value, Literal::String(_) | Literal::Number(_))
            }
        }
    }
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(value) => Self::Number(value.clone()),
            Literal::String(value) => Self::String(value.clone()),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::from(self).fmt(f)
    }
}

impl fmt::Display for Filter {
    /// Writes what [`Filter::parse`] reads back as the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { path, op, value } => write!(f, "{path} {} {value}", op.as_str()),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::ValuePath { path, filter } => write!(f, "{path}[{filter}]"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::And(all) => joined(f, all, " and ", |each| matches!(each, Self::And(_) | Self::Or(_))),
            Self::Or(all) => joined(f, all, " or ", |each| matches!(each, Self::Or(_))),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    all: &[Filter],
    separator: &str,
    grouped: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (i, each) in all.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        if grouped(each) { write!(f, "({each})")? } else { write!(f, "{each}")? }
    }
    Ok(())
}
