//! Which secrets are due by their `rotate_every`.

use keyroll_config::{Config, Decide, Secret};
use keyroll_host::SystemClock;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Clock as _, Journal as _, Label, RotationId, Store};
use tokio::runtime::Runtime;

use crate::operator::DueShown;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::open_rotation_guard::open_of;
use crate::records::plan_names::Called;
use crate::records::reasons::reason_text;
use crate::records::recorded::{rotations_unread, state_of};
use crate::records::versions::kept;
use crate::wiring::open;

/// Whether the configuration consents to rotations without an operator. The protocol accepts this only without
/// waivers and with an issuer that lets two keys be valid at once.
pub(crate) fn has_standing_consent(secret: &Secret) -> bool {
    secret.unattended && secret.revoke.decide == Decide::Standing
}

/// Every secret with a `rotate_every`: its age, and the rotation of it that is open.
///
/// # Errors
/// The journal or the store cannot be opened or read.
pub fn due(config: &Config, places: &Places) -> Result<Vec<DueShown>, Problem> {
    let runtime = open::runtime(places)?;
    let journal = places.journal().exists().then(|| open::journal(places)).transpose()?;
    let store = places.state.join("secrets.db").exists().then(|| open::store(places)).transpose()?;
    let now = SystemClock::new().unix_ms();
    let mut rows = Vec::new();
    for secret in config.secrets.values() {
        let Some(every) = secret.rotate_every else { continue };
        let name = secret.name.as_str();
        let made = store.as_deref().map(|store| made(runtime, store, name)).transpose()?.flatten();
        let open = match &journal {
            Some(journal) => open_now(runtime, journal, name)?,
            None => None,
        };
        let (open, stands_still) = open.unzip();
        rows.push(DueShown {
            secret: name.to_owned(),
            age_s: made.map(|made| now.saturating_sub(made) / 1_000),
            rotate_every_s: every.as_secs(),
            unattended: has_standing_consent(secret),
            open: open.map(|id| id.0),
            stands_still: stands_still.flatten(),
        });
    }
    Ok(rows)
}

/// When the current version was added; none where the secret has no value yet.
fn made(runtime: &Runtime, store: &dyn Store, secret: &str) -> Result<Option<u64>, Problem> {
    let versions = runtime.block_on(kept(store, secret))?;
    Ok(versions.into_iter().find(|version| version.label == Label::Current).map(|version| version.unix_ms))
}

/// The open rotation of a secret, and why it is paused, if it is.
fn open_now(
    runtime: &Runtime,
    journal: &SqliteJournal,
    secret: &str,
) -> Result<Option<(RotationId, Option<String>)>, Problem> {
    let Some(id) = runtime.block_on(open_of(journal, secret)).map_err(rotations_unread)? else {
        return Ok(None);
    };
    let recorded = runtime.block_on(journal.load(&id)).map_err(rotations_unread)?;
    let state = state_of(&recorded)?;
    let called = Called::of(&recorded);
    let why = state.hold().map(|hold| reason_text(&called, &state, hold.reason()));
    Ok(Some((id, why)))
}
