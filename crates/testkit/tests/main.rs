//! The tests of `keyroll-testkit`: one program, one module per subject.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod external_secrets;
mod kubernetes;
mod pgload;
mod postgres;
mod ssh_hosts;
mod systemd_host;
