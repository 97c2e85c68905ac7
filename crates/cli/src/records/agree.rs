//! Whether the store is as new as the journal: one that was restored alone from a backup is not.

use keyroll_port::{Journal, JournalError, Label, RotationId, Store, VersionInfo};
use keyroll_rotation::{Aim, Op, Phase, State};

use super::recorded::state_of;
use super::versions::kept;
use crate::exit::Exit;
use crate::problem::Problem;

/// Refuses a store that lacks what the journal saw in it. Whatever is newer in the store than in the journal is what
/// a crash leaves, and is found out by the driver.
pub(crate) async fn agree(journal: &dyn Journal, store: &dyn Store, secret: &str) -> Result<(), Problem> {
    let failed = |error: JournalError| Problem::new("K0835", "read the rotations").because_of(&error);
    let versions = kept(store, secret).await?;
    let mut closed = false;
    for one in journal.list().await.map_err(failed)? {
        if one.secret != secret {
            continue;
        }
        let recorded = journal.load(&one.id).await.map_err(failed)?;
        let state = state_of(&recorded)?;
        let from = recorded.opening.from_version;
        // The newest stand first: after its end a secret that was split has no current version.
        closed |= state.plan().aim == Aim::End && (state.phase() == Phase::Done || dropping(&state));
        let lacking = match lacking(&state, from, &versions).filter(|_| !closed || from > 0) {
            Some(lacking) => Some(lacking),
            None => unsealed(&state, store, secret, &one.id).await?,
        };
        if let Some(lacking) = lacking {
            return Err(older(secret, &one.id, lacking));
        }
    }
    Ok(())
}

/// What the journal saw of the store's versions and they do not show.
fn lacking(state: &State, from: u32, versions: &[VersionInfo]) -> Option<String> {
    // Behind the first version of a secret that was split off stands the shared key, which is another's.
    if from == 0 {
        let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
        let any = versions.iter().any(|version| version.number > 0 && version.label == Label::Current);
        return (state.promoted() && !moving && !any)
            .then(|| "it made the first version current, and in the store none is".to_owned());
    }
    let Some(replaced) = versions.iter().find(|version| version.number == from) else {
        return Some(format!("v{from}, which it replaces, is not in the store"));
    };
    // An outcome that nobody wrote down may have changed the labels already.
    let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
    let behind = state.promoted() && !moving && replaced.label == Label::Current;
    behind.then(|| format!("it made the version after v{from} current, and in the store v{from} is"))
}

/// A value that the journal saw sealed for an open rotation, and that is not there.
async fn unsealed(
    state: &State,
    store: &dyn Store,
    secret: &str,
    id: &RotationId,
) -> Result<Option<String>, Problem> {
    if state.ended() || state.phase() == Phase::RollingBack || dropping(state) {
        return Ok(None);
    }
    let intent = state.new_version().map(|new| new.mint).or_else(|| state.chosen());
    let Some(intent) = intent else { return Ok(None) };
    match store.kept(secret, id, intent).await? {
        Some(_) => Ok(None),
        None => Ok(Some(format!("the new value that it sealed under entry {intent} is not in the store"))),
    }
}

fn dropping(state: &State) -> bool {
    state.intents().iter().any(|open| matches!(open.op, Op::Retire(_)))
}

fn older(secret: &str, id: &RotationId, lacking: String) -> Problem {
    Problem::new("K0621", format!("use the sealed store for {secret}"))
        .because(format!("it is older than the journal: rotation {id}: {lacking}"))
        .help(
            "nothing was revoked; put back the secrets.db that belongs to this journal.db, then run the same \
             command again; docs/errors/K0621.md says what to do if there is none",
        )
        .exits(Exit::NeedsPerson)
}
