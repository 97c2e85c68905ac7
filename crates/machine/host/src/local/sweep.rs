//! The last search for the old value.

use std::collections::BTreeSet;

use keyroll_observe::{FileLimits, Place, called_in_folder, search_files, search_holders, shown};
use keyroll_port::{Failure, Residue, Swept, Values};
use keyroll_rotation::{Holds, Which};

use super::concurrent_scanners::searches;
use super::enumerate::{hidden, listing};
use super::find::{OLD, Sought};
use super::{Local, not_seen};

impl Local {
    pub(super) fn sweep_all(&self, values: Values<'_>) -> Result<Swept, Failure> {
        let needles = self.needles(values)?;
        self.sweep_for(Sought { by: &*needles, values })
    }

    /// The last search, by this one.
    pub(super) fn sweep_for(&self, sought: Sought<'_>) -> Result<Swept, Failure> {
        let Sought { by, values } = sought;
        let (_, names, mut not_visible) = self.strangers(values, by, OLD);
        let mut residues: Vec<Residue> = names
            .into_iter()
            .map(|named| Residue {
                place: named.name,
                reason: "holds the dead value; no consumer reads it".into(),
            })
            .collect();
        let left = search_files(&self.left(), by, FileLimits::default());
        for hit in left.hits.iter().filter(|hit| hit.id == OLD) {
            let place = shown(&hit.path);
            if residues.iter().all(|known| known.place != place) {
                let reason = "holds the dead value; its agent left it there and takes no key from it".into();
                residues.push(Residue { place, reason });
            }
        }
        for file in &self.setup.files {
            // An ended login beside the new one is removed by another delivery.
            if self.holds(file, values, Which::New) == Holds::Old && !self.has_both(file, values) {
                let place = file.path.display().to_string();
                residues.push(Residue { place, reason: "was written back to the dead value".into() });
            }
        }
        let (limits, listing) = (self.setup.search, listing()?);
        let none_first = BTreeSet::new();
        let report = search_holders(&listing, by, &none_first, Some(limits.of_one()), limits.time_max);
        for holder in report.holders.iter().filter(|holder| !searches(holder)) {
            let reason = match (holder.places.get(&Place::Environment), holder.places.get(&Place::Memory)) {
                (Some(ids), _) if ids.contains(&OLD) => {
                    "its environment holds the dead value until it restarts"
                }
                (_, Some(ids)) if ids.contains(&OLD) => {
                    "its memory still holds the dead value: residue that its allocator may keep"
                }
                _ => continue,
            };
            let place = format!("process {} ({})", holder.process.id.pid, called_in_folder(&holder.process));
            residues.push(Residue { place, reason: reason.into() });
        }
        not_visible.extend(not_seen::lines(&report.not_seen));
        not_visible.extend(listing.hidden.iter().map(hidden));
        Ok(Swept { residues, not_visible, downtimes: self.take_downtimes() })
    }
}
