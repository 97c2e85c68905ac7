//! The beginning: who is in charge, and what the objects say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll_app::env;
use keyroll_app::installation::Installation;
use keyroll_app::places::Locations;
use keyroll_app::problem::Problem;
use keyroll_app::wiring::kubernetes::cluster_of;
use keyroll_controller::{Known, Pod, acquire, follow, pods as watch_pods};
use keyroll_kube::Cluster;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::contents::Contents;
use super::followed::Followed;
use super::jobs::Jobs;
use super::seen::Seen;
use super::writing::Writing;
use super::written::{base_of, unusable, write};
use crate::log::Log;

/// How long the first lists are waited for. A namespace that cannot be read holds up nobody: what counted of it counts on.
const FIRST_MAX: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// Waits until this keyroll is in charge, reads the objects, and writes the configuration that the server goes by. `None`: a
/// signal ended the wait.
///
/// # Errors
/// The base file or a login cannot be used, or a right is missing.
pub(crate) async fn begin(
    locations: &Locations,
    base: &Path,
    log: &Log,
) -> Result<Option<Arc<Followed>>, Problem> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| unusable(base).because_of(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| unusable(base).because_of(&error))?;
    tokio::select! {
        begun = begun(locations, base, log) => begun.map(Some),
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
    }
}

async fn begun(locations: &Locations, path: &Path, log: &Log) -> Result<Arc<Followed>, Problem> {
    let base = base_of(path)?;
    let config = base.config();
    let address = |host: &str| config.cluster(host).ok_or_else(|| unusable(path));
    let home = cluster_of(address(base.followed().home.as_str())?).await?;
    let mut clusters: BTreeMap<String, Cluster> = BTreeMap::new();
    for host in base.followed().namespaces.keys() {
        clusters.insert(host.to_string(), cluster_of(address(host.as_str())?).await?);
    }
    let (in_pod, holder) = holder();
    let said = log.clone();
    let lease = Arc::new(acquire(&home, &holder, in_pod, &move |line: &str| said(line)).await?);
    let (tell, lost) = watch::channel(None);
    let its = lease.clone();
    // From now on it is renewed, also while a start takes long.
    tokio::spawn(async move {
        let why = its.keep().await.0;
        tell.send_replace(Some(why));
    });
    let known = Arc::new(Known::default());
    let seen = Seen::of(clusters.keys());
    for (host, cluster) in &clusters {
        let (cluster, host, known) = (cluster.clone(), host.clone(), known.clone());
        let changed = seen.changed(&host);
        let of_pods = cluster.clone();
        let (said, its) = (log.clone(), host.clone());
        tokio::spawn(async move { follow(&cluster, &host, &known).await });
        tokio::spawn(async move {
            watch_pods(&of_pods, &changed, &move |line: &str| said(&format!("the pods of {its}: {line}")))
                .await;
        });
    }
    let _ = tokio::time::timeout(FIRST_MAX, async {
        while !clusters.keys().all(|host| known.is_complete(host)) {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
    let file = Installation::new(locations.clone()).config_path();
    let followed = Followed {
        base: path.to_owned(),
        writing: Mutex::new(Writing::new(base, &file)),
        file,
        clusters,
        known,
        lease,
        lost,
        pod: pod(),
        pods: seen,
        contents: Contents::default(),
        jobs: Jobs::default(),
        begun: Mutex::default(),
    };
    let followed = Arc::new(followed);
    let (its, locations) = (followed.clone(), locations.clone());
    let writing = tokio::task::spawn_blocking(move || write(&its, &Installation::new(locations)).map(drop));
    writing.await.map_err(|error| unusable(path).because_of(&error))??;
    Ok(followed)
}

/// Whether it runs in a pod, and what it calls itself: the pod, or this machine.
fn holder() -> (bool, String) {
    match env::POD_NAME.get() {
        // The name alone is no identity: a node that is lost may still run the pod of before.
        Some(name) => {
            let uid = env::POD_UID.get().map(|uid| format!(".{}", uid.to_string_lossy())).unwrap_or_default();
            (true, format!("{}{uid}", name.to_string_lossy()))
        }
        None => {
            let names = rustix::system::uname();
            (false, names.nodename().to_string_lossy().into_owned())
        }
    }
}

/// The pod that it runs in.
fn pod() -> Option<Pod> {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let (namespace, name) = (env::POD_NAMESPACE.get()?, env::POD_NAME.get()?);
    Some(Pod { namespace: text(namespace), name: text(name) })
}
