//! Files that were accepted as they stand: keyroll neither writes nor restores them, and what they hold blocks nothing.

use crate::state::{Hold, Phase, Reason, State, UnitStep};
use crate::{FileId, Waived, Which, leave};

/// The operator accepts a file as it stands. The processes that read it still have to show what they use.
pub(crate) fn waived(next: &mut State, file: FileId) -> Result<(), &'static str> {
    if file.index() >= next.plan().files.len() {
        return Err("the rotation has no such file");
    }
    next.exceptions.waive(Waived::File(file));
    if next.phase() == Phase::RollingBack {
        retake_readers(next, file);
    }
    let is_about = match next.hold() {
        Some(Hold::Stuck(Reason::Foreign(held)) | Hold::Paused(Reason::Unreadable(held))) => held == file,
        Some(Hold::Stuck(_) | Hold::Paused(_)) | None => false,
    };
    if is_about {
        leave::release(next);
    }
    Ok(())
}

/// Units that failed to restore the file begin again.
fn retake_readers(next: &mut State, file: FileId) {
    for at in next.units.index().readers(file).to_vec() {
        let failed = |unit: &&crate::Unit| unit.stage == UnitStep::Failed && unit.toward == Which::Old;
        let Some(unit) = next.units.get(at).filter(failed) else { continue };
        let moved = unit.moved;
        next.units.send(at, Which::Old, moved, next.now());
    }
}
