//! Names that a shell may complete. Nothing is locked, written or asked, and what cannot be read is not offered.

use std::time::{Duration, Instant};

use keyroll_journal::{Glimpse, glance};

use crate::installation::Installation;
use crate::places::{Places, check};
use crate::records::rotation_ids::rotation_id;
use crate::records::saved_plan::Saved;

/// The most ids that are offered: the newest.
const IDS_MAX: usize = 20;

/// The most rotations that are looked at.
const ROTATIONS_MAX: usize = 1_000;

/// How long the journal may be read.
const READING_MAX: Duration = Duration::from_millis(300);

/// An id, and the secret that it is about; none if that is not known.
pub type Offered = (String, Option<String>);

/// The names of the configured secrets.
pub fn secrets(installation: &Installation) -> Vec<String> {
    let config = installation.config();
    config.map(|config| config.secrets.keys().map(ToString::to_string).collect()).unwrap_or_default()
}

/// The open rotations, the newest first. Only for a process that has not opened the journal.
pub fn rotations(installation: &Installation) -> Vec<Offered> {
    let Some(places) = own(installation) else { return Vec::new() };
    let open = recorded(&places).into_iter().filter(|one| one.open && is_id(&one.id));
    open.take(IDS_MAX).map(|one| (one.id, Some(one.secret))).collect()
}

/// The plans of which no rotation is recorded, the newest first. Only for a process that has not opened the journal.
pub fn plans(installation: &Installation) -> Vec<Offered> {
    let Some(places) = own(installation) else { return Vec::new() };
    let begun = recorded(&places);
    let mut ids = Saved::ids(&places);
    ids.retain(|id| is_id(id) && !begun.iter().any(|one| one.id == *id));
    // An id begins with the time at which it was made.
    ids.sort_unstable();
    let newest = ids.into_iter().rev().take(IDS_MAX);
    let offered = |id: String| {
        let secret = Saved::load(&places, &id).ok().map(|saved| saved.secret);
        (id, secret)
    };
    newest.map(offered).collect()
}

/// The folders, if they belong to this user alone.
fn own(installation: &Installation) -> Option<Places> {
    let places = installation.places().ok()?;
    check(&places.state).ok().map(|()| places)
}

fn recorded(places: &Places) -> Vec<Glimpse> {
    glance(&places.state, ROTATIONS_MAX, Instant::now() + READING_MAX)
}

/// Whether a shell can take it as a word.
fn is_id(id: &str) -> bool {
    rotation_id(id).is_ok()
}
