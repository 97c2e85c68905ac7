use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_needle::Needles;
use keyroll_observe::{process, read_small, started_unix_ms};

use crate::file_times::unix_ms;
use crate::{LinkRole, Place, Survey, ValueId};

/// The largest file that is read once more, bytes.
const BYTES_MAX: usize = 1 << 20;

/// How far behind the clock the times of files may be, milliseconds: one tick of the kernel.
const TICK_MS: u64 = 20;

const WHY: &str = "it was changed while processes were inspected";

impl Survey {
    /// Drops the values of winning copies that changed since they were read: such a copy no longer shows which value a
    /// start would take, and a process that has read it since would seem to use another value. Only files that changed
    /// since keyroll began are read again.
    pub(crate) fn leave_changed(&mut self) {
        let Some(needles) = self.values.needles() else { return };
        let began = process(std::process::id()).and_then(|own| started_unix_ms(&own.id)).unwrap_or(0);
        let known: BTreeSet<ValueId> = self.values.searched().collect();
        let mut files: BTreeMap<PathBuf, Option<BTreeSet<ValueId>>> = BTreeMap::new();
        for link in self.services.iter_mut().flat_map(|one| &mut one.chains).flat_map(|one| &mut one.links) {
            let wins = link.role == LinkRole::Wins;
            let (Some(Place::File { path, .. }), Some(value), true) = (&link.place, link.value, wins) else {
                continue;
            };
            let now = files.entry(path.clone()).or_insert_with(|| since(path, began, &needles));
            if now.as_ref().is_some_and(|now| known.contains(&value) && !now.contains(&value)) {
                link.role = LinkRole::NotVisible(WHY);
            }
        }
    }
}

/// The values that are in a file that was changed since; `None` = it was not changed.
fn since(path: &Path, began: u64, needles: &Needles) -> Option<BTreeSet<ValueId>> {
    let changed = std::fs::metadata(path).ok().and_then(|data| unix_ms(data.ctime(), data.ctime_nsec()));
    if changed.is_some_and(|changed| changed.saturating_add(TICK_MS) < began) {
        return None;
    }
    let mut found = BTreeSet::new();
    if let Ok(bytes) = read_small(path, BYTES_MAX) {
        needles.find(bytes.expose(), &mut |hit| {
            found.insert(ValueId(hit.id.0));
        });
    }
    Some(found)
}
