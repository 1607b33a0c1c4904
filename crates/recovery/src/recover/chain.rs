//! Which of the segments that are there were acknowledged: each says which one it follows.
//!
//! A segment counts once another follows it. The last one has none that does, and counts: its changes were committed, and no other
//! has them. One that a process had put and was overtaken before it could forget what it had put is followed by none, and the next
//! one follows what this one did: it holds the same changes again.

use pack::segment::Segment;

use super::bucket::Numbered;
use crate::Error;

/// Numbers in their order, of which the last is not settled yet.
#[derive(Debug)]
pub(crate) struct Chain<T = Segment> {
    base: u64,
    /// The last base on the way.
    passed: Option<u64>,
    settled: u64,
    open: Option<Numbered<T>>,
}

/// What a segment says of the one before it.
pub(crate) trait Follows {
    /// The number that it follows.
    fn after(&self) -> u64;
}

impl Follows for Segment {
    fn after(&self) -> u64 {
        self.head().after
    }
}

impl<T: Follows> Chain<T> {
    /// A chain that begins with a base.
    pub(crate) fn new(base: u64) -> Self {
        Self { base, passed: None, settled: base, open: None }
    }

    /// Takes the next; the one before it, if that counts. One that was taken already, in a bundle, is passed over, and so is one that was put
    /// later than higher ones: it was overtaken.
    pub(crate) fn follow(&mut self, next: Numbered<T>) -> Result<Option<Numbered<T>>, Error> {
        if next.number <= self.open.as_ref().map_or(self.base, |open| open.number) {
            return Ok(None);
        }
        // A base has all that came before it.
        let after = next.parts.first().map_or(0, Follows::after).max(self.base);
        let before = self.open.replace(next);
        let number = self.open.as_ref().map_or(0, |open| open.number);
        match before {
            Some(before) if before.number == after || self.passed == Some(after) => {
                self.settled = after;
                Ok(Some(before))
            }
            _ if after == self.settled || self.passed == Some(after) => {
                self.settled = after;
                Ok(None)
            }
            _ => Err(Error::Missing { missing: after, number }),
        }
    }

    /// Goes past a later base. A database that was made anew begins after its own: what it was made of counts.
    pub(crate) fn pass(&mut self, base: u64) {
        self.passed = Some(base);
    }

    /// The last one.
    pub(crate) fn end(&mut self) -> Option<Numbered<T>> {
        let last = self.open.take()?;
        self.settled = last.number;
        Some(last)
    }

    /// The number of the last one that counts.
    pub(crate) fn last(&self) -> u64 {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct After(u64);

    impl Follows for After {
        fn after(&self) -> u64 {
            self.0
        }
    }

    /// The numbers that count, of `(number, after)`; or which one is missing.
    fn counted(base: u64, segments: &[(u64, u64)]) -> Result<Vec<u64>, u64> {
        let mut chain = Chain::new(base);
        let mut counted = Vec::new();
        for &(number, after) in segments {
            let followed = chain.follow(Numbered { number, parts: vec![After(after)] });
            counted.extend(followed.map_err(|error| match error {
                Error::Missing { missing, .. } => missing,
                other => panic!("{other}"),
            })?);
        }
        counted.extend(chain.end());
        assert_eq!(chain.last(), counted.last().map_or(base, |last| last.number));
        Ok(counted.into_iter().map(|numbered| numbered.number).collect())
    }

    #[test]
    fn what_is_followed_counts_and_so_does_the_last() {
        assert_eq!(counted(5, &[]), Ok(vec![]));
        assert_eq!(counted(5, &[(6, 3)]), Ok(vec![6]), "what came before the base is in it");
        assert_eq!(counted(5, &[(6, 5), (7, 6), (9, 7)]), Ok(vec![6, 7, 9]));
    }

    #[test]
    fn what_was_overtaken_does_not_count() {
        assert_eq!(counted(5, &[(6, 4), (7, 4), (8, 7)]), Ok(vec![7, 8]));
        assert_eq!(counted(5, &[(6, 4), (7, 6), (8, 6), (9, 8)]), Ok(vec![6, 8, 9]));
        assert_eq!(counted(5, &[(6, 4), (7, 6), (8, 6)]), Ok(vec![6, 8]));
    }

    #[test]
    fn what_was_taken_already_is_passed_over() {
        assert_eq!(counted(5, &[(4, 3), (5, 4), (6, 5), (7, 6), (6, 5), (7, 6), (8, 7)]), Ok(vec![6, 7, 8]));
        assert_eq!(counted(5, &[(6, 5), (8, 6), (7, 6), (9, 8)]), Ok(vec![6, 8, 9]), "7 was put late");
    }

    #[test]
    fn a_base_on_the_way_settles_nothing_but_where_a_database_began_with_it() {
        let numbers = |passed: &[u64], segments: &[(u64, u64)]| {
            let mut chain = Chain::new(5);
            let mut counted = Vec::new();
            for &(number, after) in segments {
                passed.iter().filter(|base| **base < number).for_each(|base| chain.pass(*base));
                counted.extend(chain.follow(Numbered { number, parts: vec![After(after)] }).unwrap());
            }
            counted.extend(chain.end());
            counted.into_iter().map(|numbered| numbered.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[7], &[(6, 5), (8, 6), (9, 8)]), [6, 8, 9]);
        assert_eq!(numbers(&[7], &[(6, 5), (8, 5), (9, 8)]), [8, 9], "nobody acknowledged 6");
        assert_eq!(numbers(&[7], &[(6, 5), (8, 7), (9, 8)]), [6, 8, 9], "7 was made of 6");
        assert_eq!(numbers(&[6], &[(7, 6), (8, 7)]), [7, 8]);
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(counted(5, &[(6, 4), (8, 7)]), Err(7));
        assert_eq!(counted(5, &[(7, 6)]), Err(6));
        assert_eq!(
            counted(5, &[(6, 5), (7, 6), (8, 6), (9, 7)]),
            Err(7),
            "one that was overtaken is nobody's to follow"
        );
    }
}
