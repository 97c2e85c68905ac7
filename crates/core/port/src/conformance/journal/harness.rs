use async_trait::async_trait;
use keyroll_rotation::{Event, Fact, Seq, Stamp};

use super::super::breach::{Breach, require};
use crate::{Journal, JournalError, Opening, RotationId};

/// The secret of every case.
pub const SECRET: &str = "acme";

/// What the suite needs of a test's journal.
///
/// Methods may panic when the storage of the journal fails: that is a broken test, not a breach.
#[async_trait]
pub trait JournalHarness: Send + Sync {
    /// An empty journal; the one before is gone.
    async fn fresh(&mut self);

    /// Closes the journal and opens it again.
    async fn reopen(&mut self);

    /// The journal. The same until the next `fresh` or `reopen`.
    fn journal(&self) -> &dyn Journal;

    /// What a rotation of this secret may be opened with.
    fn opening(&self, secret: &str) -> Opening;

    /// Adds a rotation of this secret as a newer keyroll (9.9.9) would open it. `false` where the journal cannot have
    /// one: the suite then skips the case.
    async fn plant_newer(&mut self, id: &RotationId, secret: &str, protocol: u32) -> bool;
}

pub(super) fn id(number: u32) -> RotationId {
    RotationId(format!("0190-{number}"))
}

pub(super) fn event(epoch: u64, fact: Fact) -> Event {
    Event { at: Stamp { ms: 5, boot: 6, epoch }, fact }
}

/// Opens rotation `number` of this secret.
pub(super) async fn open(harness: &dyn JournalHarness, number: u32, secret: &str) -> Result<(), Breach> {
    succeeds("open", harness.journal().open(&id(number), &harness.opening(secret)).await)
}

pub(super) async fn append(
    harness: &dyn JournalHarness,
    number: u32,
    seq: Seq,
    event: &Event,
) -> Result<(), JournalError> {
    harness.journal().append(&id(number), seq, event, unix_ms(seq)).await
}

/// The wall clock time at which the suite writes an entry.
pub(super) fn unix_ms(seq: Seq) -> u64 {
    1_000_u64.saturating_add(seq)
}

/// Rotation `number` must have these entries.
pub(super) async fn holds(
    harness: &dyn JournalHarness,
    when: &str,
    number: u32,
    events: &[Event],
) -> Result<(), Breach> {
    let recorded = succeeds("load", harness.journal().load(&id(number)).await)?;
    let count = recorded.events.len();
    require(
        recorded.events == events,
        format!("{when}, what was appended is read back, but were {count} entries"),
    )
}

pub(super) fn succeeds<T>(what: &str, outcome: Result<T, JournalError>) -> Result<T, Breach> {
    outcome.map_err(|error| Breach::new(format!("{what} must succeed, but {error}: {error:?}")))
}

/// The call must be refused because of an entry's number, and for no other reason.
pub(super) fn conflicts(what: &str, outcome: Result<(), JournalError>, last: Seq) -> Result<(), Breach> {
    let said = format!("{what} conflicts with entry {last}, but was {outcome:?}");
    require(matches!(outcome, Err(JournalError::Conflict { last: told }) if told == last), said)
}

/// The call must be refused because a newer driver has the rotation.
pub(super) fn is_fenced(what: &str, outcome: Result<(), JournalError>, newest: u64) -> Result<(), Breach> {
    let said = format!("{what} is fenced by epoch {newest}, but was {outcome:?}");
    require(matches!(outcome, Err(JournalError::Fenced { newest: told }) if told == newest), said)
}

/// The call must be refused because this rotation holds the secret, or the id.
pub(super) fn is_held(
    what: &str,
    outcome: Result<(), JournalError>,
    holder: &RotationId,
) -> Result<(), Breach> {
    let said = format!("{what} is refused because of {holder}, but was {outcome:?}");
    require(matches!(&outcome, Err(JournalError::Held { by }) if by == holder), said)
}
