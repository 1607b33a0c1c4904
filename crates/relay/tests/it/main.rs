//! The relay against a smarthost that does what it is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as tests themselves may")]

mod content;
mod deadline;
mod envelope;
mod outcome;
mod reuse;
mod route;
mod support;
