//! JSON values taken at their word: where a body's type is an object, an array of its members' values is not one.
//!
//! serde's derived types read both, which would make the order of a type's fields a part of the API.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A value that is read as an object only if it is one.
pub(crate) struct Strict(pub(crate) Value);

impl<'de> IntoDeserializer<'de, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Strict));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Strict(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
            plain => whole(plain).deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        members: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_object() {
            return self.deserialize_any(visitor);
        }
        // Prices are texts, and so an amount is often taken for one.
        let wanted = if members.contains(&"amount_minor") { MONEY } else { "an object" };
        Err(Error::invalid_type(unexpected(&self.0), &wanted))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// An object that is an amount.
const MONEY: &str = r#"an object such as {"amount_minor": 1250, "currency": "EUR"}"#;

/// What a value is, in serde's words.
fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or_default()),
        },
    }
}

/// A number such as `38.0` as the integer that it is to JSON Schema. What no integer type holds stays as it is.
fn whole(value: Value) -> Value {
    let Some(float) = value.as_f64().filter(|float| value.is_f64() && float.fract() == 0.0) else {
        return value;
    };
    // The first numbers that are too large; both are exact.
    let (signed_end, unsigned_end) = (2_f64.powi(63), 2_f64.powi(64));
    if (-signed_end..signed_end).contains(&float) {
        (float as i64).into()
    } else if (0.0..unsigned_end).contains(&float) {
        (float as u64).into()
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: Option<String>,
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: i32,
    }

    fn read(value: Value) -> Result<Outer, String> {
        Outer::deserialize(Strict(value)).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_are_read_as_they_were() {
        let value = json!({"name": "a", "inner": {"count": 1}, "list": [{"count": 2}]});
        let (inner, list) = (Some(Inner { count: 1 }), vec![Inner { count: 2 }]);
        assert_eq!(read(value), Ok(Outer { name: Some("a".into()), inner, list }));
        assert_eq!(read(json!({"name": null})), Ok(Outer { name: None, inner: None, list: vec![] }));
        assert!(read(json!({"name": 1})).is_err());
        assert!(read(json!({"other": 1})).is_err());
    }

    #[test]
    fn an_integer_may_be_written_with_decimals() {
        let count = |value| read(json!({"inner": {"count": value}})).map(|outer| outer.inner);
        assert_eq!(count(json!(38.0)), Ok(Some(Inner { count: 38 })));
        assert_eq!(count(json!(-0.0)), Ok(Some(Inner { count: 0 })));
        for value in [json!(38.5), json!(3e9), json!(1e300), json!("38.0")] {
            assert!(count(value.clone()).is_err(), "{value}");
        }
        assert_eq!(u64::deserialize(Strict(json!(1e19))).ok(), Some(10_000_000_000_000_000_000));
        assert!(u64::deserialize(Strict(json!(18_446_744_073_709_551_616.0))).is_err());
    }

    #[test]
    fn an_amount_that_is_none_is_shown_one() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only whether it parses is of interest")]
        struct Amount {
            amount_minor: i64,
        }
        for (value, found) in
            [(json!("60"), "string \"60\""), (json!(60), "integer `60`"), (json!(null), "null")]
        {
            let error = Amount::deserialize(Strict(value)).unwrap_err().to_string();
            assert_eq!(error, format!("invalid type: {found}, expected {MONEY}"));
        }
        assert!(read(json!({"inner": 7})).unwrap_err().ends_with("expected an object"));
    }

    #[test]
    fn an_array_is_no_object_anywhere() {
        for value in [json!(["a", null, []]), json!([]), json!({"inner": [1]}), json!({"list": [[1]]})] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }
}
