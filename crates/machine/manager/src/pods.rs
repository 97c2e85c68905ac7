use keyroll_codes::Code;
use keyroll_observe::Listing;
use keyroll_port::{Class, Failure};

use crate::{Applied, AppliedBy, Attempt, Comparison, InstanceProcess, Workload};

/// Why nothing of it is done or seen from a machine.
const ELSEWHERE: &str = "its pods are in a cluster";

/// The pods of a workload in a cluster. They are reached by the API of the cluster, and never from a machine: this says only
/// how they take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pods {
    /// The program reads the mounted file again by itself.
    pub rereads: bool,
    /// Each run is a pod of its own, which takes the value.
    pub is_job: bool,
}

impl Workload for Pods {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Err(elsewhere("roll out the pods of a consumer"))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Request("asks the API of its cluster".to_owned())
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        Err(elsewhere("find the processes of a consumer"))
    }

    fn needs_reload(&self) -> bool {
        !self.rereads && !self.is_job
    }

    fn is_job(&self) -> bool {
        self.is_job
    }

    fn starts_new_process(&self) -> bool {
        !self.rereads
    }

    fn is_rolling(&self) -> bool {
        true
    }

    fn has_downtime(&self) -> bool {
        false
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotVisible(ELSEWHERE)
    }
}

/// The failure of what only the API of the cluster can do.
fn elsewhere(attempted: &str) -> Failure {
    Failure::new(Class::Permanent, Code::ServiceUnusable, attempted).because(ELSEWHERE)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{apply, instances};

    #[test]
    fn pods_are_replaced_unless_they_read_again_or_are_runs_of_a_job() {
        let of = |rereads, is_job| Pods { rereads, is_job };
        for (pods, reload) in [(of(false, false), true), (of(true, false), false), (of(false, true), false)] {
            assert_eq!((pods.needs_reload(), pods.is_job()), (reload, pods.is_job), "{pods:?}");
            assert_eq!(pods.starts_new_process(), !pods.rereads, "{pods:?}");
            assert!(pods.is_rolling() && !pods.has_downtime(), "{pods:?}");
        }
    }

    #[test]
    fn nothing_is_done_to_pods_from_a_machine() {
        let pods = Pods { rereads: false, is_job: false };
        let failures = [
            apply(&pods, None, Instant::now(), &mut |_| {}).map(drop).unwrap_err(),
            instances(&pods).unwrap_err(),
        ];
        for failure in failures {
            assert_eq!((failure.class, failure.code), (Class::Permanent, Code::ServiceUnusable));
            assert!(failure.source.is_some_and(|cause| cause.to_string() == ELSEWHERE));
        }
    }
}
