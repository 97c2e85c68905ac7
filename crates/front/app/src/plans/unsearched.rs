//! What a plan says about processes whose memory was not searched.

use keyroll_config::Secret;
use keyroll_port::Looked;

use crate::quantity::quantity;
use crate::records::blockers::{not_searched, setting};

/// One note for each declared instance whose memory was not searched completely, and one for all undeclared processes.
pub(super) fn notes(looked: &Looked, secret: &Secret, ends_old: bool) -> Vec<String> {
    let seen = &looked.enumeration;
    let mut notes = Vec::new();
    let mut undeclared = 0;
    for missed in &seen.unsearched {
        let Some(consumer) = seen.consumer_of(missed.who) else {
            undeclared += 1;
            continue;
        };
        let name = secret.consumers.get(consumer.index()).map_or("?", |consumer| consumer.name.as_str());
        let pid = missed.who.pid().unwrap_or_default();
        notes.push(format!(
            "{name}, process {pid}: {}; if that does not change, the rotation pauses before it disables or revokes \
             the old key\n  raise `{}` in keyroll.toml",
            not_searched(missed.limit),
            setting(missed.limit)
        ));
    }
    if undeclared > 0 && ends_old {
        notes.push(format!(
            "the memory of {} was not searched completely: before the old key is revoked you are asked about them by \
             name, also with a standing consent\n  raise `search.max_memory` or `search.deadline` in keyroll.toml",
            quantity(undeclared, "undeclared process")
        ));
    }
    notes
}
