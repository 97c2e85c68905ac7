//! A namespace and a host for tests: Deployment `agent` takes key `key` of Secret `api`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use keyroll_config::WorkloadKind;
use keyroll_copy::{Format, Slot};
use keyroll_host::{CopySetup, CopySource, SystemClock};
use keyroll_kube::{Address, Cluster};
use keyroll_port::Clock;
use keyroll_rotation::FileId;
use keyroll_secret::{FingerprintKey, SecretBytes};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::seen::Seen;
use super::{ClusterHost, ClusterSetup, KeySetup, PodsSetup};
use crate::look::remade;
use crate::model::{Changed, Container, From, Namespace, Pod, SecretSeen, Taking, Way, Workload};
use crate::recorded::Recorded;

/// When the key was changed.
pub(super) const CHANGE: i64 = 1_700_000_000;

/// Key `key` of Secret `api`.
pub(super) fn key() -> KeySetup {
    let source = CopySource::Field("value".to_owned());
    KeySetup {
        secret: "api".to_owned(),
        key: "key".to_owned(),
        copy: CopySetup::Value { format: Format::Whole, slot: Slot::Whole, source },
        synced: false,
        versioned: None,
        own: None,
    }
}

/// The consumer of the key.
pub(super) fn pods() -> PodsSetup {
    PodsSetup {
        name: "agent".to_owned(),
        kind: WorkloadKind::Deployment,
        workload: "agent".to_owned(),
        container: None,
        file: FileId(0),
        rereads: false,
        trusted: false,
        canary: false,
        checks: vec![None],
    }
}

/// A host of this key and these consumers, at this server.
pub(super) fn host(recorded: &Recorded, key: KeySetup, consumers: Vec<PodsSetup>) -> ClusterHost {
    // A client wants a runtime, although a test of what was read asks it for nothing.
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    let _entered = RUNTIME.enter();
    host_at(Some(recorded.cluster()), Arc::new(SystemClock::new()), key, consumers)
}

/// The same at any cluster, or at none, by this clock.
pub(super) fn host_at(
    cluster: Option<Cluster>,
    clock: Arc<dyn Clock>,
    key: KeySetup,
    consumers: Vec<PodsSetup>,
) -> ClusterHost {
    let setup = ClusterSetup {
        rotation: "r1".to_owned(),
        keys: vec![key],
        consumers,
        unit_time_max: Duration::from_secs(600),
        value_format: (b"abc".to_vec(), 100),
    };
    let mut host = ClusterHost::new(Address::default(), setup, FingerprintKey::new(&[7; 32]), clock);
    host.cluster = OnceCell::new_with(cluster);
    host
}

/// A Secret whose key was changed at [`CHANGE`].
pub(super) fn secret(name: &str, key: &str, value: &str) -> SecretSeen {
    let changed = Changed { at: CHANGE, by: "kubectl-patch".to_owned(), sure: true, bound: true };
    SecretSeen {
        name: name.to_owned(),
        kind: "Opaque".to_owned(),
        created: Some(CHANGE - 90_000),
        data: BTreeMap::from([(key.to_owned(), SecretBytes::from(value.to_owned()))]),
        changed: BTreeMap::from([(key.to_owned(), changed)]),
        ..SecretSeen::default()
    }
}

/// What container `app` takes of a Secret.
pub(super) fn takes(name: &str, key: &str, way: Way) -> Taking {
    let from = From::Secret { name: name.to_owned(), key: Some(key.to_owned()) };
    Taking { container: "app".to_owned(), init: false, from, way, optional: false, shadowed: false }
}

/// A variable.
pub(super) fn env() -> Way {
    Way::Env("KEY".to_owned())
}

/// A Deployment with one pod, which runs since so many seconds after [`CHANGE`].
pub(super) fn deployment(name: &str, since: i64, takes: &dyn Fn() -> Vec<Taking>) -> (Workload, Pod) {
    let workload = Workload {
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        takes: takes(),
        wanted: Some(1),
        ..Workload::default()
    };
    let container = Container {
        name: "app".to_owned(),
        started: Some(CHANGE + since),
        running: true,
        ..Container::default()
    };
    let pod = Pod {
        name: format!("{name}-1"),
        uid: format!("uid-of-{name}"),
        created: Some(CHANGE + since - 2),
        phase: "Running".to_owned(),
        made_by: Some(("Deployment".to_owned(), name.to_owned())),
        takes: takes().into(),
        containers: vec![container],
        ..Pod::default()
    };
    (workload, pod)
}

/// A look at a namespace with these.
pub(super) fn seen(secrets: Vec<SecretSeen>, running: Vec<(Workload, Pod)>) -> Seen {
    let (workloads, pods) = running.into_iter().unzip();
    let mut namespace = Namespace {
        name: "shop".to_owned(),
        options: "-n shop".to_owned(),
        secrets,
        workloads,
        pods,
        now: Some(CHANGE + 10_000),
        ..Namespace::default()
    };
    namespace.sort();
    let remade = remade(&namespace);
    Seen { namespace, remade }
}
