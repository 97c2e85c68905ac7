//! The kinds of workloads in a Kubernetes cluster.

use keyroll_manager::{Key, KeyForm};

/// What runs the pods of a consumer in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A CronJob, whose Jobs have the pods.
    CronJob,
    /// A Job.
    Job,
    /// A pod by itself.
    Pod,
}

/// The keys of `runs` that name a workload in a cluster, in the order of [`WorkloadKind::ALL`].
pub(crate) static WORKLOAD_KEYS: [Key; 6] = [
    key("deployment", "In a cluster: the name of the Deployment whose pods use the value."),
    key("statefulset", "In a cluster: the name of the StatefulSet whose pods use the value."),
    key("daemonset", "In a cluster: the name of the DaemonSet whose pods use the value."),
    key("cronjob", "In a cluster: the name of the CronJob whose pods use the value."),
    key("job", "In a cluster: the name of the Job whose pods use the value."),
    key(
        "pod",
        "In a cluster: the name of the pod that uses the value, if nothing manages the pod; needs `rereads`.",
    ),
];

/// The key of `runs` that says that one pod of a workload in a cluster is moved before the others.
pub(crate) static CANARY_KEY: Key = Key {
    name: "canary",
    form: KeyForm::Flag,
    doc: "`true`: with `deployment` or `statefulset`: one pod is moved first, and the others once it has proved the value. `roll` says \
          how long it is watched.",
};

const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, form: KeyForm::Text, doc }
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::CronJob, Self::Job, Self::Pod];

    /// The key of `runs` that names a workload of this kind.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::CronJob => "cronjob",
            Self::Job => "job",
            Self::Pod => "pod",
        }
    }

    /// The kind that a key of `runs` stands for, if it names a workload in a cluster.
    pub(crate) fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == key)
    }
}

#[cfg(test)]
mod tests {
    use keyroll_manager::keys;

    use super::*;

    #[test]
    fn each_kind_has_its_key_and_no_manager_has_the_same() {
        let words: Vec<&str> = WorkloadKind::ALL.into_iter().map(WorkloadKind::word).collect();
        let named: Vec<&str> = WORKLOAD_KEYS.iter().map(|key| key.name).collect();
        assert_eq!(named, words);
        for (word, kind) in words.iter().zip(WorkloadKind::ALL) {
            assert_eq!(WorkloadKind::of(word), Some(kind));
            assert!(!keys().any(|key| key.name == *word), "{word}");
        }
    }
}
