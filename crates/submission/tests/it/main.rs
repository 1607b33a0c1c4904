//! The queue on a database and a blob store of each test's own, with a smarthost that does what it is told.

mod dkim;
mod fate;
mod limit;
mod listed;
mod lost;
mod notice;
mod steer;
mod support;
