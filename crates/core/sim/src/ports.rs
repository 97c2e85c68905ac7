//! The ports in memory that a real shell runs over: each call goes to the world and waits for its answer.

#[cfg(test)]
mod conformance;
mod host;
mod issuer;
mod journal;
mod store;
mod time;
mod truth;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use keyroll_codes::Code;
use keyroll_engine::{OtherKeys, Ports, Spawner};
use keyroll_port::{Class, Failure, Truth};
use keyroll_rotation::{Capabilities, CredId};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use crate::calls::{Call, CallResult};
use crate::issuer::Value;
use crate::quirks::Quirk;
use crate::scene::Family;
use crate::schedule::Run;

pub(crate) use time::scope;

/// The ports of one driver's shell.
pub(crate) struct Port {
    run: Arc<Mutex<Run>>,
    slot: usize,
    capabilities: Capabilities,
    endpoints: usize,
    /// Each endpoint is asked from several hosts.
    pairs: bool,
    family: Family,
}

pub(crate) fn locked(run: &Mutex<Run>) -> MutexGuard<'_, Run> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports of the driver in this slot.
pub(crate) fn ports(run: &Arc<Mutex<Run>>, slot: usize) -> Ports {
    let port = Arc::new(Port::new(run, slot));
    let source = locked(run).world.truth.is_some().then(|| port.clone() as Arc<dyn Truth>);
    Ports {
        journal: port.clone(),
        store: port.clone(),
        truth: source,
        staging: port.clone(),
        issuer: port.clone(),
        host: port.clone(),
        clock: port.clone(),
        other_keys: OtherKeys::default(),
        spawner: port as Arc<dyn Spawner>,
    }
}

impl Port {
    fn new(run: &Arc<Mutex<Run>>, slot: usize) -> Self {
        let guard = locked(run);
        let world = &guard.world;
        let pairs = world.scene.quirks.has(Quirk::Away);
        Self {
            run: run.clone(),
            slot,
            capabilities: world.plan.capabilities.clone(),
            endpoints: if pairs { world.pairs_each() } else { world.plan.endpoints.len() },
            pairs,
            family: world.scene.family,
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        locked(&self.run)
    }

    fn call(&self, call: Call) -> Calling<'_> {
        Calling { port: self, call: Some(call), ticket: 0 }
    }

    /// A call that ends with nothing but success or failure.
    async fn act(&self, call: Call) -> Result<(), Failure> {
        outcome(self.call(call).await).map(drop)
    }

    /// A look into the store, which answers at once.
    fn blind(&self) -> Result<MutexGuard<'_, Run>, Failure> {
        let run = self.run();
        if run.is_blind(scope()) { Err(failure(Class::Retryable)) } else { Ok(run) }
    }
}

/// A call under way.
struct Calling<'a> {
    port: &'a Port,
    call: Option<Call>,
    ticket: usize,
}

impl Future for Calling<'_> {
    type Output = CallResult;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<CallResult> {
        let this = self.get_mut();
        let mut run = this.port.run();
        if let Some(call) = this.call.take() {
            this.ticket = run.begin(this.port.slot, scope(), call);
            return Poll::Pending;
        }
        match run.answers.get_mut(this.ticket).and_then(Option::take) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

fn failure(class: Class) -> Failure {
    Failure::new(class, Code::RequestFailed, String::new())
}

fn outcome(answer: CallResult) -> Result<CallResult, Failure> {
    match answer {
        CallResult::Failed(class) => Err(failure(class)),
        CallResult::Elsewhere(kind) => Err(failure(Class::Permanent).kind(kind)),
        answer => Ok(answer),
    }
}

/// The failure of a port that gets the answer to another call.
fn mistaken<T>() -> Result<T, Failure> {
    Err(failure(Class::Permanent))
}

/// A value that nothing in the world has.
pub(crate) const DECOY: Value = 254;

/// The only byte of a value before its number.
const VALUE: u8 = b'v';

fn fields(value: Value) -> Fields {
    Fields::single(SecretBytes::new(vec![VALUE, value]))
}

fn credential(value: Value, id: Option<&CredId>) -> Credential {
    Credential { id: id.map(|id| CredentialId::new(id.as_str())), fields: fields(value) }
}

/// The number of a value; `None` if the value is not of this world.
fn number(fields: &Fields) -> Option<Value> {
    match fields.get("value").map(|field| field.value.expose()) {
        Some([VALUE, value]) => Some(*value),
        Some(_) | None => None,
    }
}

fn cred(id: &CredentialId) -> CredId {
    CredId::new(id.as_str())
}
