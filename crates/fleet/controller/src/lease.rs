//! The Lease of a cluster that says which keyroll server rotates there.
//!
//! It keeps a second server from trying. It is no lock: a server that stood still, and goes on, may believe for a moment that
//! the Lease is still its own. What both of them may do then is decided by the journal.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use keyroll_codes::Code;
use keyroll_kube::{Cluster, Effect, failure, words};
use keyroll_port::{Class, Failure};
use kube::api::{Api, PostParams};
use rustix::rand::GetRandomFlags;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::sentence::sentence;

/// Its name.
const NAME: &str = "keyroll";
/// So long after its last renewal others may take it, in seconds.
const DURATION_S: i32 = 30;
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// When an attempt to take or to renew it is made again.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How long an attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// So long after the last renewal it counts as lost: early enough that all work has ended when others may take it.
const UNRENEWED_MAX: Duration = Duration::from_secs(20);
/// How often it is read again within one attempt, if somebody changes it meanwhile.
const ROUNDS_MAX: usize = 3;

/// The Lease, which this process has. [`Lease::keep`] must run all the time.
pub struct Lease {
    desk: Desk,
    held: Mutex<Held>,
}

/// Why the Lease is lost, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// The Lease as this process wrote it last.
struct Held {
    object: Object,
    /// When the request was sent that renewed it.
    renewed: Instant,
}

/// Where it is, and who asks.
struct Desk {
    api: Api<Object>,
    namespace: String,
    /// The name, and eight random digits: another life of the same pod is somebody else.
    me: String,
}

/// What an attempt to take it came to.
enum Attempt {
    Taken(Box<Held>),
    /// Somebody was faster.
    Raced,
    /// Somebody has it, as a sentence says.
    Waits(String),
}

/// Why a renewal did not succeed.
enum Unrenewed {
    /// It may succeed later.
    NotNow(String),
    /// It is no longer this process's.
    Gone(String),
}

/// A Lease of somebody else.
struct Seen {
    spec: LeaseSpec,
    /// Since when it has not changed, by the clock of this process. The clock of the other one may be wrong.
    since: Instant,
}

/// Waits until nobody has the Lease of a cluster, or its holder did not renew it for as long as it says, and takes it. With
/// `pod`, `holder` is the name of the pod in which this runs: then a holder of the same name is an earlier life of it, and is
/// not waited for. Who has it, and each trouble, is said once.
///
/// It can be dropped at any time. If that is while it takes the Lease, others wait for its duration.
///
/// # Errors
/// A right or the namespace is missing, or the login cannot be used.
pub async fn acquire(
    cluster: &Cluster,
    holder: &str,
    pod: bool,
    said: &(dyn Fn(&str) + Send + Sync),
) -> Result<Lease, Failure> {
    let desk = Desk::new(cluster, holder)?;
    let (mut seen, mut waits, mut trouble) = (None, None, None);
    loop {
        let attempt = timeout(ATTEMPT_MAX, desk.attempt(pod.then_some(holder), &mut seen)).await;
        match attempt.unwrap_or_else(|_| Err(desk.silent())) {
            Ok(Attempt::Taken(held)) => return Ok(Lease { desk, held: Mutex::new(*held) }),
            Ok(Attempt::Raced) => trouble = None,
            Ok(Attempt::Waits(text)) => {
                trouble = None;
                say_once(&mut waits, text, said);
            }
            Err(failure) if failure.class == Class::Permanent => return Err(failure),
            Err(failure) => say_once(&mut trouble, sentence(&failure), said),
        }
        sleep(TRY_EVERY).await;
    }
}

/// Says it, unless it is what was said last.
fn say_once(last: &mut Option<String>, text: String, said: &(dyn Fn(&str) + Send + Sync)) {
    if last.as_ref() != Some(&text) {
        said(&text);
        *last = Some(text);
    }
}

impl Lease {
    /// Renews it until it is lost: somebody else has it, or it could not be renewed for too long. It can be dropped at any
    /// time, and called again.
    pub async fn keep(&self) -> Lost {
        let mut trouble = None;
        let mut next = self.held().renewed + RENEW_EVERY;
        loop {
            let end = self.held().renewed + UNRENEWED_MAX;
            sleep_until(next.min(end)).await;
            let began = Instant::now();
            if began >= end {
                return self.unrenewed(trouble);
            }
            let renewed = timeout_at(end.min(began + ATTEMPT_MAX), self.renew()).await;
            match renewed.unwrap_or_else(|_| Err(Unrenewed::NotNow(sentence(&self.desk.silent())))) {
                Ok(()) => {
                    trouble = None;
                    next = began + RENEW_EVERY;
                }
                Err(Unrenewed::NotNow(why)) => {
                    trouble = Some(why);
                    next = Instant::now() + TRY_EVERY;
                }
                Err(Unrenewed::Gone(why)) => return Lost(why),
            }
        }
    }

    /// Gives it up, if it is still this process's, so that the next one need not wait. If that fails, the next one waits.
    pub async fn release(&self) {
        let _ = timeout(ATTEMPT_MAX, self.empty()).await;
    }

    async fn empty(&self) {
        for _ in 0..ROUNDS_MAX {
            let Ok(Some(mut object)) = self.desk.api.get_opt(NAME).await else { return };
            if holder(&object) != Some(self.desk.me.as_str()) {
                return;
            }
            object.spec.get_or_insert_default().holder_identity = None;
            match self.desk.api.replace(NAME, &PostParams::default(), &object).await {
                Err(error) if answers(&error, &[409]) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) -> Result<(), Unrenewed> {
        for _ in 0..ROUNDS_MAX {
            let renewed = Instant::now();
            let mut object = self.held().object.clone();
            object.spec.get_or_insert_default().renew_time = Some(now());
            match self.desk.api.replace(NAME, &PostParams::default(), &object).await {
                Ok(object) => {
                    *self.held() = Held { object, renewed };
                    return Ok(());
                }
                Err(error) if answers(&error, &[404, 409]) => self.look_again().await?,
                Err(error) => return Err(self.desk.not_now("update", error, Effect::Maybe)),
            }
        }
        Err(Unrenewed::NotNow(format!("{} is changed by somebody else all the time", self.desk.lease())))
    }

    /// Somebody changed it, or the answer to a renewal was lost. Whose it is now.
    async fn look_again(&self) -> Result<(), Unrenewed> {
        let lease = self.desk.lease();
        let object = self.desk.api.get_opt(NAME).await;
        let Some(object) = object.map_err(|error| self.desk.not_now("get", error, Effect::None))? else {
            return Err(Unrenewed::Gone(format!("somebody deleted {lease}")));
        };
        match holder(&object) {
            Some(holder) if holder == self.desk.me => {
                self.held().object = object;
                Ok(())
            }
            Some(other) => Err(Unrenewed::Gone(format!("{} has {lease} now", words(other)))),
            None => Err(Unrenewed::Gone(format!("{lease} was released"))),
        }
    }

    fn unrenewed(&self, trouble: Option<String>) -> Lost {
        let why = trouble.map(|why| format!(": {why}")).unwrap_or_default();
        Lost(format!("{} was not renewed for {} s{why}", self.desk.lease(), UNRENEWED_MAX.as_secs()))
    }
}

impl Desk {
    fn new(cluster: &Cluster, holder: &str) -> Result<Self, Failure> {
        let namespace = cluster.namespace.clone();
        let api = Api::namespaced(cluster.client.clone(), &namespace);
        let mut drawn = [0_u8; 4];
        let read = rustix::rand::getrandom(drawn.as_mut_slice(), GetRandomFlags::empty());
        if read.ok() != Some(drawn.len()) {
            return Err(Failure::new(Class::Retryable, Code::ServerNotStarted, "make a name for the holder")
                .because("the machine gives no random bytes")
                .help("start it again"));
        }
        Ok(Self { api, namespace, me: format!("{holder}_{:08x}", u32::from_ne_bytes(drawn)) })
    }

    /// Reads it, and takes it if it is free. `pod`: the name of which an earlier life is not waited for.
    async fn attempt(&self, pod: Option<&str>, seen: &mut Option<Seen>) -> Result<Attempt, Failure> {
        let read = self.api.get_opt(NAME).await;
        let Some(object) = read.map_err(|error| self.failed("get", error, Effect::None))? else {
            return self.create().await;
        };
        let Some(holder) = holder(&object) else { return self.take(object).await };
        let earlier = pod.is_some() && holder.rsplit_once('_').map(|(name, _)| name) == pod;
        let spec = object.spec.clone().unwrap_or_default();
        // An answer that was lost: it is this process's already.
        if holder == self.me || earlier || is_silent(seen, &spec, Instant::now()) {
            return self.take(object).await;
        }
        let since = spec.acquire_time.as_ref().map(|at| format!(" since {:.0}", at.0)).unwrap_or_default();
        Ok(Attempt::Waits(format!(
            "{} has {}{since}: waiting until it is released, or was not renewed for {} s",
            words(holder),
            self.lease(),
            duration(&spec).as_secs()
        )))
    }

    async fn create(&self) -> Result<Attempt, Failure> {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec { lease_transitions: Some(0), ..self.spec(LeaseSpec::default()) };
        let object = Object { metadata, spec: Some(spec) };
        let renewed = Instant::now();
        match self.api.create(&PostParams::default(), &object).await {
            Ok(object) => Ok(Attempt::Taken(Box::new(Held { object, renewed }))),
            Err(error) if answers(&error, &[409]) => Ok(Attempt::Raced),
            Err(error) if answers(&error, &[404]) => Err(self
                .failed("create", error, Effect::Maybe)
                .because(format!("there is no namespace {}", self.namespace))
                .help("create the namespace, or name the host of another one as the home of [server.kubernetes]")),
            Err(error) => Err(self.failed("create", error, Effect::Maybe)),
        }
    }

    async fn take(&self, mut object: Object) -> Result<Attempt, Failure> {
        object.spec = Some(self.spec(object.spec.take().unwrap_or_default()));
        let renewed = Instant::now();
        match self.api.replace(NAME, &PostParams::default(), &object).await {
            Ok(object) => Ok(Attempt::Taken(Box::new(Held { object, renewed }))),
            Err(error) if answers(&error, &[404, 409]) => Ok(Attempt::Raced),
            Err(error) => Err(self.failed("update", error, Effect::Maybe)),
        }
    }

    /// The `spec` by which this process has it.
    fn spec(&self, before: LeaseSpec) -> LeaseSpec {
        let mut spec = before;
        if spec.holder_identity.as_ref() != Some(&self.me) {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
            spec.acquire_time = Some(now());
        }
        spec.holder_identity = Some(self.me.clone());
        spec.lease_duration_seconds = Some(DURATION_S);
        spec.renew_time = Some(now());
        spec
    }

    /// As sentences name it.
    fn lease(&self) -> String {
        format!("the Lease {NAME} in the namespace {}", self.namespace)
    }

    fn failed(&self, verb: &str, error: kube::Error, effect: Effect) -> Failure {
        let forbidden = answers(&error, &[403]);
        let failure = failure(format!("{verb} {}", self.lease()), error, effect);
        match forbidden {
            true => failure.help(format!(
                "give keyroll's login the right to {verb} leases of coordination.k8s.io in the namespace {}; it needs get, create \
                 and update there",
                self.namespace
            )),
            false => failure,
        }
    }

    fn not_now(&self, verb: &str, error: kube::Error, effect: Effect) -> Unrenewed {
        Unrenewed::NotNow(sentence(&self.failed(verb, error, effect)))
    }

    /// No answer came in time.
    fn silent(&self) -> Failure {
        let attempted = format!("get or update {}", self.lease());
        let why = format!("the API server does not answer within {} s", ATTEMPT_MAX.as_secs());
        Failure::new(Class::Unknown, Code::ClusterUnreachable, attempted).because(why)
    }
}

/// Who has it.
fn holder(object: &Object) -> Option<&str> {
    object.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long its holder must have been silent before others may take it.
fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.filter(|seconds| *seconds > 0).unwrap_or(DURATION_S);
    Duration::from_secs(u64::from(seconds.unsigned_abs()))
}

/// Whether its holder was silent for so long, by the clock of this process.
fn is_silent(seen: &mut Option<Seen>, spec: &LeaseSpec, now: Instant) -> bool {
    match seen {
        Some(before) if before.spec == *spec => now - before.since >= duration(spec),
        Some(_) | None => {
            *seen = Some(Seen { spec: spec.clone(), since: now });
            false
        }
    }
}

/// Whether an error is an answer with one of these statuses.
fn answers(error: &kube::Error, codes: &[u16]) -> bool {
    matches!(error, kube::Error::Api(status) if codes.contains(&status.code))
}

#[expect(clippy::disallowed_methods, reason = "it is shown to people, and nothing is decided by it")]
fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}

#[cfg(test)]
mod tests;
