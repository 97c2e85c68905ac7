use keyroll_trace::{Risks, SurveyedSecret};

use crate::found::{FoundShown, InstanceShown, StoreShown};
use crate::look::Inventory;
use crate::not_visible::Missed;

/// What `scan` shows of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// The secrets, the most used ones first.
    pub found: Vec<FoundShown>,
    /// The processes that use them, in the same order.
    pub instances: Vec<InstanceShown>,
    /// The encrypted stores that cannot be read.
    pub stores: Vec<StoreShown>,
    /// The first secret that has a user and whose copies hold different values.
    pub differs: Option<String>,
    /// What could not be inspected.
    pub missed: Vec<Missed>,
    /// Root would see more.
    pub refused: bool,
}

/// What `trace` shows of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceReport {
    /// The secret with all its copies.
    pub found: FoundShown,
    /// The processes that use it.
    pub instances: Vec<InstanceShown>,
    /// The sentence that is shown if there are none.
    pub nobody: String,
    /// What could not be inspected.
    pub missed: Vec<Missed>,
    /// Root would see more.
    pub refused: bool,
}

impl Inventory {
    /// Everything that was found so far.
    pub fn scan(&self) -> ScanReport {
        self.scan_with(&mut Risks::default())
    }

    /// The same; what `risks` learns of folders is kept for the next report.
    pub fn scan_with(&self, risks: &mut Risks) -> ScanReport {
        let differs = self.found.iter().find(|one| !one.users.is_empty() && one.copies_differ());
        ScanReport {
            found: self.found.iter().map(|one| self.secret(one, risks)).collect(),
            instances: self.found.iter().flat_map(|one| self.instances(one)).collect(),
            stores: self.stores(),
            differs: differs.map(|one| one.name.clone()),
            missed: self.missed(),
            refused: self.refused(),
        }
    }

    /// One secret; with `evidence`, each process has all observations of it.
    pub fn trace(&self, found: &SurveyedSecret, evidence: bool) -> TraceReport {
        TraceReport {
            found: self.secret(found, &mut Risks::default()),
            instances: match evidence {
                true => self.instances_with_evidence(found),
                false => self.instances(found),
            },
            nobody: self.nobody(),
            missed: self.missed(),
            refused: self.refused(),
        }
    }
}
