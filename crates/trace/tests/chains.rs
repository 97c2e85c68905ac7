//! Which copy wins: for each manager the chain of a value that has two versions, compared with what the program has that is
//! really started next, by the verb that applies a change and by the one that only seems to.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken step is a failed test"
)]

#[path = "chains/bad_days.rs"]
mod bad_days;
#[path = "chains/containers.rs"]
mod containers;
#[path = "chains/openclaw.rs"]
mod openclaw;
#[path = "chains/pm2.rs"]
mod pm2;
#[path = "chains/programs.rs"]
mod programs;
#[path = "chains/scene.rs"]
mod scene;
#[path = "chains/supervisord.rs"]
mod supervisord;
#[path = "chains/systemd.rs"]
mod systemd;
