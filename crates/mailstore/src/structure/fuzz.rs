//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use super::{Part, Sections, Structure, What, chosen_fields, describe, tree, without_binary};

/// A message: its structure is kept as it is read, and its parts are found where it says, as long as it says.
pub fn message(bytes: &[u8]) {
    let structure = describe::structure(&tree::scan(bytes));
    let kept = structure.to_column();
    assert!(!kept.contains("\\u0000"));
    assert_eq!(serde_json::from_str::<Structure>(&kept).ok().as_ref(), Some(&structure));

    let found = Found { message: bytes, sections: Sections::new(bytes) };
    let [header, text] = [What::Header, What::Text].map(|what| found.get(&[], what).unwrap_or_default());
    assert_eq!([header, text].concat(), bytes);
    found.parts(&structure.body, &[]);

    let names = ["from".to_owned(), "content-type".to_owned()];
    let [among, others] = [true, false].map(|is_among| chosen_fields(header, &names, is_among));
    assert!(among.ends_with(b"\r\n") && chosen_fields(&among, &names, false) == b"\r\n");
    assert!(others.ends_with(b"\r\n") && chosen_fields(&others, &names, true) == b"\r\n");
}

struct Found<'a> {
    message: &'a [u8],
    sections: Sections<'a>,
}

impl Found<'_> {
    /// The parts of a message, whose own number is given.
    fn parts(&self, body: &Part, of: &[u32]) {
        match body {
            Part::Multipart(multipart) => {
                for (number, part) in (1..).zip(&multipart.parts) {
                    self.part(part, &[of, &[number]].concat());
                }
            }
            Part::Leaf(_) => self.part(body, &[of, &[1]].concat()),
        }
    }

    fn part(&self, part: &Part, number: &[u32]) {
        let body = self.get(number, What::All).expect("the structure has it");
        assert!(self.get(number, What::Mime).is_some());
        match part {
            Part::Multipart(_) => self.parts(part, number),
            Part::Leaf(leaf) => {
                assert_eq!(leaf.size_bytes, body.len() as u64);
                let ends = body.iter().filter(|byte| **byte == b'\n').count() as u64;
                assert!(leaf.lines.is_none_or(|lines| lines == ends));
                assert!(self.sections.decoded(number).is_some());
                let halves = [What::Header, What::Text].map(|what| self.get(number, what));
                match &leaf.message {
                    Some(message) => {
                        assert_eq!(halves.map(Option::unwrap_or_default).concat(), body);
                        self.parts(&message.body, number);
                    }
                    None => assert_eq!(halves, [None, None]),
                }
            }
        }
    }

    /// What is not empty is a piece of the message.
    fn get(&self, number: &[u32], what: What) -> Option<&[u8]> {
        let found = self.sections.get(number, what)?;
        let whole = self.message.as_ptr_range();
        assert!(
            found.is_empty() || (whole.contains(&found.as_ptr()) && found.as_ptr_range().end <= whole.end)
        );
        Some(found)
    }
}

/// A message with parts in binary: without them it says the same, and has no NUL.
pub fn binary(bytes: &[u8]) {
    let Ok(mended) = without_binary(bytes) else { return };
    assert!(!mended.contains(&0));
    assert_eq!(without_binary(&mended).as_deref(), Ok(mended.as_ref()));
    let (before, after) = (Sections::new(bytes), Sections::new(&mended));
    let structure = super::parse(bytes);
    let mut numbers = Vec::new();
    leaves(&structure.body, &[], &mut numbers);
    for number in numbers {
        let decoded = |sections: &Sections<'_>| {
            sections.decoded(&number).map(|read| read.map(|read| read.into_owned()))
        };
        assert_eq!(decoded(&before), decoded(&after), "part {number:?}");
    }
}

/// The numbers of what is neither made of parts nor a message.
fn leaves(body: &Part, of: &[u32], numbers: &mut Vec<Vec<u32>>) {
    let inner = match body {
        Part::Multipart(multipart) => multipart.parts.as_slice(),
        Part::Leaf(_) => std::slice::from_ref(body),
    };
    for (number, part) in (1..).zip(inner) {
        let number = [of, &[number]].concat();
        match part {
            Part::Multipart(_) => leaves(part, &number, numbers),
            Part::Leaf(leaf) => match &leaf.message {
                Some(message) => leaves(&message.body, &number, numbers),
                None => numbers.push(number),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("mailstore_structure", super::message);
        crate::seeds::play("mailstore_binary", super::binary);
    }
}
