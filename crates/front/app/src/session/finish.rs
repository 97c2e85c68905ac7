//! Finishes what a killed driver left undone.

use keyroll_codes::Code;
use keyroll_host::tidy;
use keyroll_port::{Journal, JournalError};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::holds;

/// Closes rotations that have ended, which releases their secrets, and removes values of rotations that are not open.
/// The caller holds the lock of the state folder.
pub(crate) async fn finish(journal: &dyn Journal, places: &Places) -> Result<(), Problem> {
    let failed =
        |error: JournalError| Problem::new(Code::Stopped, "clean up after an earlier run").because_of(&error);
    let all = journal.list().await.map_err(failed)?;
    let mut open = Vec::new();
    for overview in all.iter().filter(|overview| overview.open) {
        match holds(journal, overview).await.map_err(failed)? {
            true => open.push(overview.id.0.as_str()),
            false => journal.close(&overview.id).await.map_err(failed)?,
        }
    }
    tidy(&places.state.join("work"), &open)?;
    Ok(())
}
