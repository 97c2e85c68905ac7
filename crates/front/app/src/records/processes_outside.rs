//! The processes outside the PID namespace from which an emergency is driven. It is not held up by what it cannot see, so
//! whoever reads of it later has to be told.

use keyroll_observe::{Extent, extent};
use keyroll_port::{Journal, RotationId, digest_of_outside};

/// What is not visible, and what that means.
pub(super) const OUTSIDE: &str = "processes outside the container or PID namespace from which it was driven: one of them may \
                                  still have the old key";

/// Remembers it for the rotation, if this process sees only a part of the machine. A later driver that sees all of it takes
/// nothing back: it does not know what the earlier one would have seen.
pub(crate) async fn remember(journal: &dyn Journal, id: &RotationId) {
    if extent() == Extent::Part {
        // A name is for display alone, and an emergency does not wait for it.
        let _ = journal.remember(digest_of_outside(&id.0), OUTSIDE).await;
    }
}
