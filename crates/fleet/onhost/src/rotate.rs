//! A rotation on this host: the driver opens it, and its orders are carried out one after another.

mod carry;
mod driver_clock;
mod fence;
mod known;
mod ledger;
mod open;
mod state;
mod unseal;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use keyroll_codes::Code;
use keyroll_host::{SystemClock, remove_left_copies};
use keyroll_link::{
    Context, FailureForm, HostKey, OpenOrder, Order, Outbox, PlannedForm, ReconciledForm, Reply,
};
use keyroll_port::{Class, Clock as _, Failure};
use tokio::runtime::{Builder, Runtime};

use crate::ending::{Changing, Ending};
use crate::failed::no_order;

use carry::carry_out;
use driver_clock::{DriverClock, Heard};
use fence::{Claim, Fence, overtaken};
use known::KnownValues;
use ledger::Ledger;
use open::{Machine, claim_of, opened};
use state::{check, no_folder, try_record};
use unseal::Unsealed;
use watch::{Held, watch};

pub(crate) use state::default_folder;
pub(crate) use watch::Overtaken;

/// The threads of the runtime: a call blocks its own.
const THREADS: usize = 2;

/// The folder of the copies for checks, and of other files of a rotation, as the setup names it.
const WORK: &str = "work";

/// Carries out the orders of one connection.
pub(crate) struct Rotating {
    /// The folder of keyroll's records; `None` if this user has no home.
    state: Option<PathBuf>,
    ending: Arc<Ending>,
    overtaken: Overtaken,
    /// Opens the values that were sealed for this connection; `None` before the greeting, or if the system gave none.
    key: Option<HostKey>,
    /// The keyed digest of this machine's id; empty if it has none.
    machine: String,
    /// The driver's clock, as far as its orders have shown it.
    clock: DriverClock,
    known: KnownValues,
    /// Made with the first rotation.
    runtime: Option<Runtime>,
    opened: Option<Opened>,
    held: Held,
    /// The thread that watches the fence ends when this is dropped.
    watching: Option<Sender<()>>,
}

/// The rotation that is open.
struct Opened {
    machine: Machine,
    /// Who opened it. Values are sealed for this.
    claim: Claim,
    /// The steps that this driver has begun here.
    ledger: Ledger,
}

impl Rotating {
    /// No rotation is open yet. `state`: the folder of keyroll's records.
    pub(crate) fn new(state: Option<PathBuf>, ending: Arc<Ending>, overtaken: Overtaken) -> Self {
        Self {
            state,
            ending,
            overtaken,
            key: None,
            machine: String::new(),
            clock: DriverClock::default(),
            known: KnownValues::default(),
            runtime: None,
            opened: None,
            held: Held::default(),
            watching: None,
        }
    }

    /// Makes the key of this connection, and returns its public half; empty if the system gave none.
    pub(crate) fn new_key(&mut self) -> String {
        self.key = HostKey::new().ok();
        self.key.as_ref().map(HostKey::public).unwrap_or_default()
    }

    /// Sets the keyed digest of this machine's id, for which values are sealed.
    pub(crate) fn is_on(&mut self, machine: Option<&str>) {
        self.machine = machine.unwrap_or_default().to_owned();
    }

    /// Carries out an order, which was sent at this time of the driver's clock. From the moment that values are known, `out`
    /// cuts them out of every text.
    pub(crate) fn order(&mut self, order: &Order, sent_ms: u64, out: &mut Outbox<'_>) -> Reply {
        let heard = self.clock.heard(sent_ms, SystemClock::new().monotonic_ms(), order.asked());
        let reply =
            if let Order::Open(open) = order { self.open(open) } else { self.carry(order, &heard, out) };
        reply.unwrap_or_else(|failure| Reply::Failed(FailureForm::from(&failure)))
    }

    /// Opens a rotation. The last one counts, also if it could not be opened.
    fn open(&mut self, order: &OpenOrder) -> Result<Reply, Failure> {
        self.opened = None;
        self.held.release();
        let claim = claim_of(order)?;
        let root = self.state.clone().ok_or_else(no_folder)?;
        let state = root.join(&claim.installation);
        check(&root)?;
        check(&state)?;
        if self.runtime.is_none() {
            self.runtime = Some(runtime()?);
        }
        let (machine, files) = opened(order, &state)?;
        // A plan is refused by what would stop its rotation here. A host that is only searched keeps no record.
        if order.planned == PlannedForm::Now && machine.has_consumers() {
            try_record(&root)?;
        }
        let work = state.join(WORK);
        remove_left_copies(&work);
        self.ending.works_in(work);
        let ledger = Ledger::of(&root, &claim);
        if order.changes {
            self.take_over(&root, &ledger, claim.clone(), &order.before)?;
        }
        self.opened = Some(Opened { machine, claim, ledger });
        Ok(Reply::Opened { files })
    }

    /// Takes the right to change the secret's consumers here.
    fn take_over(
        &mut self,
        root: &Path,
        ledger: &Ledger,
        claim: Claim,
        before: &[(u64, String)],
    ) -> Result<(), Failure> {
        if self.watching.is_none() {
            let started = watch(self.held.clone(), Arc::clone(&self.ending), Arc::clone(&self.overtaken));
            self.watching = Some(started.map_err(|error| not_begun().because(error))?);
        }
        let fence = Fence::raise(root, claim, before)?;
        if fence.is_first() {
            ledger.begin_anew(before)?;
        }
        *self.held.fence() = Some(fence);
        Ok(())
    }

    /// Carries out an order of the rotation that is open.
    fn carry(&mut self, order: &Order, heard: &Heard, out: &mut Outbox<'_>) -> Result<Reply, Failure> {
        let (Some(opened), Some(runtime)) = (&self.opened, &self.runtime) else {
            return Err(no_order("no rotation is open"));
        };
        let Claim { secret, installation, epoch, driver: _, turn, rotation } = &opened.claim;
        let context = Context {
            installation,
            host: &self.machine,
            secret,
            rotation,
            epoch: *epoch,
            turn: *turn,
            order: order.kind(),
            intent: order.intent(),
        };
        let sent = Unsealed::of(order, self.key.as_ref(), &context)?;
        if let Some(cleaner) = self.known.learn(sent.fields())? {
            out.clean_with(cleaner);
        }
        let fenced = order.changes() || touches(order);
        let changing = if fenced { Some(self.begin(secret)?) } else { None };
        // Also to an order that comes late, or whose command another user can change by now: it may have been carried out.
        if let Some(reply) = opened.ledger.answer(order)? {
            return Ok(reply);
        }
        opened.machine.trust(order)?;
        if let Some(asked) = order.asked() {
            if heard.is_late(asked) {
                return Err(late(
                    "the order came after its time: the connection, keyroll or this host stood still meanwhile",
                ));
            }
            // It failed when it came first, and keyroll went on: what it would change may be right by now.
            if heard.is_behind() {
                return Err(late("the order came again behind a later one"));
            }
        }
        opened.ledger.begin(order)?;
        let reply = runtime.block_on(carry_out(&opened.machine.local, order, &sent, heard));
        opened.ledger.end(order, &reply);
        let reply = match (order, reply) {
            // Whatever of it still went on has ended by now, and is on record.
            (Order::AwaitEnd { intent }, Ok(_)) if opened.ledger.has_done(*intent)? => {
                Ok(Reply::Delivered(ReconciledForm::Executed))
            }
            (_, reply) => reply,
        };
        drop(changing);
        reply
    }

    /// Begins an order that changes something.
    fn begin(&self, secret: &str) -> Result<Changing, Failure> {
        // The fence is read after this: a newer driver waits from now on.
        let changing = self.ending.begin().ok_or_else(|| overtaken(secret))?;
        match &*self.held.fence() {
            None => Err(no_order("the rotation was not opened for changes")),
            Some(fence) if fence.stands()? => Ok(changing),
            Some(_) => Err(overtaken(secret)),
        }
    }
}

/// An order came when its time was over, or once more behind a later one: it is not carried out.
fn late(because: &'static str) -> Failure {
    Failure::new(Class::Retryable, Code::HostUnreachable, "begin with an order of keyroll in its time")
        .because(because)
}

/// Whether an order that changes nothing for consumers still writes or removes temporary files beside theirs, or ends a
/// command that a driver left: that could be a newer driver's.
fn touches(order: &Order) -> bool {
    matches!(order, Order::Trial { .. } | Order::Delivered { .. } | Order::AwaitEnd { .. })
}

fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    built.map_err(|error| not_begun().because(error))
}

fn not_begun() -> Failure {
    Failure::new(Class::Retryable, Code::HostProgramUnusable, "begin with a rotation on this host")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The thread that watches the fence looks once a second: until then an order looks for itself.
    #[test]
    fn an_order_does_not_begin_once_the_record_is_a_newer_drivers() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let claim = |epoch| Claim {
            secret: "acme".to_owned(),
            installation: "0f".repeat(16),
            epoch,
            driver: format!("{epoch:032x}"),
            turn: 1,
            rotation: String::new(),
        };
        let rotating = Rotating::new(Some(state.clone()), Arc::default(), Arc::new(|| {}));
        *rotating.held.fence() = Some(Fence::raise(&state, claim(1), &[]).unwrap());
        drop(rotating.begin("acme").unwrap());
        let is_record = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        let mut files = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
        let record = files.find(is_record).unwrap();
        fs::write(record, serde_json::to_string(&claim(2)).unwrap()).unwrap();
        let failure = rotating.begin("acme").map(drop).unwrap_err();
        assert_eq!(failure.code, Code::HostFenced);
    }
}
