//! The three forms of a document, as their readers get them.

#![expect(clippy::unwrap_used, reason = "the helpers of tests panic as tests do")]

mod html;
mod pdf;
mod sample;
mod ubl;
