//! Refuses a store that is older than the journal, such as one restored alone from a backup.

use keyroll_codes::Code;
use keyroll_port::{Journal, Label, RotationId, Staging, Store, VersionInfo};
use keyroll_rotation::{Aim, Op, Phase, State};

use super::recorded::{rotations_unread, state_of};
use super::versions::kept;
use crate::exit::Exit;
use crate::problem::Problem;

/// Refuses a store that lacks what the journal recorded. A store that is newer than the journal is the result of a
/// crash, and the driver reconciles it.
pub async fn agree(
    journal: &dyn Journal,
    store: &dyn Store,
    staging: &dyn Staging,
    secret: &str,
) -> Result<(), Problem> {
    let versions = kept(store, secret).await?;
    let mut closed = false;
    for one in journal.list().await.map_err(rotations_unread)? {
        if one.secret != secret {
            continue;
        }
        let recorded = journal.load(&one.id).await.map_err(rotations_unread)?;
        let state = state_of(&recorded)?;
        let from = recorded.opening.from_version;
        // The newest is first: a shared secret has no current version after its key was revoked.
        closed |= state.plan().aim == Aim::End && (state.phase() == Phase::Done || dropping(&state));
        let lacking = match lacking(&state, from, &versions).filter(|_| !closed || from > 0) {
            Some(lacking) => Some(lacking),
            None => unsealed(&state, staging, secret, &one.id).await?,
        };
        if let Some(lacking) = lacking {
            return Err(older(secret, &one.id, lacking));
        }
    }
    Ok(())
}

/// The difference between the journal's record and the store's versions.
fn lacking(state: &State, from: u32, versions: &[VersionInfo]) -> Option<String> {
    // The first version of a member replaces the shared key, which belongs to another secret.
    if from == 0 {
        let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
        let any = versions.iter().any(|version| version.number > 0 && version.label == Label::Current);
        return (state.promoted() && !moving && !any)
            .then(|| "it made the first version current, but the store has no current version".to_owned());
    }
    let Some(replaced) = versions.iter().find(|version| version.number == from) else {
        return Some(format!("v{from}, which it replaces, is not in the store"));
    };
    // An unrecorded outcome may have changed the labels already.
    let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
    let behind = state.promoted() && !moving && replaced.label == Label::Current;
    behind.then(|| format!("it made the version after v{from} current, but in the store v{from} is current"))
}

/// A value that the journal recorded as sealed for an open rotation, and that is missing.
async fn unsealed(
    state: &State,
    staging: &dyn Staging,
    secret: &str,
    id: &RotationId,
) -> Result<Option<String>, Problem> {
    if state.ended() || state.phase() == Phase::RollingBack || dropping(state) {
        return Ok(None);
    }
    let intent = state.new_version().map(|new| new.mint).or_else(|| state.chosen());
    let Some(intent) = intent else { return Ok(None) };
    match staging.kept(secret, id, intent).await? {
        Some(_) => Ok(None),
        None => Ok(Some(format!("the new value that it sealed under entry {intent} is not in the store"))),
    }
}

fn dropping(state: &State) -> bool {
    state.intents().iter().any(|open| matches!(open.op, Op::Retire(_)))
}

fn older(secret: &str, id: &RotationId, lacking: String) -> Problem {
    Problem::new(Code::StoreOlderThanJournal, format!("use the sealed store for {secret}"))
        .because(format!("it is older than the journal: rotation {id}: {lacking}"))
        .help(
            "nothing was revoked; restore the secrets.db that belongs to this journal.db, then run the same \
             command again; without one, see keyroll explain K0621",
        )
        .exits(Exit::NeedsPerson)
}
