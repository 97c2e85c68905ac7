//! Looks what happened since the last look, once for all streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyroll_app::installation::Installation;
use keyroll_app::operator::{ActShown, StatusShown};
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_app::reports::changes::{self, Changes};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::api::shown::{RotationShown, RotationState};
use crate::server::Server;
use crate::streams::{Batch, Last, Look, Shown};

/// The most entries that are read at once, so that what waits for a slow reader is bounded.
const ENTRIES_MAX: u16 = 256;

/// What a stream has not shown yet.
pub(super) struct Page {
    /// What the stream showed last is not in this journal: it is begun anew, with what stands.
    pub(super) replaced: bool,
    pub(super) batch: Batch,
    /// The looks that come after it; none if there is more to read first.
    pub(super) looks: Option<broadcast::Receiver<Arc<Look>>>,
}

/// What was read of the journal.
enum Read {
    /// What stands: there was no look before, or the journal was replaced.
    Anew(Changes),
    /// What happened, and the other rotations that were read again.
    Since(Changes, Vec<StatusShown>),
}

/// The form in which something is streamed. It passes the redactor, as every answer does.
pub(super) fn text<T: Serialize>(body: &T) -> String {
    let text = serde_json::to_string(body).unwrap_or_default();
    redact::pass(&text).into_owned()
}

/// Looks what happened since the last look, and tells every stream. Returns the number of the newest entry. The caller
/// holds `server.streams.last`.
///
/// # Errors
/// The journal cannot be read; nothing was told.
pub(super) async fn look(server: &Arc<Server>, last: &mut Last) -> Result<u64, Problem> {
    loop {
        let (after, again) = (last.upto, unsettled(server, last));
        let upto = match server.blocking(move |installation| read(after, again, installation)).await? {
            Read::Anew(all) => anew(server, last, all),
            Read::Since(all, again) => since(server, last, all, again),
        };
        // Each entry has the number after the one before it.
        if upto.saturating_sub(after.unwrap_or(upto)) < u64::from(ENTRIES_MAX) {
            return Ok(upto);
        }
    }
}

/// What comes after the entry `own`, as far as it is read at once; without it, what stands.
///
/// # Errors
/// The journal cannot be read.
pub(super) async fn page(server: &Arc<Server>, own: Option<u64>) -> Result<Page, Problem> {
    // Held until the stream hears the looks: what they say is newer than this page.
    let mut last = server.streams.last.lock().await;
    let newest = look(server, &mut last).await?;
    let replaced = own.is_some_and(|own| own > newest);
    let own = own.filter(|_| !replaced).unwrap_or(newest);
    let all = match own < newest {
        true => server.blocking(move |installation| read_after(own, installation)).await?,
        false => Changes { upto: own, ..Changes::default() },
    };
    let (upto, acts) = (all.upto, acts(&all.acts));
    let is_last = upto >= newest;
    let moved: BTreeSet<String> = all.rotations.iter().map(|row| row.id.clone()).collect();
    let shown = all.rotations.into_iter().map(|row| text(&RotationShown::of(row, server)));
    let mut rotations: Vec<String> = shown.collect();
    // Also with a number: whether a rotation is driven is in no entry, and may have changed.
    if is_last {
        let others = last.open.iter().filter(|(id, _)| !moved.contains(*id));
        rotations.extend(others.map(|(_, shown)| shown.text.clone()));
    }
    let looks = is_last.then(|| server.streams.looks());
    Ok(Page { replaced, batch: Batch { upto, acts, rotations }, looks })
}

fn read_after(after: u64, installation: &Installation) -> Result<Changes, Problem> {
    changes::changes(after, usize::from(ENTRIES_MAX), installation)
}

fn read(after: Option<u64>, again: BTreeSet<String>, installation: &Installation) -> Result<Read, Problem> {
    let newest = changes::newest(installation)?;
    let Some(after) = after.filter(|after| *after <= newest) else {
        return Ok(Read::Anew(changes::standing(installation)?));
    };
    let all = match after < newest {
        true => read_after(after, installation)?,
        false => Changes { upto: after, ..Changes::default() },
    };
    let is_read = |id: &String| all.rotations.iter().any(|row| row.id == *id);
    let others: BTreeSet<String> = again.into_iter().filter(|id| !is_read(id)).collect();
    let others = changes::rotations(&others, installation)?;
    Ok(Read::Since(all, others))
}

fn acts(all: &[ActShown]) -> Vec<(u64, String)> {
    all.iter().map(|act| (act.entry, text(act))).collect()
}

/// Notes what stands. Whoever was shown something of another journal must begin anew.
fn anew(server: &Server, last: &mut Last, all: Changes) -> u64 {
    let replaced = last.upto.is_some();
    *last = Last { upto: Some(all.upto), open: BTreeMap::new() };
    for row in all.rotations {
        note(server, last, row);
    }
    if replaced {
        server.streams.tell(Look::Replaced);
    }
    all.upto
}

/// Notes what happened, and tells it if there is anything.
fn since(server: &Server, last: &mut Last, all: Changes, again: Vec<StatusShown>) -> u64 {
    let (upto, acts) = (all.upto, acts(&all.acts));
    let is_new = last.upto != Some(upto);
    let moved = all.rotations.into_iter().map(|row| note(server, last, row).0);
    let mut rotations: Vec<String> = moved.collect();
    let changed = again.into_iter().map(|row| note(server, last, row)).filter(|(_, changed)| *changed);
    rotations.extend(changed.map(|(text, _)| text));
    last.upto = Some(upto);
    if is_new || !rotations.is_empty() {
        server.streams.tell(Look::Moved(Batch { upto, acts, rotations }));
    }
    upto
}

/// Notes how a rotation is shown now. Returns that, and whether another state was shown last.
fn note(server: &Server, last: &mut Last, row: StatusShown) -> (String, bool) {
    let now = RotationShown::of(row.clone(), server);
    let (id, mark, text) = (row.id.clone(), mark(&now), text(&now));
    let shown = Shown { row, mark: mark.clone(), text: text.clone() };
    let before = match now.state {
        RotationState::Ended => last.open.remove(&id),
        RotationState::Queued | RotationState::Driven | RotationState::Waiting | RotationState::Refused => {
            last.open.insert(id, shown)
        }
    };
    (text, before.is_none_or(|before| before.mark != mark))
}

fn mark(shown: &RotationShown) -> String {
    format!("{:?} {:?}", shown.state, shown.code)
}

/// The rotations that may stand otherwise now without an entry: those with a driver, which ends after its last entry, and
/// those that got one.
fn unsettled(server: &Server, last: &Last) -> BTreeSet<String> {
    let may = |shown: &Shown| {
        let now = RotationShown::of(shown.row.clone(), server);
        now.state == RotationState::Driven || mark(&now) != shown.mark
    };
    last.open.iter().filter(|(_, shown)| may(shown)).map(|(id, _)| id.clone()).collect()
}
