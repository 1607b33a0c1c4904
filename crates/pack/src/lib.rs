//! Packs: many bodies in one object, each compressed and under its own tenant's key; segments of the journal, likewise; and how those keys
//! are kept.
//!
//! Values and bytes only: nothing here reads, writes or waits. Bytes come from a range read of the blob store and go there
//! as one object; keys come from whoever implements [`KeyEncryption`].
//!
//! # The format, version 1
//!
//! Numbers are big-endian, varints are LEB128; an entry's offset counts from the pack's first byte.
//!
//! ```text
//! header     "PBPACK" 0x0001
//! entries    [ciphertext | tag 16] …                  one after the other, of any tenants
//! footers    [ciphertext | tag 16] …                  one for each tenant and generation of its key
//! directory  tenant 16 | generation 4 | length 4   …   whose each footer is; the last ends where the directory begins
//! trailer    pack 16 | rows of the directory 4 | the directory's SHA-256, its first 8 | "PBPACK" 0x0001
//! ```
//!
//! An entry's plaintext is a byte that names a codec, and the body in it (`0` as it is, `1` and `2` zstd with the dictionary in
//! its CRLF or LF form, `3` zstd alone). A footer's plaintext is the same of records, one for each entry of that tenant:
//!
//! ```text
//! index varint | offset varint | length varint | SHA-256 32 | internal date, µs since 1970, 8 | deliveries varint, then each:
//!   flags 1 | message 16 | mailbox 16 | folder 16 if flags & 1 | UIDL's length 1 and text if flags & 2
//! ```
//!
//! Without a folder it is the Inbox, without a UIDL it is the message's digits. There is no UID: the commit that follows gives it out.
//!
//! # Keys and nonces
//!
//! AES-256-GCM. The key of an entry is HKDF-SHA256 (RFC 5869) of the tenant's data key, salted with the pack's id, for the
//! purpose *entry*; its nonce is the entry's index in the pack; its additional data are purpose, tenant, pack and index, so an
//! entry opens in its own place only. A footer has the purpose *footer* and the nonce 0.
//!
//! Why no nonce comes twice under a key: a key belongs to one pack and one data key. A pack's id is made inside
//! [`Writer::new`], an index is given out once by the writer, which is consumed when it is sealed, and there is one footer for each data key.
//! What is written again, after a failure or by compaction, goes to a new pack under a new id. For the same reason one key
//! seals at most [`MAX_ENTRIES`] messages and [`MAX_PACK_BYTES`], far below what GCM bears (2³² messages of 64 GiB).
//! A small secret that a row keeps ([`DataKey::seal_secret`]) has the purpose *secret*, 16 random bytes of its own for a salt, and the nonce 0.

mod about;
pub mod bundle;
mod codec;
mod compress;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod key;
mod reader;
mod seal;
mod secret;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
pub mod segment;
mod wrap;
mod writer;

pub use about::{About, Delivery, MAX_DELIVERIES, Uidl, UidlError};
pub use codec::Malformed;
pub use codec::trailer::HEADER_BYTES;
pub use compress::{Compressed, MAX_BODY_BYTES, TooLarge};
pub use key::{DataKey, Generation};
pub use reader::{Ending, Located, OpenError, TAIL_BYTES, Tail, open, reopen};
pub use secret::SecretDoesNotOpen;
pub use wrap::{KekId, KeyEncryption, KeyError, KeyTextError, LocalKeys, WrappedKey};
pub use writer::{Address, Full, MAX_ENTRIES, MAX_PACK_BYTES, Sealed, Writer};
