//! The `SecretRotation` objects of all namespaces that are followed, as they were seen last, and whether pods changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::mem;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use keyroll_codes::Code;
use keyroll_kube::{Cluster, Effect, failure};
use keyroll_port::{Class, Failure};
use kube::Resource;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{Config, DefaultBackoff, Error, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::object::{SecretRotation, json_bytes, resource};
use crate::sentence::sentence;

/// How many objects of a namespace are kept, with those that cannot be read.
const OBJECTS_MAX: usize = 1000;
/// The largest `spec` of an object that is read, as JSON. Its status does not count: keyroll writes that itself.
const SPEC_BYTES_MAX: usize = 256 * 1024;
/// How many objects come in one answer: so few that large ones fit into the memory.
const OBJECTS_PAGE: u32 = 50;
/// How many pods come in one answer, as metadata.
const PODS_PAGE: u32 = 500;
/// How long one request of a watch lasts, in seconds: shorter than the silence after which `keyroll_kube::connect` ends a
/// connection.
const WATCH_S: u32 = 50;
/// A watch that did not fail for so long after its list works.
const SETTLED: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How many objects a trouble names.
const NAMED_MAX: usize = 5;

/// What is known of all objects. One at a time may wait for changes.
#[derive(Default)]
pub struct Known {
    /// By host.
    seen: Mutex<BTreeMap<String, Seen>>,
    changed: Notify,
}

/// A namespace.
#[derive(Default)]
struct Seen {
    objects: Objects,
    /// The first list arrived.
    complete: bool,
    /// Why it is not seen now.
    trouble: Option<String>,
}

/// Its objects, by name.
#[derive(Default)]
struct Objects {
    kept: BTreeMap<String, SecretRotation>,
    /// With why.
    unreadable: BTreeMap<String, String>,
    /// Some of those for which there is no room.
    beyond: BTreeSet<String>,
}

impl Known {
    /// All objects, by host and name.
    pub fn all(&self) -> Vec<SecretRotation> {
        self.seen().values().flat_map(|seen| seen.objects.kept.values()).cloned().collect()
    }

    /// Whether the objects of a host's namespace were listed once at least.
    pub fn is_complete(&self, host: &str) -> bool {
        self.seen().get(host).is_some_and(|seen| seen.complete)
    }

    /// Whether an object may be there. `false` only if its namespace was listed, and has no such object: one that cannot be
    /// read is there, and so is one for which there is no room.
    pub fn may_exist(&self, host: &str, name: &str) -> bool {
        let all = self.seen();
        all.get(host).is_none_or(|seen| !seen.complete || seen.objects.may_have(name))
    }

    /// By host: why its namespace, or some of its objects, are not seen now.
    pub fn troubles(&self) -> BTreeMap<String, String> {
        let seen = self.seen();
        seen.iter().filter_map(|(host, seen)| Some((host.clone(), seen.words()?))).collect()
    }

    /// Waits until something changed since it was called last; at once, if something did already.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes in what a write made of an object, unless it was seen in another version than `before` meanwhile. This is no
    /// change that [`Known::changed`] waits for.
    pub fn put(&self, before: &SecretRotation, now: SecretRotation) {
        let mut seen = self.seen();
        let kept = seen.get_mut(&before.id.host).and_then(|seen| seen.objects.kept.get_mut(&before.id.name));
        if let Some(kept) = kept.filter(|kept| is_same(kept, before)) {
            *kept = now;
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a watch says. `Break`: there is room again for objects that were left out, so list them all again.
    fn take(&self, host: &str, said: Said<DynamicObject>, listed: &mut Objects) -> ControlFlow<()> {
        let mut all = self.seen();
        let seen = all.entry(host.to_owned()).or_default();
        let mut again = ControlFlow::Continue(());
        let changed = match said {
            Said::Settled => seen.trouble.take().is_some(),
            Said::Event(Event::Init) => {
                *listed = Objects::default();
                false
            }
            Said::Event(Event::InitApply(object)) => {
                listed.add(host, object);
                false
            }
            Said::Event(Event::InitDone) => {
                seen.objects = mem::take(listed);
                seen.complete = true;
                true
            }
            Said::Event(Event::Apply(object)) => seen.objects.add(host, object),
            Said::Event(Event::Delete(object)) => {
                let changed = seen.objects.remove(&object.metadata.name.unwrap_or_default());
                if !seen.objects.beyond.is_empty() && seen.objects.count() < OBJECTS_MAX {
                    again = ControlFlow::Break(());
                }
                changed
            }
        };
        drop(all);
        if changed {
            self.changed.notify_one();
        }
        again
    }

    /// A namespace is not seen now. What was seen of it stays.
    fn fails(&self, host: &str, why: String) {
        let before = self.seen().entry(host.to_owned()).or_default().trouble.replace(why.clone());
        if before != Some(why) {
            self.changed.notify_one();
        }
    }
}

impl Seen {
    /// What is wrong, in a line.
    fn words(&self) -> Option<String> {
        let mut parts: Vec<String> = self.trouble.iter().cloned().collect();
        let unreadable = &self.objects.unreadable;
        parts.extend(
            unreadable.iter().take(NAMED_MAX).map(|(name, why)| format!("secretrotation {name}: {why}")),
        );
        if unreadable.len() > NAMED_MAX {
            parts.push(format!("{} more cannot be read", unreadable.len() - NAMED_MAX));
        }
        let beyond = &self.objects.beyond;
        if !beyond.is_empty() {
            let named: Vec<&str> = beyond.iter().take(NAMED_MAX).map(String::as_str).collect();
            let others = if beyond.len() > NAMED_MAX { " and others" } else { "" };
            parts.push(format!(
                "it has more than {OBJECTS_MAX} secretrotations, and keyroll does not look at {}{others}",
                named.join(", ")
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Objects {
    /// Whether it may be there. Of very many objects not all names are kept.
    fn may_have(&self, name: &str) -> bool {
        self.kept.contains_key(name)
            || self.unreadable.contains_key(name)
            || self.beyond.contains(name)
            || self.beyond.len() >= OBJECTS_MAX
    }

    fn count(&self) -> usize {
        self.kept.len() + self.unreadable.len()
    }

    /// Whether anything changed by an object as it is now.
    fn add(&mut self, host: &str, object: DynamicObject) -> bool {
        let name = object.metadata.name.clone().unwrap_or_default();
        let has = self.kept.contains_key(&name) || self.unreadable.contains_key(&name);
        if !has && self.count() >= OBJECTS_MAX {
            return self.beyond.len() < OBJECTS_MAX && self.beyond.insert(name);
        }
        match read(host, object) {
            Ok(object) => {
                let read_before = self.unreadable.remove(&name).is_none();
                let before = self.kept.insert(name.clone(), object);
                let now = self.kept.get(&name);
                let same = before.zip(now).is_some_and(|(before, now)| is_same(&before, now));
                !(read_before && same)
            }
            Err(why) => {
                let was_kept = self.kept.remove(&name).is_some();
                self.unreadable.insert(name, why.clone()) != Some(why) || was_kept
            }
        }
    }

    /// Whether it was there.
    fn remove(&mut self, name: &str) -> bool {
        let kept = self.kept.remove(name).is_some();
        let unreadable = self.unreadable.remove(name).is_some();
        self.beyond.remove(name) || kept || unreadable
    }
}

/// Whether both are the same version of the same object.
fn is_same(one: &SecretRotation, other: &SecretRotation) -> bool {
    one.uid == other.uid && one.resource_version == other.resource_version
}

fn read(host: &str, object: DynamicObject) -> Result<SecretRotation, String> {
    let bytes = object.data.get("spec").map_or(0, json_bytes);
    if bytes > SPEC_BYTES_MAX {
        return Err(format!("its `spec` has {bytes} bytes, and keyroll reads at most {SPEC_BYTES_MAX}"));
    }
    SecretRotation::read(host, object).map_err(|why| why.to_string())
}

/// Follows the objects of a host's namespace. It never ends; it can be dropped at any time.
pub async fn follow(cluster: &Cluster, host: &str, known: &Known) {
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource());
    let mut pauses = DefaultBackoff::default();
    loop {
        let mut listed = Objects::default();
        let error = watch(&api, OBJECTS_PAGE, |said| known.take(host, said, &mut listed)).await;
        if let Some(why) = error.and_then(|error| objects_failure(cluster, error)) {
            known.fails(host, sentence(&why));
        }
        sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
    }
}

/// Says when pods of a cluster's namespace changed; nothing of them is kept. It never ends, and can be dropped at any time. A
/// trouble is said once, and it tries again.
pub async fn pods(cluster: &Cluster, changed: &Notify, said: &(dyn Fn(&str) + Send + Sync)) {
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut pauses = DefaultBackoff::default();
    let mut trouble = None;
    loop {
        let error = watch(&api, PODS_PAGE, |said| {
            match said {
                Said::Settled => trouble = None,
                Said::Event(Event::Init | Event::InitApply(_)) => {}
                Said::Event(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => changed.notify_one(),
            }
            ControlFlow::Continue(())
        });
        let error = error.await;
        let attempted = format!("watch the pods of the namespace {}", cluster.namespace);
        if let Some(why) = error.and_then(|error| failed(&attempted, error, cluster, "pods")) {
            let why = sentence(&why);
            if trouble.as_ref() != Some(&why) {
                said(&why);
                trouble = Some(why);
            }
        }
        sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
    }
}

/// What a watch says.
enum Said<K> {
    Event(Event<K>),
    /// It lists, and it watches.
    Settled,
}

/// Lists and watches objects until that fails, or until `take` breaks. After a failure they are listed again: a watch does not
/// say that it goes on.
async fn watch<K, F>(api: &Api<K>, page: u32, mut take: F) -> Option<Error>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: FnMut(Said<K>) -> ControlFlow<()> + Send,
{
    let mut events = pin!(watcher(api.clone(), Config::default().page_size(page).timeout(WATCH_S)));
    let mut settles: Option<Instant> = None;
    loop {
        let next = match settles {
            Some(at) => timeout_at(at, events.next()).await,
            None => Ok(events.next().await),
        };
        let said = match next {
            Ok(Some(Ok(event))) => {
                if matches!(event, Event::InitDone) {
                    settles = Some(Instant::now() + SETTLED);
                }
                Said::Event(event)
            }
            Ok(Some(Err(error))) => return Some(error),
            Ok(None) => return None,
            Err(_) => {
                settles = None;
                Said::Settled
            }
        };
        if take(said).is_break() {
            return None;
        }
    }
}

fn objects_failure(cluster: &Cluster, error: Error) -> Option<Failure> {
    let attempted = format!("watch the SecretRotations of the namespace {}", cluster.namespace);
    let absent = status(&error) == Some(404);
    let failure = failed(&attempted, error, cluster, "secretrotations.keyroll.dev")?;
    Some(match absent {
        true => failure
            .because("the cluster does not know the kind SecretRotation")
            .help("install it: kubectl apply -f deploy/kubernetes/base/crd.yaml"),
        false => failure,
    })
}

/// The status that an API server answered with.
fn status(error: &Error) -> Option<u16> {
    let error = match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => error,
        Error::WatchError(status) => return Some(status.code),
        Error::NoResourceVersion => return None,
    };
    let kube::Error::Api(status) = error else { return None };
    Some(status.code)
}

/// What failed. Nothing, if the server only forgot the version from which the watch was to go on: a new list helps.
fn failed(attempted: &str, error: Error, cluster: &Cluster, kind: &str) -> Option<Failure> {
    let code = status(&error);
    let error = match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => error,
        Error::WatchError(status) => kube::Error::Api(status),
        Error::NoResourceVersion => {
            let failure = Failure::new(Class::Retryable, Code::ClusterUnreachable, attempted);
            return Some(failure.because("its answer is not one of a Kubernetes API server"));
        }
    };
    let failure = failure(attempted, error, Effect::None);
    match code {
        Some(410) => None,
        Some(403) => Some(failure.help(format!(
            "give keyroll's login the rights to list and watch {kind} in the namespace {}",
            cluster.namespace
        ))),
        _ => Some(failure),
    }
}

#[cfg(test)]
mod tests;
