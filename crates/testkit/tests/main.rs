//! The tests of `keyroll-testkit`: one program, one module per subject.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod pgload;
mod postgres;
mod ssh_hosts;
mod systemd_host;
