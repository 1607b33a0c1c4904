//! LMTP, lookups and submission over real sockets, on a database and a blob store of each test's own.

mod delivery;
mod dialogue;
mod group;
mod junk;
mod limits;
mod lookup;
mod msa;
mod served;
mod shutdown;
mod submitting;
