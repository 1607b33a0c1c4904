//! SORT and THREAD without a mailbox (RFC 5256): base subjects, the order of texts, threads, and sorting.

pub(crate) mod collate;
pub(crate) mod sort;
pub(crate) mod subject;
pub(crate) mod thread;
