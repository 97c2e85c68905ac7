//! `init` on machines with real services: what it writes can be planned and carried out, what a person wrote stays as it is,
//! and no value is in any of it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a broken step is a failed test; the scenes are other tests' too"
)]

#[path = "init/agents.rs"]
mod agents;
#[path = "init/kept.rs"]
mod kept;
#[path = "init/merged.rs"]
mod merged;
#[path = "matrix/place.rs"]
mod place;
#[path = "hostile/ran.rs"]
mod ran;
#[path = "matrix/rows.rs"]
mod rows;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "matrix/serve.rs"]
mod serve;
#[path = "hostile/worker.rs"]
mod worker;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    match std::env::var(worker::PART) {
        Ok(text) if text.starts_with("serve ") => serve::play(&text),
        Ok(_) | Err(_) => worker::play(),
    }
}
