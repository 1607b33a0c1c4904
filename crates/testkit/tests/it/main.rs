//! What other crates' tests rely on.

mod test_db;
mod world;
