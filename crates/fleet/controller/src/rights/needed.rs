//! What keyroll needs in one namespace.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_config::{Config, Consumer, InCluster, StoreRef, WorkloadKind};

use super::account::{Account, Rule};

/// The name of the Lease.
const LEASE: &str = "keyroll";

/// What is needed of a namespace besides named objects; in the order of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extra {
    /// Its objects are followed.
    Follows,
    /// The Lease is there.
    Lease,
    /// Consumers are there.
    Look,
    /// A program there reads a mounted file again.
    Rereads,
    /// One pod of a Deployment is moved first.
    Canary,
    /// A consumer has a check.
    Checks,
    /// Each version has a Secret of its own.
    Versioned,
    /// External Secrets writes a Secret.
    Synced,
}

/// Objects by their kinds.
type Named = BTreeMap<WorkloadKind, BTreeSet<String>>;

/// What is needed in one namespace.
#[derive(Debug, Default)]
pub(super) struct Needed {
    extras: BTreeSet<Extra>,
    /// The Secrets that are read only.
    read: BTreeSet<String>,
    /// The Secrets that are written.
    written: BTreeSet<String>,
    /// The workloads that are read only.
    seen: Named,
    /// The workloads that are rolled out.
    rolled: Named,
}

impl Needed {
    /// What the configuration asks for, by namespace. A cluster that is reached by a kubeconfig has a login of its own.
    pub(super) fn by_namespace(config: &Config, account: &Account) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        let namespace_of = |host: &str| {
            let address =
                config.cluster(host).filter(|address| account.everywhere || address.is_in_cluster())?;
            Some(address.namespace.clone().unwrap_or_else(|| account.namespace.clone()))
        };
        for namespace in account.follows.iter().filter_map(|host| namespace_of(host)) {
            all.entry(namespace).or_default().extras.insert(Extra::Follows);
        }
        if let Some(namespace) = namespace_of(&account.home) {
            all.entry(namespace).or_default().extras.insert(Extra::Lease);
        }
        for secret in config.secrets.values() {
            for (consumer, pods) in secret.in_clusters() {
                if let Some(namespace) = namespace_of(consumer.host.as_str()) {
                    all.entry(namespace).or_default().add(consumer, pods);
                }
            }
            if let StoreRef::Kubernetes { namespace, name, cluster, .. } = &secret.store
                && (account.everywhere || cluster.in_cluster)
            {
                all.entry(namespace.clone()).or_default().written.insert(name.clone());
            }
        }
        all
    }

    /// What a consumer needs: the same that a plan asks the API server for.
    fn add(&mut self, consumer: &Consumer, pods: &InCluster) {
        self.extras.insert(Extra::Look);
        if pods.versioned {
            self.extras.insert(Extra::Versioned);
        } else if pods.synced {
            self.extras.insert(Extra::Synced);
            self.read.insert(pods.secret.clone());
        } else {
            self.written.insert(pods.secret.clone());
        }
        let is_patched = pods.versioned || !(pods.rereads || pods.is_job());
        let workloads = if is_patched { &mut self.rolled } else { &mut self.seen };
        workloads.entry(pods.kind).or_default().insert(pods.workload.clone());
        if pods.rereads {
            self.extras.insert(Extra::Rereads);
        }
        if pods.canary && pods.kind == WorkloadKind::Deployment {
            self.extras.insert(Extra::Canary);
        }
        if consumer.check.is_some() || !consumer.paths.is_empty() {
            self.extras.insert(Extra::Checks);
        }
    }

    /// The rules.
    pub(super) fn rules(mut self) -> Vec<Rule> {
        // What is written is read, too.
        self.read = &self.read - &self.written;
        for (kind, rolled) in &self.rolled {
            if let Some(seen) = self.seen.get_mut(kind) {
                *seen = &*seen - rolled;
            }
        }
        let (general, of_consumers): (Vec<Extra>, Vec<Extra>) =
            self.extras.iter().copied().partition(|extra| *extra <= Extra::Look);
        let mut all: Vec<Rule> = general.into_iter().flat_map(of).collect();
        let read = "Secrets that External Secrets writes: keyroll reads what they hold.";
        all.extend(secrets(self.read, &["get"], read));
        let written = "Secrets that keyroll writes, each by its name: it never lists Secrets.";
        all.extend(secrets(self.written, &["get", "patch"], written));
        let seen = "Workloads that are not rolled out.";
        all.extend(workloads(self.seen, &["get"], seen));
        let rolled = "Workloads that keyroll rolls out.";
        all.extend(workloads(self.rolled, &["get", "patch"], rolled));
        all.extend(of_consumers.into_iter().flat_map(of));
        all
    }
}

/// The rule of named Secrets, if there are any.
fn secrets(names: BTreeSet<String>, verbs: &'static [&'static str], why: &'static str) -> Option<Rule> {
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then_some(Rule { api_group: "", resources: &["secrets"], names, verbs, why })
}

/// The rules of named workloads.
fn workloads(all: Named, verbs: &'static [&'static str], why: &'static str) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (kind, names) in all {
        // Each pod may be read anyway.
        let Some((api_group, resources)) = resource(kind).filter(|_| !names.is_empty()) else { continue };
        rules.push(Rule { api_group, resources, names: names.into_iter().collect(), verbs, why });
    }
    rules
}

/// The group and the kind of what makes pods, as a rule of a Role names them.
fn resource(kind: WorkloadKind) -> Option<(&'static str, &'static [&'static str])> {
    match kind {
        WorkloadKind::Deployment => Some(("apps", &["deployments"])),
        WorkloadKind::StatefulSet => Some(("apps", &["statefulsets"])),
        WorkloadKind::DaemonSet => Some(("apps", &["daemonsets"])),
        WorkloadKind::CronJob => Some(("batch", &["cronjobs"])),
        WorkloadKind::Job => Some(("batch", &["jobs"])),
        WorkloadKind::Pod => None,
    }
}

/// The rules of what cannot be limited to names.
fn of(extra: Extra) -> Vec<Rule> {
    match extra {
        Extra::Follows => follows(),
        Extra::Lease => lease(),
        Extra::Look => look(),
        Extra::Rereads => vec![rule(
            "",
            &["pods"],
            &["get", "patch"],
            "For `rereads`: an annotation makes the node refresh the mounted file at once. Without this rule the file follows \
             within about two minutes.",
        )],
        Extra::Canary => vec![rule(
            "",
            &["pods"],
            &["create", "delete"],
            "For `canary` of a Deployment: the pod that is moved before the others. Whoever may make pods can give one each \
             Secret of the namespace.",
        )],
        Extra::Checks => checks(),
        Extra::Versioned => vec![rule(
            "",
            &["secrets"],
            &["get", "create", "delete"],
            "For `versioned`: the Secret of each version, whose name is made with it. So these rights cannot be limited to \
             names, and keyroll may read each Secret of the namespace.",
        )],
        Extra::Synced => vec![rule(
            "external-secrets.io",
            &["externalsecrets"],
            &["get", "list", "patch"],
            "For `synced`: an annotation makes External Secrets read the store at once. Which object writes a Secret is not in \
             the configuration.",
        )],
    }
}

fn follows() -> Vec<Rule> {
    vec![
        rule(
            "keyroll.dev",
            &["secretrotations"],
            &["get", "list", "watch"],
            "The objects that keyroll follows. It never changes what they ask for.",
        ),
        rule("keyroll.dev", &["secretrotations/status"], &["update"], "What keyroll shows of them."),
        rule("events.k8s.io", &["events"], &["create"], "What happens, for `kubectl describe`."),
    ]
}

fn lease() -> Vec<Rule> {
    let why = "The Lease that says which server tries.";
    let named = rule("coordination.k8s.io", &["leases"], &["get", "update"], why);
    vec![
        Rule { names: vec![LEASE.to_owned()], ..named },
        rule(
            "coordination.k8s.io",
            &["leases"],
            &["create"],
            "It is made once. A right to create cannot be limited to names.",
        ),
    ]
}

fn look() -> Vec<Rule> {
    let makers = "What makes pods: who else takes a key. A right to list cannot be limited to names.";
    vec![
        rule(
            "",
            &["pods"],
            &["list", "watch"],
            "Which pods have which value. keyroll reads no log, and executes nothing in a pod.",
        ),
        rule("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"], &["list"], makers),
        rule("batch", &["jobs", "cronjobs"], &["list"], makers),
        rule(
            "",
            &["configmaps", "serviceaccounts"],
            &["list"],
            "What else pods take, and with what their images are pulled.",
        ),
    ]
}

fn checks() -> Vec<Rule> {
    vec![
        rule(
            "batch",
            &["jobs"],
            &["create", "get", "list", "patch", "delete"],
            "For `check`: the Jobs that run it. Whoever may make Jobs can give one each Secret of the namespace.",
        ),
        rule(
            "",
            &["secrets"],
            &["create"],
            "For `check`: the Secret of such a Job, whose name is made with it. It is gone with the Job.",
        ),
    ]
}

/// A rule without names.
fn rule(
    api_group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule { api_group, resources, names: Vec::new(), verbs, why }
}
