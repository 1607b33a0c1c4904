//! How many bytes packs take for each byte of the bodies in them: `cargo run --release -p pack --example measure -- DIR`.
//!
//! Every file below the folder is a message. Each goes to a mailbox of its own, packs have as many entries as said, of one tenant
//! or of one tenant an entry, and whole packs count: header, tags, footers, directory, trailer.

use std::path::PathBuf;
use std::time::Instant;

use kernel::{Env, TenantId};
use pack::{About, Compressed, DataKey, Delivery, Generation, Uidl, Writer};
use sha2::{Digest as _, Sha256};

const SMALL_BYTES: usize = 8 << 10;

fn main() {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: measure DIR");
        std::process::exit(2);
    };
    let mut paths: Vec<PathBuf> = walkdir::WalkDir::new(dir)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect();
    paths.sort();
    let bodies: Vec<Vec<u8>> = paths.iter().flat_map(std::fs::read).collect();
    let small: Vec<Vec<u8>> = bodies.iter().filter(|body| body.len() < SMALL_BYTES).cloned().collect();
    for (name, bodies) in [("all", bodies), ("under 8 KiB", small)] {
        let total: usize = bodies.iter().map(Vec::len).sum();
        println!("{name}: {} messages, {total} bytes", bodies.len());
        let begun = Instant::now();
        let compressed: Vec<Compressed> = bodies.iter().flat_map(|body| Compressed::new(body)).collect();
        let seconds = begun.elapsed().as_secs_f64();
        println!("  compressed at {:.0} µs a message", seconds * 1e6 / bodies.len() as f64);
        for entries in [1, 8, 32, usize::MAX] {
            for shared in [true, false] {
                let stored = stored(&bodies, &compressed, entries, shared);
                let whose = if shared { "one tenant a pack" } else { "a tenant an entry" };
                let entries = entries.min(bodies.len());
                println!("  {entries:>4} a pack, {whose}: {:.4}", stored as f64 / total as f64);
            }
        }
    }
}

/// The bytes of all packs.
fn stored(bodies: &[Vec<u8>], compressed: &[Compressed], entries: usize, one_tenant: bool) -> usize {
    let env = Env::system();
    let mut total = 0;
    let all: Vec<_> = bodies.iter().zip(compressed).collect();
    for some in all.chunks(entries) {
        let mut writer = Writer::new(&env);
        let mut key = DataKey::generate(&env, env.new_id::<TenantId>(), Generation::FIRST);
        for (body, compressed) in some {
            if !one_tenant {
                key = DataKey::generate(&env, env.new_id::<TenantId>(), Generation::FIRST);
            }
            let message = env.new_id();
            let delivery = Delivery { message, uidl: Uidl::of(message), mailbox: env.new_id(), folder: None };
            let about = About::new(Sha256::digest(body).into(), env.now(), vec![delivery]);
            let added = about.map(|about| writer.add(&key, compressed, about));
            assert!(matches!(added, Some(Ok(_))), "a pack is full");
        }
        total += writer.seal().bytes().len();
    }
    total
}
