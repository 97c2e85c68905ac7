//! Services of real process managers, moved by the shipped program: supervisord, pm2, gunicorn, and an adapter that
//! somebody else wrote. Each forward, back, and with keyroll killed in the middle.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a broken step is a failed test; the scene is another test's too"
)]

#[path = "managers/adapter.rs"]
mod adapter;
#[path = "managers/master.rs"]
mod master;
#[path = "managers/pm2.rs"]
mod pm2;
#[path = "hostile/ran.rs"]
mod ran;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "managers/service.rs"]
mod service;
#[path = "managers/supervisor.rs"]
mod supervisor;
#[path = "hostile/worker.rs"]
mod worker;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}
