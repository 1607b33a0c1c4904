//! What other crates' tests rely on.

mod cut;
mod test_db;
mod world;
