//! What a driver that was killed at its very end did not come to do.

use keyroll_host::tidy;
use keyroll_port::Journal;

use super::drive::state_of;
use crate::places::Places;
use crate::problem::Problem;

/// Closes rotations that have ended, so that they do not hold their secrets, and removes what belongs to none that is
/// open. Only for whoever holds the state's lock.
pub(crate) async fn finish(journal: &dyn Journal, places: &Places) -> Result<(), Problem> {
    let attempted = || Problem::new("K0834", "finish what an earlier run has ended");
    let all = journal.list().await.map_err(|error| attempted().because_of(&error))?;
    let mut open = Vec::new();
    for overview in all.iter().filter(|overview| overview.open) {
        let recorded = journal.load(&overview.id).await.map_err(|error| attempted().because_of(&error))?;
        // One that cannot be read is a person's: it holds its secret, and says so when it is taken up.
        let ended = state_of(&recorded).is_ok_and(|state| state.ended() && state.debt().is_none());
        if ended {
            journal.close(&overview.id).await.map_err(|error| attempted().because_of(&error))?;
        } else {
            open.push(overview.id.0.as_str());
        }
    }
    tidy(&places.state.join("work"), &open)?;
    Ok(())
}
