//! Which messages of the snapshot a session has marked as deleted, and what remains.

/// The snapshot's messages by size, with the marks of DELE. Message numbers count from one.
#[derive(Debug)]
pub(crate) struct Marks {
    sizes_bytes: Vec<u64>,
    deleted: Vec<bool>,
    remaining: usize,
    remaining_bytes: u64,
}

/// There is no such message, or it is marked as deleted: to the client the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such message")]
pub(crate) struct NoSuchMessage;

impl Marks {
    /// No marks on messages of these sizes.
    pub(crate) fn new(sizes_bytes: Vec<u64>) -> Self {
        let (remaining, remaining_bytes) = (sizes_bytes.len(), sizes_bytes.iter().sum());
        Self { deleted: vec![false; remaining], sizes_bytes, remaining, remaining_bytes }
    }

    /// How many messages are not marked.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Their size together.
    pub(crate) fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes
    }

    /// The index in the snapshot of a message that is not marked.
    pub(crate) fn index(&self, number: u64) -> Result<usize, NoSuchMessage> {
        let index =
            number.checked_sub(1).and_then(|index| usize::try_from(index).ok()).ok_or(NoSuchMessage)?;
        match self.deleted.get(index) {
            Some(false) => Ok(index),
            Some(true) | None => Err(NoSuchMessage),
        }
    }

    /// The indices of the messages that are not marked.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + Send + '_ {
        (0..self.deleted.len()).filter(|&index| !self.deleted[index])
    }

    /// Marks a message.
    pub(crate) fn delete(&mut self, number: u64) -> Result<(), NoSuchMessage> {
        let index = self.index(number)?;
        self.deleted[index] = true;
        self.remaining -= 1;
        self.remaining_bytes -= self.sizes_bytes[index];
        Ok(())
    }

    /// Takes all marks away.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(std::mem::take(&mut self.sizes_bytes));
    }

    /// The indices of the messages that are marked.
    pub(crate) fn deleted(&self) -> Vec<usize> {
        (0..self.deleted.len()).filter(|&index| self.deleted[index]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_message_is_gone_until_reset() {
        let mut marks = Marks::new(vec![10, 200, 3000]);
        assert_eq!((marks.remaining(), marks.remaining_bytes()), (3, 3210));
        assert_eq!(marks.delete(2), Ok(()));
        assert_eq!(marks.delete(2), Err(NoSuchMessage));
        assert_eq!(marks.index(2), Err(NoSuchMessage));
        assert_eq!((marks.remaining(), marks.remaining_bytes()), (2, 3010));
        assert_eq!(marks.indices().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(marks.deleted(), [1]);
        marks.reset();
        assert_eq!((marks.remaining(), marks.remaining_bytes()), (3, 3210));
        assert_eq!(marks.index(2), Ok(1));
        assert_eq!(marks.deleted(), [] as [usize; 0]);
    }

    #[test]
    fn numbers_out_of_range_name_no_message() {
        let marks = Marks::new(vec![1]);
        for number in [0, 2, u64::MAX] {
            assert_eq!(marks.index(number), Err(NoSuchMessage), "{number}");
        }
    }
}
