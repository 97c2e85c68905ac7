//! What a driver that was killed at its very end did not come to do.

use keyroll_host::tidy;
use keyroll_port::{Journal, JournalError};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::holds;

/// Closes rotations that have ended, so that they do not hold their secrets, and removes what belongs to none that is
/// open. Only for whoever holds the state's lock.
pub(crate) async fn finish(journal: &dyn Journal, places: &Places) -> Result<(), Problem> {
    let failed = |error: JournalError| {
        Problem::new("K0834", "finish what an earlier run has ended").because_of(&error)
    };
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
