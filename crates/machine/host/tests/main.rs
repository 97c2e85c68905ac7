//! The tests of `keyroll-host`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod agent_rows;
mod conformance;
mod evidence;
mod exec_in_place;
mod faults;
mod fetched;
mod files;
mod followers;
mod generations;
mod halves;
mod init_process;
mod live;
mod local;
mod poolers;

/// A survey of a host whose copies hold the old version.
async fn survey(
    host: &keyroll_host::Local,
    old: &keyroll_secret::Fields,
    next: Option<&keyroll_secret::Fields>,
    rehearses: bool,
) -> Result<keyroll_port::Survey, keyroll_port::Failure> {
    let of = keyroll_port::Surveying {
        values: keyroll_port::Values { old, new: None, old_ended: false },
        next,
        sessions: &keyroll_port::Sessions::default(),
        begins_on: keyroll_rotation::Holds::Old,
        restarts: false,
        rehearses,
    };
    keyroll_port::Surveyor::survey(host, of).await
}

/// An effect under this intent without a time limit.
fn step(intent: u64) -> keyroll_port::Asked {
    keyroll_port::Asked { intent, until_ms: u64::MAX }
}

/// Evidence, asked for as the engine does it: the sessions are read before the first half, and once more before the second
/// one if the first one says so.
async fn prove(
    host: &keyroll_host::Local,
    of: keyroll_port::Proving<'_>,
    mut sessions: impl FnMut() -> keyroll_port::Sessions,
) -> keyroll_port::Proved {
    use keyroll_port::Host as _;

    let before = sessions();
    let prepared = host.prepare(of, &before).await.unwrap();
    let after = if prepared.reads_again { sessions() } else { before };
    host.go(prepared, of, &after).await
}
