//! Packs and keys, by their public face.

mod golden;
mod keys;
mod limits;
mod pack;
mod support;
