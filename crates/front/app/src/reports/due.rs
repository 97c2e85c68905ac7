//! Which secrets are due by their `rotate_every`.

use std::collections::BTreeMap;

use keyroll_config::{Config, Decide, Secret};
use keyroll_host::SystemClock;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Clock as _, Journal as _, Label, RotationId, Store};
use keyroll_rotation::Phase;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::operator::{DueFailed, DueShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock_s;
use crate::records::open_rotation_guard::open_of;
use crate::records::reasons::{awaited, reason_text};
use crate::records::recorded::{last_unix_ms, rotations_unread, state_of};
use crate::records::versions::kept;
use crate::records::{remembered_names, state_file};
use crate::window::{Opening, opening};
use crate::wiring::open;

/// How long after an attempt that failed the server tries again, seconds; each time twice as long.
const AGAIN_S: u64 = 600;
const AGAIN_S_MAX: u64 = 6 * 3_600;
/// How long after the time of the next attempt the last one is still shown, seconds: by then the next one has ended, or
/// nobody makes one any more.
const SHOWN_S: u64 = 600;
/// How long after a rotation that was rolled back the server begins no other, seconds.
const ROLLED_BACK_S: u64 = 86_400;

/// An attempt to begin a due rotation that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    /// When the version was added that was due, Unix seconds: an attempt says nothing about another version.
    since_s: u64,
    at_s: u64,
    again_s: u64,
    attempts: u32,
    why: String,
    next: Option<String>,
}

impl Attempt {
    fn shown(&self) -> DueFailed {
        DueFailed {
            why: self.why.clone(),
            at: clock_s(self.at_s),
            again: clock_s(self.again_s),
            again_s: self.again_s,
            next: self.next.clone(),
        }
    }
}

/// It only says when to try again: a file that cannot be read keeps nobody from seeing what is due.
fn attempts(places: &Places) -> BTreeMap<String, Attempt> {
    state_file::load(&places.scheduled()).unwrap_or_default()
}

/// Forgets what was met before: a rotation of the secret was opened.
///
/// # Errors
/// The file cannot be written.
pub fn has_begun(secret: &str, places: &Places) -> Result<(), Problem> {
    let mut all = attempts(places);
    match all.remove(secret) {
        Some(_) => state_file::replace(&places.scheduled(), &all),
        None => Ok(()),
    }
}

/// Writes down that a due rotation could not be begun, and when it is tried again.
///
/// # Errors
/// The file cannot be read or written.
pub fn could_not_begin(
    row: &DueShown,
    why: &str,
    next: Option<&str>,
    places: &Places,
) -> Result<(), Problem> {
    let mut all = attempts(places);
    let now = SystemClock::new().unix_ms() / 1_000;
    let since_s = row.since_s.unwrap_or_default();
    let before = all.get(&row.secret).filter(|attempt| attempt.since_s == since_s);
    let attempts = before.map_or(0, |attempt| attempt.attempts).saturating_add(1);
    let wait = AGAIN_S.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(AGAIN_S_MAX);
    let (why, next) = (why.to_owned(), next.map(str::to_owned));
    let attempt = Attempt { since_s, at_s: now, again_s: now.saturating_add(wait), attempts, why, next };
    all.insert(row.secret.clone(), attempt);
    state_file::replace(&places.scheduled(), &all)
}

/// A due secret with a standing consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its row.
    pub row: DueShown,
    /// Why its rotation does not begin now; none if it does.
    pub held_back: Option<String>,
}

/// The secrets whose rotation the server begins, or goes on with, now, and those that are due and held back.
///
/// # Errors
/// The journal or the store cannot be opened or read.
pub fn turns(config: &Config, places: &Places) -> Result<Vec<Turn>, Problem> {
    let now = SystemClock::new().unix_ms() / 1_000;
    let mut turns = Vec::new();
    for row in due(config, places)?.into_iter().filter(|row| row.unattended) {
        // What is paused waits for a person, and its rotation says so.
        if row.stands_still.is_some() || (row.open.is_none() && !row.due()) {
            continue;
        }
        let waits = row.failed.as_ref().filter(|failed| now < failed.again_s);
        let waits = waits.map(|failed| format!("it could not begin, and is tried again at {}", failed.again));
        // What is open goes on, also outside its window.
        let held_back = waits.or_else(|| row.shut.clone().filter(|_| row.open.is_none()));
        turns.push(Turn { row, held_back });
    }
    Ok(turns)
}

/// Why another rotation does not begin, if the newest one of the secret was rolled back within a day: what did not work is
/// not tried again and again, each time with another key and another restart.
fn rolled_back(
    runtime: &Runtime,
    journal: &SqliteJournal,
    secret: &str,
    now_s: u64,
) -> Result<Option<String>, Problem> {
    let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    let Some(newest) = all.into_iter().find(|one| one.secret == secret) else { return Ok(None) };
    let recorded = runtime.block_on(journal.load(&newest.id)).map_err(rotations_unread)?;
    let last_s = last_unix_ms(&recorded) / 1_000;
    let held =
        state_of(&recorded)?.phase() == Phase::RolledBack && now_s.saturating_sub(last_s) < ROLLED_BACK_S;
    let again = clock_s(last_s.saturating_add(ROLLED_BACK_S));
    Ok(held.then(|| {
        format!(
            "its rotation {} was rolled back; another one begins after {again}, or now with keyroll plan {secret}",
            newest.id
        )
    }))
}

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
    let failed = attempts(places);
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
        let age_s = made.map(|made| now.saturating_sub(made) / 1_000);
        let windows = secret.windows.as_ref().unwrap_or(&config.schedule.windows);
        let shut = match opening(windows) {
            Ok(Opening::Now) => None,
            Ok(Opening::At(at_s)) => Some(format!("its window opens {}", clock_s(at_s))),
            // One secret with a wrong window does not keep the others from their rotation.
            Err(problem) => Some(problem.sentence()),
        };
        let since_s = made.map(|made| made / 1_000);
        let overdue_s = every.saturating_add(config.schedule.overdue_after).as_secs();
        // A clock that was set back to before an attempt makes nobody wait for it.
        let counts = |attempt: &&Attempt| {
            let shown = attempt.at_s..attempt.again_s.saturating_add(SHOWN_S);
            Some(attempt.since_s) == since_s && shown.contains(&(now / 1_000))
        };
        let mut row = DueShown {
            secret: name.to_owned(),
            age_s,
            rotate_every_s: every.as_secs(),
            owner: secret.owner.clone(),
            overdue: age_s.is_some_and(|age| age >= overdue_s),
            unattended: has_standing_consent(secret),
            shut,
            since_s,
            failed: failed.get(name).filter(counts).map(Attempt::shown),
            open: open.map(|id| id.0),
            stands_still: stands_still.flatten(),
        };
        // The search for it costs, and is for those that would begin.
        if let Some(journal) = &journal
            && (row.unattended, row.due(), &row.open) == (true, true, &None)
        {
            row.shut = rolled_back(runtime, journal, name, now / 1_000)?.or(row.shut);
        }
        rows.push(row);
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
    let called = runtime.block_on(remembered_names::called(journal, &recorded, Some(&state)));
    // A step at the issuer's console is no pause, and ends by no driver either.
    let waits = awaited(&state).map(str::to_owned);
    let why = state.hold().map(|hold| reason_text(&called, &state, hold.reason())).or(waits);
    Ok(Some((id, why)))
}
