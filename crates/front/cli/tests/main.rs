//! The tests of `keyroll`: one program, one module per subject.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

mod aimed;
mod bad_days;
mod canary;
mod dead_leaks;
mod debian;
mod dist;
mod docker;
mod due;
mod emergency;
mod fleet;
mod fuzzed;
mod gate;
mod hostile;
mod iam;
mod incidents;
mod init;
mod issuers;
mod kept;
mod kill;
mod kubernetes;
mod leaks;
mod litellm;
mod managers;
mod matrix;
mod metrics;
mod newcomer;
mod night;
mod notices;
mod notices_ways;
mod openclaw;
mod opens;
mod operated;
mod overlaps;
mod paced;
mod pages;
mod postgres;
mod prints;
mod process;
mod run_terminal;
mod scenes;
mod scheduled;
mod sealed;
mod sealing;
mod seen;
mod servers;
mod shielded;
mod split;
mod static_roles;
mod stores;
mod systemd;
mod terminal;
mod transcripts;
mod two_keyrolls;
mod units;
mod unsearched;
mod values;
mod way;
mod weak;
