//! Bytes of a pack and of a wrapped key: the numbers they are made of, and the places they stand in.

pub(crate) mod footer;
pub(crate) mod trailer;

/// Bytes that are not what their place asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// Bytes that are read from the front.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<uuid::Uuid, Malformed> {
        self.array().map(uuid::Uuid::from_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_are_read_as_written(value: u64, rest: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.extend(&rest);
            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.varint(), Ok(value));
            prop_assert_eq!(input.rest(), rest);
        }
    }

    #[test]
    fn a_varint_past_64_bits_or_without_an_end_is_malformed() {
        let mut largest = Vec::new();
        put_varint(&mut largest, u64::MAX);
        assert_eq!(largest, [[0xff; 9].as_slice(), &[1]].concat());
        for bytes in [&[][..], &[0x80], &[0xff; 9], &[0xff; 10], &[[0xff; 9].as_slice(), &[2]].concat()] {
            assert!(Input::new(bytes).varint().is_err(), "{bytes:x?}");
        }
    }
}
