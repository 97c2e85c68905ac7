//! What the emergency endpoint says of a rotation: how far it is, by which key, and what is still on the old one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use keyroll_host::SystemClock;
use keyroll_needle::{NeedleId, Needles};
use keyroll_observe::NotVisible;
use keyroll_port::{Clock as _, Journal as _, Overview, VersionInfo};
use keyroll_rotation::{Hold, Person, Phase, Reason, State, Want, wants};
use keyroll_secret::Credential;
use zeroize::Zeroizing;

use crate::operator::{Holder, StatusShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::blocking_pods::MOVING;
use crate::records::index::{Index, OpenRotation};
use crate::records::open_rotation_guard::held_by;
use crate::records::past::Past;
use crate::records::reasons;
use crate::records::recorded::{rotations_unread, state_of};
use crate::records::saved_plan::Saved;
use crate::records::versions::kept;
use crate::reports::status::StatusReader;
use crate::session::manual_mint::{awaited, pending, takes_key};
use crate::wiring::open::{journal, journal_for_a_look, runtime, store};

/// The largest undeclared copy that is read again, bytes; a larger one is listed as the plan saw it.
const COPY_BYTES_MAX: u64 = 16 << 20;

/// The hexadecimal digits of a keyed fingerprint that are shown.
const HASH_DIGITS: usize = 8;

/// A rotation whose consumers have all moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The secret.
    pub secret: String,
    /// The rotation.
    pub rotation: String,
    /// When the last consumer was proven on the new key, seconds since the Unix epoch.
    pub rotated_at: u64,
    /// The keyed fingerprint of the old value; none if the store does not have it any more.
    pub old_hash: Option<String>,
    /// The keyed fingerprint of the new value.
    pub new_hash: Option<String>,
}

/// Whether it waits for the consent to revoke the old key.
pub(crate) fn wants_consent(state: &State) -> bool {
    let consent = |want: &Want| matches!(want, Want::Person(Person::Consent(_)));
    state.hold() == Some(Hold::Paused(Reason::Consent)) || wants(state).iter().any(consent)
}

/// One rotation as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// How far it is.
    pub row: StatusShown,
    /// The keyed fingerprint of the new value, once it is sealed as a version.
    pub new_hash: Option<String>,
    /// What holds the old key now and is not moved by it: processes, and undeclared copies.
    pub still: Vec<String>,
}

/// The open rotation of a secret, as far as another request depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub id: String,
    /// It is an emergency.
    pub emergency: bool,
    /// It has no key yet, or the sealed one was not accepted: it takes one that is brought.
    pub takes_key: bool,
    /// A process drives it.
    pub driven: bool,
    /// It waits for the consent to revoke the old key.
    consent: bool,
    /// It waits for a step at the issuer's console.
    by_hand: bool,
}

impl Open {
    /// It would go on with a driver: nobody drives it, and a person need not act at the issuer or consent. `revokes`: the
    /// configuration consents.
    pub fn goes_on(&self, revokes: bool) -> bool {
        !self.driven && !self.by_hand && (revokes || !self.consent)
    }
}

/// The open rotation of the secret itself.
///
/// # Errors
/// The journal cannot be read.
pub fn open_rotation(secret: &str, places: &Places) -> Result<Option<Open>, Problem> {
    Ok(open_rotations(&[secret], places)?.pop().map(|(_, open)| open))
}

/// Those of the secrets that have an open rotation, also one whose state cannot be read.
///
/// # Errors
/// The journal cannot be read.
pub fn open_secrets(secrets: &[String], places: &Places) -> Result<BTreeSet<String>, Problem> {
    let Some(index) = open_index(places)? else { return Ok(BTreeSet::new()) };
    Ok(secrets.iter().filter(|secret| index.own(secret).is_some()).cloned().collect())
}

/// The open rotation of each secret that has one.
///
/// # Errors
/// The journal cannot be read.
pub fn open_rotations<'s, S: AsRef<str>>(
    secrets: &'s [S],
    places: &Places,
) -> Result<Vec<(&'s str, Open)>, Problem> {
    let Some(index) = open_index(places)? else { return Ok(Vec::new()) };
    let own = secrets.iter().map(AsRef::as_ref).filter_map(|secret| Some((secret, index.own(secret)?)));
    own.map(|(secret, own)| Ok((secret, open(secret, own, places)?))).collect()
}

/// The open rotations; none if no rotation ever began.
fn open_index(places: &Places) -> Result<Option<Index>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    runtime.block_on(Index::read(&journal)).map(Some).map_err(rotations_unread)
}

fn open(secret: &str, own: &OpenRotation, places: &Places) -> Result<Open, Problem> {
    let (id, recorded, state) = (own.id(), &own.recorded, &state_of(&own.recorded)?);
    let runtime = runtime(places)?;
    // A key that was brought and sealed is taken in by the next driver.
    let sealed =
        takes_key(state) && runtime.block_on(pending(&store(places)?.0, secret, recorded, state))?.is_some();
    let waits = reasons::awaited(state).is_some();
    let consent = waits && wants_consent(state);
    let driver = held_by(places).filter(|(_, work)| work.as_ref().is_none_or(|work| work.rotation == *id));
    let driven = driver.is_some() && state.hold().is_none();
    Ok(Open {
        emergency: state.emergency().is_some(),
        takes_key: takes_key(state) && (!sealed || awaited(state) && !driven),
        driven,
        consent,
        by_hand: waits && !consent && !sealed,
        id: id.to_string(),
    })
}

/// The newest rotation of the secret, if it is an emergency that began within this time and was not rolled back.
///
/// # Errors
/// The journal cannot be read.
pub fn recent_emergency(secret: &str, within: Duration, places: &Places) -> Result<Option<String>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    let Some(newest) = all.into_iter().find(|one| one.secret == secret) else { return Ok(None) };
    let age_ms = SystemClock::new().unix_ms().saturating_sub(newest.unix_ms);
    let recorded = runtime.block_on(journal.load(&newest.id)).map_err(rotations_unread)?;
    let state = state_of(&recorded)?;
    let counts = state.emergency().is_some() && state.phase() != Phase::RolledBack;
    let young = u128::from(age_ms) < within.as_millis();
    Ok((counts && young).then(|| newest.id.to_string()))
}

/// How far the rotation with this id is.
///
/// # Errors
/// The journal cannot be read.
pub fn row(id: &str, places: &Places) -> Result<StatusShown, Problem> {
    let none = || rotations_unread(keyroll_port::JournalError::Damaged(format!("{id} is not in it")));
    let reader = StatusReader::open(places, Some(id))?.ok_or_else(none)?;
    reader.read()?.into_iter().next().ok_or_else(none)
}

/// The rotation with this id as it stands.
///
/// # Errors
/// The journal or the store cannot be read.
pub fn standing(id: &str, places: &Places) -> Result<Standing, Problem> {
    let row = row(id, places)?;
    let (journal, runtime) = (journal_for_a_look(places)?.0, runtime(places)?);
    let recorded = runtime.block_on(journal.load(&keyroll_port::RotationId(id.to_owned())));
    let recorded = recorded.map_err(rotations_unread)?;
    let store = store(places)?;
    let versions = runtime.block_on(kept(store.as_ref(), &row.secret))?;
    let past = Past::of(&recorded);
    let old = runtime.block_on(async {
        use keyroll_port::Store as _;
        // Past the redactor, which would keep the value for as long as the process lives.
        store.0.read(&row.secret, recorded.opening.from_version).await.map_err(Problem::from)
    })?;
    let saved = Saved::of(&recorded).ok();
    let planned = saved.as_ref().map(|saved| saved.seen.unexplained.clone()).unwrap_or_default();
    // A copy on another host cannot be read here: it counts.
    let elsewhere = |place: &str| {
        let host = place.split_once(':').zip(saved.as_ref()).map(|((host, _), saved)| saved.host_id(host));
        host.flatten().is_some()
    };
    let holds = |place: &String| old.as_ref().is_none_or(|old| may_hold(place, old));
    let copies = planned.into_iter().filter(|place| elsewhere(place) || holds(place));
    let mut still: Vec<String> = row.blocked_by.iter().filter_map(still).chain(copies).collect();
    still.dedup();
    Ok(Standing { new_hash: new_hash(&past, &versions), still, row })
}

/// A blocker by its name; none if it has ended. Undeclared copies are named by the plan.
fn still(holder: &Holder) -> Option<String> {
    let kinds =
        ["undeclared process", "undeclared pod", "stale instance", MOVING, "user of the old key", "copy"];
    if !kinds.contains(&holder.kind) {
        return None;
    }
    match (holder.pid, &holder.host) {
        // Whether it has ended is not visible here.
        (Some(pid), Some(_)) => Some(format!("{} (process {pid})", holder.name)),
        (Some(pid), None) => match keyroll_observe::process(pid) {
            Err(NotVisible::Vanished) => None,
            Ok(_) | Err(_) => Some(format!("{} (process {pid})", holder.name)),
        },
        (None, _) => Some(holder.name.clone()),
    }
}

/// Whether the file holds the value, as far as it can be read.
fn may_hold(place: &str, old: &Credential) -> bool {
    let path = Path::new(place);
    match path.metadata() {
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
        Ok(meta) if !meta.is_file() || meta.len() > COPY_BYTES_MAX => return true,
        Ok(_) => {}
    }
    let Ok(text) = std::fs::read(path).map(Zeroizing::new) else { return true };
    let mut needles = Needles::builder();
    for ((_, value), id) in old.fields.secrets().zip(0..) {
        needles = needles.add(NeedleId(id), value);
    }
    let Ok(needles) = needles.build() else { return true };
    let mut found = false;
    needles.find(&text, &mut |_| found = true);
    found
}

/// The newest rotations whose consumers have all moved, the newest first.
///
/// # Errors
/// The journal or the store cannot be read.
pub fn rotation_log(most: usize, places: &Places) -> Result<Vec<Logged>, Problem> {
    if !places.journal().exists() {
        return Ok(Vec::new());
    }
    let runtime = runtime(places)?;
    let (journal, doubt) = journal_for_a_look(places)?;
    if let Some(doubt) = doubt {
        return Err(doubt);
    }
    let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    let (mut log, mut stored) = (Vec::new(), BTreeMap::new());
    for one in all {
        if log.len() >= most {
            break;
        }
        let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
        let past = Past::of(&recorded);
        let versions: &Vec<VersionInfo> = match stored.entry(one.secret.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(runtime.block_on(kept(store(places)?.as_ref(), &one.secret))?),
        };
        log.extend(logged(&one, &past, recorded.opening.from_version, versions));
    }
    Ok(log)
}

fn logged(one: &Overview, past: &Past, from: u32, versions: &[VersionInfo]) -> Option<Logged> {
    let state = past.state.as_ref()?;
    state.new_version()?;
    let rotated_at = past.moved_unix_ms.filter(|_| state.phase() != Phase::RolledBack)? / 1_000;
    Some(Logged {
        secret: one.secret.clone(),
        rotation: one.id.to_string(),
        rotated_at,
        old_hash: versions.iter().find(|version| version.number == from).and_then(hash),
        new_hash: new_hash(past, versions),
    })
}

fn new_hash(past: &Past, versions: &[VersionInfo]) -> Option<String> {
    let new = past.state.as_ref()?.new_version()?;
    let its = |version: &&VersionInfo| {
        version.credential.as_ref().is_some_and(|id| id.as_str() == new.credential.as_str())
    };
    versions.iter().rev().find(its).and_then(hash)
}

fn hash(version: &VersionInfo) -> Option<String> {
    let (_, print) = version.fingerprints.first()?;
    Some(print.to_string().chars().take(HASH_DIGITS).collect())
}
