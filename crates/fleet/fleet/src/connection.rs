use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_link::{
    Call, Context, FileNow, FormError, HostHello, Item, Link, LinkError, OpenOrder, Order, PlannedForm,
    Reply, Sealed, seal,
};
use keyroll_port::{Class, Clock, Failure, FailureKind, Values};

use crate::order_kind::OrderKind;

/// The order that begins a connection. A host waits in it for the end of programs of earlier drivers.
const OPEN: OrderKind = OrderKind::short("open", "begin with the rotation");

/// The host gave an answer to another order.
const OTHER_ANSWER: &str = "it is the answer to another order";

/// How a machine is reached.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects once, and starts keyroll-host there.
    ///
    /// # Errors
    /// The machine cannot be reached, is not the accepted one, or keyroll-host does not start there. Nothing was ordered.
    async fn dial(&self) -> Result<Dialled, Failure>;
}

/// A machine that was reached.
pub struct Dialled {
    /// The connection.
    pub link: Link,
    /// What the machine says of itself.
    pub hello: HostHello,
    /// What ends the connection's program on this side when it is dropped.
    pub keeps: Box<dyn Send>,
}

/// The connection to one machine, which is made again when it broke.
pub(crate) struct Connection {
    name: String,
    dial: Arc<dyn Dial>,
    /// The clock of the orders' time limits.
    clock: Arc<dyn Clock>,
    /// The order that begins the next connection. Its turn is that of the last one.
    open: OpenOrder,
    /// The digest of the machine's id that its first greeting said.
    machine: Option<Option<String>>,
    /// Its files when the plan was made.
    files: Option<Vec<FileNow>>,
    live: Option<Live>,
}

/// A connection on which the rotation was opened. The link is dropped first, then what keeps it.
struct Live {
    link: Link,
    hello: HostHello,
    _keeps: Box<dyn Send>,
}

impl Connection {
    /// Nothing is connected yet.
    pub(crate) fn new(name: String, dial: Arc<dyn Dial>, open: OpenOrder, clock: Arc<dyn Clock>) -> Self {
        Self { name, dial, clock, open, machine: None, files: None, live: None }
    }

    /// The turn of the connection, if there is one.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.live.as_ref().map(|_| self.open.turn)
    }

    /// The files when the plan was made, if that is known.
    pub(crate) fn files(&self) -> Option<&[FileNow]> {
        self.files.as_deref()
    }

    /// Connects and opens the rotation, unless that is done.
    ///
    /// # Errors
    /// The machine cannot be reached, is another one than before, or does not begin. Nothing was changed.
    pub(crate) async fn ready(&mut self) -> Result<(), Failure> {
        if self.live.is_some() {
            return Ok(());
        }
        let Dialled { link, hello, keeps } =
            self.dial.dial().await.map_err(|failure| unreached(harmless(failure)))?;
        self.refuse_other(&hello).map_err(unreached)?;
        // Also for a connection on which the rotation is not opened: no two have the same turn.
        self.open.turn = self.open.turn.saturating_add(1);
        self.live = Some(Live { link, hello, _keeps: keeps });
        let order = Order::Open(Box::new(self.open.clone()));
        let opened = match self.exchange(order, OPEN).await {
            Ok(Reply::Opened { files }) => Ok(files),
            Ok(_) => Err(self.other_answer(&OPEN)),
            Err(failure) => Err(harmless(failure)),
        };
        let files = match opened {
            Ok(files) => files,
            Err(failure) => {
                self.live = None;
                return Err(failure);
            }
        };
        if self.open.planned == PlannedForm::Now {
            let known = files.iter().map(|file| (file.path.clone(), file.real.clone()));
            self.open.planned = PlannedForm::Known(known.collect());
            self.files = Some(files);
        }
        Ok(())
    }

    /// Sends an order on the connection, and waits for its reply. A connection without a whole reply is not used again.
    ///
    /// # Errors
    /// The order failed there, or there is no reply to it.
    pub(crate) async fn exchange(&mut self, order: Order, kind: OrderKind) -> Result<Reply, Failure> {
        let Some(mut live) = self.live.take() else {
            let failure = Failure::new(Class::Retryable, Code::HostUnreachable, self.attempted(&kind));
            return Err(failure.because("the connection ended"));
        };
        // Read right before it is sent: what the order then waits on the way is seen by the host.
        let call = Call::Order { sent_ms: self.clock.monotonic_ms(), order: Box::new(order) };
        let answered = live.link.call(call, kind.limit, &mut |_| {}).await;
        let items = answered.map_err(|error| self.broken(&kind, &error))?;
        let Ok([Item::Reply(reply)]) = <[Item; 1]>::try_from(items) else {
            return Err(self.other_answer(&kind));
        };
        self.live = Some(live);
        let reply = *reply;
        if let Reply::Failed(failure) = reply {
            return Err(of_host(&self.name, failure.into_port()));
        }
        Ok(reply)
    }

    /// Seals values for one order on this connection.
    ///
    /// # Errors
    /// There is no connection, or the host's key cannot be used.
    pub(crate) fn seal(&self, kind: &OrderKind, intent: u64, values: &Values<'_>) -> Result<Sealed, Failure> {
        let failed = |class| {
            Failure::new(class, Code::HostAnswerUnusable, format!("seal the values for {}", self.name))
        };
        let live = self.live.as_ref();
        let live = live.ok_or_else(|| failed(Class::Retryable).because("the connection ended"))?;
        let context = Context {
            installation: &self.open.installation,
            host: live.hello.machine.as_deref().unwrap_or_default(),
            secret: &self.open.secret,
            rotation: &self.open.rotation,
            epoch: self.open.epoch,
            turn: self.open.turn,
            order: kind.word,
            intent,
        };
        seal(&live.hello.seal, &context, values).map_err(|error| failed(Class::Permanent).because(error))
    }

    /// Refuses another machine than the one that was connected first: the plan was made for that one.
    fn refuse_other(&mut self, hello: &HostHello) -> Result<(), Failure> {
        let first = self.machine.get_or_insert_with(|| hello.machine.clone());
        if *first == hello.machine {
            return Ok(());
        }
        let name = &self.name;
        Err(Failure::new(Class::Permanent, Code::HostChanged, format!("go on with the rotation on {name}"))
            .because("another machine answers than before")
            .help(format!(
                "correct its connect in keyroll.toml; keyroll hosts check {name} shows the machine"
            )))
    }

    fn attempted(&self, kind: &OrderKind) -> String {
        format!("{} on {}", kind.attempts, self.name)
    }

    /// There is no answer that can be used. An order that changes something may have had its effect.
    fn broken(&self, kind: &OrderKind, error: &LinkError) -> Failure {
        let code = match error {
            LinkError::Cut(_) | LinkError::Silent { .. } | LinkError::Late { .. } => Code::HostUnreachable,
            LinkError::Garbage(_)
            | LinkError::TooLarge { .. }
            | LinkError::OtherVersion(_)
            | LinkError::Failed { .. } => Code::HostAnswerUnusable,
        };
        let class = if kind.changes { Class::Unknown } else { Class::Retryable };
        let why = match error {
            LinkError::Failed { causes, .. } => format!("{error}: {}", causes.join(": ")),
            LinkError::Cut(_)
            | LinkError::Silent { .. }
            | LinkError::Late { .. }
            | LinkError::Garbage(_)
            | LinkError::TooLarge { .. }
            | LinkError::OtherVersion(_) => error.to_string(),
        };
        Failure::new(class, code, self.attempted(kind))
            .because(why)
            .help(format!("keyroll hosts check {} tries the connection alone", self.name))
    }

    fn other_answer(&self, kind: &OrderKind) -> Failure {
        unusable(&self.name, kind, OTHER_ANSWER)
    }
}

/// What a host says. Its help is for a shell there: it is never shown as a command for this machine.
pub(crate) fn of_host(name: &str, mut failure: Failure) -> Failure {
    failure.help = failure.help.map(|help| format!("on {name}: {help}"));
    failure
}

/// A reply that is too large.
pub(crate) fn misformed(name: &str, kind: &OrderKind, error: FormError) -> Failure {
    unusable(name, kind, &error.to_string())
}

/// A reply to another order.
pub(crate) fn other_answer(name: &str, kind: &OrderKind) -> Failure {
    unusable(name, kind, OTHER_ANSWER)
}

/// A reply that no keyroll-host of this release gives. To ask again would not help.
fn unusable(name: &str, kind: &OrderKind, why: &str) -> Failure {
    let class = if kind.changes { Class::Unknown } else { Class::Permanent };
    Failure::new(class, Code::HostAnswerUnusable, format!("{} on {name}", kind.attempts))
        .because(why.to_owned())
        .help("see that the keyroll-host there is of this release")
}

/// A machine that was not reached, or another one in its place, is away. One that is there and cannot start keyroll-host is not.
fn unreached(mut failure: Failure) -> Failure {
    if matches!(failure.code, Code::HostUnreachable | Code::HostChanged) {
        failure.kind = FailureKind::Unreached;
    }
    failure
}

/// A failure of what is harmless to do again: nothing was ordered yet, or once more has the same effect.
pub(crate) fn harmless(mut failure: Failure) -> Failure {
    if failure.class == Class::Unknown {
        failure.class = Class::Retryable;
    }
    failure
}
