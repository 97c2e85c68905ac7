//! The rotations of this state folder as their journal records them: how each ended, and how long it took.

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Overview};
use tokio::runtime::Runtime;

use crate::configured::secret;
use crate::installation::Installation;
use crate::operator::{ActShown, PastShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::downtimes::{Downtimes, Measured};
use crate::records::past::{Past, outcome};
use crate::records::recorded::rotations_unread;
use crate::records::rotation_ids::{chosen_id, no_rotation};
use crate::records::saved_plan::Saved;
use crate::records::waivers::Waivers;
use crate::records::{cause, old_key, remembered_names, waived};
use crate::reports::audit::{AuditRequest, audit};
use crate::wiring::open;

/// Rotations that are shown unless all are asked for.
const SHOWN_MAX: usize = 20;

/// Which rotations to read.
pub struct HistoryRequest<'a> {
    /// The name of a secret, or the beginning of a rotation's id; none = every rotation.
    pub about: Option<&'a str>,
    /// All of them instead of the newest.
    pub all: bool,
}

/// Rotations, the newest first.
pub struct History {
    /// Each rotation that was asked for.
    pub rows: Vec<PastShown>,
    /// The only row was named by its id.
    pub one: bool,
    /// Older rotations that were left out.
    pub older: usize,
    /// Why nothing may be done by this journal, if it was opened unchecked.
    pub doubt: Option<Problem>,
}

/// Reads the history; none where no rotation ever began.
///
/// # Errors
/// The journal cannot be read, or `about` names neither a secret nor a rotation.
pub fn history(
    request: &HistoryRequest<'_>,
    installation: &Installation,
) -> Result<Option<History>, Problem> {
    let places = installation.places()?;
    if !places.has_journal() {
        return Ok(None);
    }
    let runtime = open::runtime(&places)?;
    let (journal, doubt) = open::journal_for_a_look(&places)?;
    let mut all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    let one = match request.about {
        Some(name) => select(&mut all, name, installation)?,
        None => false,
    };
    let older = if request.all || one { 0 } else { all.len().saturating_sub(SHOWN_MAX) };
    all.truncate(all.len() - older);
    let (measured, waivers) = (Measured::all(&places), Waivers::load(&places)?);
    let reader = Reader { runtime, journal: &journal, places: &places, measured, waivers };
    let mut rows = all.iter().map(|overview| reader.row(overview)).collect::<Result<Vec<_>, _>>()?;
    if let (true, Some(row)) = (one, rows.first_mut()) {
        row.asked = asked_for(&row.id, installation)?;
    }
    Ok(Some(History { rows, one, older, doubt }))
}

/// Who asked for what of this rotation, the oldest first.
fn asked_for(id: &str, installation: &Installation) -> Result<Vec<ActShown>, Problem> {
    let request = AuditRequest { about: Some(id), all: true };
    let acts = audit(&request, installation)?.map(|audit| audit.rows).unwrap_or_default();
    Ok(acts.into_iter().rev().collect())
}

/// Keeps the rotations of the named secret, which may be in no configuration any more, or the rotation with this id.
/// Returns whether an id selected it.
fn select(all: &mut Vec<Overview>, name: &str, installation: &Installation) -> Result<bool, Problem> {
    if all.iter().any(|one| one.secret == name) {
        all.retain(|one| one.secret == name);
        return Ok(false);
    }
    if installation.config().is_ok_and(|config| config.secret(name).is_ok()) {
        all.clear();
        return Ok(false);
    }
    let ids = all.iter().map(|one| one.id.0.as_str());
    match chosen_id(name, ids, no_rotation()) {
        Ok(id) => {
            all.retain(|one| one.id.0 == id);
            Ok(true)
        }
        // A word that does not look like an id was meant as the name of a secret.
        Err(problem) if name.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(problem),
        Err(problem) => secret(&installation.config()?, name).map_or_else(Err, |_| Err(problem)),
    }
}

/// What the rows are read from.
struct Reader<'a> {
    runtime: &'a Runtime,
    journal: &'a SqliteJournal,
    places: &'a Places,
    measured: Vec<Measured>,
    waivers: Waivers,
}

impl Reader<'_> {
    fn row(&self, overview: &Overview) -> Result<PastShown, Problem> {
        let recorded = self.runtime.block_on(self.journal.load(&overview.id)).map_err(rotations_unread)?;
        let past = Past::of(&recorded);
        let state = past.state.as_ref();
        let old_key = state.map(|state| old_key::seen(&recorded, state).text());
        let called = self.runtime.block_on(remembered_names::called(self.journal, &recorded, state));
        let waived = state.map(|state| waived::waived(&called, &self.waivers, state));
        let downtimes = |saved| Downtimes::past(&self.measured, self.places, &saved);
        Ok(PastShown {
            id: overview.id.to_string(),
            secret: overview.secret.clone(),
            began: old_key::clock(overview.unix_ms),
            outcome: state.and_then(outcome),
            phase: state.and_then(|state| crate::operator::Phase::of(state.phase())),
            took_s: past.all_s,
            mint_to_last_moved_s: past.mint_to_last_moved_s,
            mint_to_dead_s: past.mint_to_dead_s,
            downtimes: Saved::of(&recorded).map_or_else(|_| Vec::new(), downtimes),
            old_key: old_key.unwrap_or_else(|| "unknown: its journal is unreadable".to_owned()),
            cause: cause::of(&recorded, &called),
            waived: waived.unwrap_or_default(),
            asked: Vec::new(),
            emergency: past.with_outside(called.outside()).emergency,
        })
    }
}
