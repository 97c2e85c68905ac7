//! What the two Jobs of a probe show.

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, PodCondition, PodStatus,
};
use keyroll_rotation::Kinds;

/// How one Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The check succeeded.
    Passed,
    /// The check ran and failed: `it ends with exit code 1`.
    Failed(String),
    /// Nothing is known of the check, and why: it did not begin, or something else ended it.
    Unknown(String),
}

/// What a Job says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Passed,
    /// It failed; `late`: its time was over.
    Failed {
        late: bool,
    },
}

/// What both Jobs show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) kinds: Kinds,
    /// Another probe would show the same.
    pub(super) settled: bool,
    /// Why it does not show more.
    pub(super) why: Option<String>,
}

/// Whether a Job is over. Source: <https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions>.
pub(super) fn over(status: &JobStatus) -> Option<Over> {
    let conditions = || status.conditions.iter().flatten().filter(|one| one.status == "True");
    if conditions().any(|one| one.type_ == "Complete") {
        return Some(Over::Passed);
    }
    let failed = conditions().find(|one| one.type_ == "Failed")?;
    Some(Over::Failed { late: failed.reason.as_deref() == Some("DeadlineExceeded") })
}

/// How a Job ended that did not succeed, or is not over in time (`None`), by its pods. Only the end of the check itself says
/// something about the value.
pub(super) fn ended(over: Option<Over>, pods: &[PodStatus]) -> Ended {
    let late = match over {
        Some(Over::Passed) => return Ended::Passed,
        Some(Over::Failed { late }) => late,
        None => true,
    };
    let Some(pod) = pods.last() else {
        let why = "no pod of it was made, or its pod was removed: its events say why";
        return Ended::Unknown(why.to_owned());
    };
    // A pod that its node ended has a reason of its own: `Evicted`.
    if let Some(reason) = pod.reason.as_ref().filter(|reason| *reason != "DeadlineExceeded") {
        return Ended::Unknown(format!("its pod was ended: {reason}"));
    }
    let own = pod.container_statuses.iter().flatten().next();
    let state = own.and_then(|own| own.state.as_ref());
    match state.and_then(|state| state.terminated.as_ref()) {
        Some(end) if !late => of_check(end),
        // What goes on beside the check was ended with it.
        Some(_) => Ended::Unknown(LATE.to_owned()),
        None => {
            let before = pod.init_container_statuses.iter().flatten().find_map(not_begun);
            let why = before.or_else(|| state.and_then(waits)).or_else(|| unscheduled(pod));
            Ended::Unknown(why.unwrap_or_else(|| LATE.to_owned()))
        }
    }
}

/// What is said of a check that has not ended.
const LATE: &str = "it gave no answer in time";

/// How the check ended by itself. What ended it otherwise says nothing of the value.
fn of_check(end: &ContainerStateTerminated) -> Ended {
    match (end.reason.as_deref().unwrap_or("Error"), end.exit_code) {
        // From 129 to 192 it is 128 and the signal that ended it.
        ("Error", code @ (1..=128 | 193..)) => Ended::Failed(format!("it ends with exit code {code}")),
        (reason, code) => Ended::Unknown(format!("it was ended: exit code {code} ({reason})")),
    }
}

/// Why a container that prepares the pod keeps the check from beginning.
fn not_begun(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref()?;
    let name = &status.name;
    match &state.terminated {
        Some(end) if end.exit_code == 0 => None,
        Some(end) => {
            Some(format!("container {name}, which begins before it, ends with exit code {}", end.exit_code))
        }
        None => waits(state).map(|why| format!("of container {name}, which begins before it: {why}")),
    }
}

/// Why a container has not begun: `ImagePullBackOff`.
fn waits(state: &ContainerState) -> Option<String> {
    let reason = state.waiting.as_ref()?.reason.as_deref()?;
    Some(format!("it did not begin: {reason}"))
}

/// Why no node has the pod.
fn unscheduled(pod: &PodStatus) -> Option<String> {
    let refused = |one: &&PodCondition| one.type_ == "PodScheduled" && one.status == "False";
    let condition = pod.conditions.iter().flatten().find(refused)?;
    Some(format!("it did not begin: {}", condition.reason.as_deref().unwrap_or("no node has its pod")))
}

/// What a check shows that ran with the version, and with a wrong value beside it. `before`: what the last probe with the
/// same content showed; a probe that shows nothing takes nothing of it away.
pub(super) fn shown(version: &Ended, wrong: &Ended, before: Kinds) -> Shown {
    let open = |kinds, why: String| Shown { kinds, settled: false, why: Some(why) };
    match (version, wrong) {
        (Ended::Passed, Ended::Failed(_)) => {
            Shown { kinds: Kinds::CHECKED.and(Kinds::REPORTED), settled: true, why: None }
        }
        (Ended::Passed, Ended::Passed) => Shown {
            kinds: Kinds::REPORTED,
            settled: true,
            why: Some("the check does not fail with a wrong value".to_owned()),
        },
        (Ended::Passed, Ended::Unknown(why)) => {
            open(before.and(Kinds::REPORTED), format!("with a wrong value nothing is known of it: {why}"))
        }
        (Ended::Failed(how), _) => open(Kinds::NONE, how.clone()),
        (Ended::Unknown(why), _) => open(before, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(conditions: Value) -> Option<Over> {
        over(&serde_json::from_value(json!({ "conditions": conditions })).unwrap())
    }

    /// The pod of a probe, whose check is in this state.
    fn pod(state: Value, beside: Value) -> PodStatus {
        let status = |name: &str, state: Value| json!({ "name": name, "ready": false, "restartCount": 0, "image": "i", "imageID": "i", "state": state });
        let mut pod = json!({ "phase": "Failed", "containerStatuses": [status("app", state)] });
        if !beside.is_null() {
            pod["initContainerStatuses"] = json!([status("setup", beside)]);
        }
        serde_json::from_value(pod).unwrap()
    }

    fn exit(code: i32, reason: &str) -> Value {
        json!({ "terminated": { "exitCode": code, "reason": reason } })
    }

    const FAILED: Option<Over> = Some(Over::Failed { late: false });

    #[test]
    fn a_job_is_over_by_its_conditions() {
        assert_eq!(job(json!([])), None);
        assert_eq!(job(json!([{ "type": "Suspended", "status": "True" }])), None);
        assert_eq!(job(json!([{ "type": "Complete", "status": "True" }])), Some(Over::Passed));
        let late = json!([{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }]);
        assert_eq!(job(late), Some(Over::Failed { late: true }));
        let failed = json!([{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded" }]);
        assert_eq!(job(failed), FAILED);
        assert_eq!(job(json!([{ "type": "Failed", "status": "False" }])), None);
    }

    #[test]
    fn only_a_check_that_ended_by_itself_has_failed() {
        let of = |state| ended(FAILED, &[pod(state, Value::Null)]);
        assert_eq!(of(exit(7, "Error")), Ended::Failed("it ends with exit code 7".to_owned()));
        assert_eq!(of(exit(255, "Error")), Ended::Failed("it ends with exit code 255".to_owned()));
        for (code, reason) in [(137, "Error"), (143, "Error"), (1, "OOMKilled"), (128, "StartError")] {
            assert!(matches!(of(exit(code, reason)), Ended::Unknown(why) if why.contains(reason)), "{code}");
        }
        let evicted = PodStatus { reason: Some("Evicted".to_owned()), ..pod(exit(1, "Error"), Value::Null) };
        assert!(matches!(ended(FAILED, &[evicted]), Ended::Unknown(why) if why.contains("Evicted")));
        assert!(matches!(ended(FAILED, &[]), Ended::Unknown(_)));
        assert!(matches!(
            ended(Some(Over::Failed { late: true }), &[pod(exit(1, "Error"), Value::Null)]),
            Ended::Unknown(_)
        ));
        assert_eq!(ended(Some(Over::Passed), &[]), Ended::Passed);
    }

    #[test]
    fn what_keeps_a_check_from_beginning_is_named() {
        let waiting = |reason: &str| json!({ "waiting": { "reason": reason } });
        let of = |state, beside| match ended(None, &[pod(state, beside)]) {
            Ended::Unknown(why) => why,
            other @ (Ended::Passed | Ended::Failed(_)) => panic!("{other:?}"),
        };
        assert_eq!(of(waiting("ImagePullBackOff"), Value::Null), "it did not begin: ImagePullBackOff");
        let before = of(waiting("PodInitializing"), exit(1, "Error"));
        assert_eq!(before, "container setup, which begins before it, ends with exit code 1");
        assert_eq!(of(json!({ "running": {} }), exit(0, "Completed")), LATE);
        // A container beside the check is ended with it.
        let check = ended(FAILED, &[pod(exit(2, "Error"), exit(143, "Error"))]);
        assert_eq!(check, Ended::Failed("it ends with exit code 2".to_owned()));
        let refused = json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }]);
        let pending: PodStatus = serde_json::from_value(json!({ "conditions": refused })).unwrap();
        assert_eq!(ended(None, &[pending]), Ended::Unknown("it did not begin: Unschedulable".to_owned()));
    }

    #[test]
    fn a_check_counts_only_if_it_fails_with_a_wrong_value() {
        let (failed, unknown) = (Ended::Failed("f".to_owned()), Ended::Unknown("u".to_owned()));
        let of = |version: &Ended, wrong: &Ended| shown(version, wrong, Kinds::NONE);
        let good = of(&Ended::Passed, &failed);
        assert!(good.kinds.has(Kinds::CHECKED) && good.settled && good.why.is_none());
        for (version, wrong) in [
            (&Ended::Passed, &Ended::Passed),
            (&Ended::Passed, &unknown),
            (&failed, &failed),
            (&failed, &Ended::Passed),
            (&unknown, &failed),
            (&unknown, &unknown),
        ] {
            let shown = of(version, wrong);
            assert!(!shown.kinds.has(Kinds::CHECKED) && shown.why.is_some(), "{version:?} {wrong:?}");
        }
    }

    #[test]
    fn only_a_check_that_fails_takes_away_what_was_shown() {
        let (failed, unknown) = (Ended::Failed("f".to_owned()), Ended::Unknown("u".to_owned()));
        let after = |version: &Ended, wrong: &Ended| shown(version, wrong, Kinds::CHECKED).kinds;
        assert!(after(&unknown, &unknown).has(Kinds::CHECKED));
        assert!(after(&Ended::Passed, &unknown).has(Kinds::CHECKED));
        assert_eq!(after(&failed, &failed), Kinds::NONE);
        assert!(!after(&Ended::Passed, &Ended::Passed).has(Kinds::CHECKED));
    }
}
