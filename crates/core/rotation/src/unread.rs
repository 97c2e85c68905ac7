//! The files that keep a consumer from being restored because keyroll cannot read, or could not write, them.

use crate::state::{Phase, State, UnitStep};
use crate::{ConsumerId, FileId, Holds};

/// The files of a consumer that the last look of this rollback, in which every host answered, could not read: keyroll writes none of
/// them, whatever the consumer does.
pub(crate) fn unread(state: &State, id: ConsumerId) -> Vec<FileId> {
    let consumer = state.consumer(id).filter(|it| it.is_pushed() && state.phase() == Phase::RollingBack);
    let look = state.look().filter(|look| look.whole && look.seq > state.position.entered());
    let Some((consumer, look)) = consumer.zip(look) else { return Vec::new() };
    // It was waived, and is away.
    if look.seen.absent.contains(&consumer.host) {
        return Vec::new();
    }
    let is_unread = |file: &&FileId| {
        look.seen.files.contains(&(**file, Holds::Unreadable))
            && state.files.get(**file) == Holds::Unreadable
            && !state.accepts_file(**file)
    };
    consumer.files.iter().filter(is_unread).copied().collect()
}

/// Whether a consumer of this file was given up: the write of the file may be what failed.
pub(crate) fn has_failed_reader(state: &State, file: FileId) -> bool {
    let failed = |at: &usize| state.units.get(*at).is_some_and(|unit| unit.stage == UnitStep::Failed);
    state.units.index().readers(file).iter().any(failed)
}
