use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_link::{
    DifferenceForm, FailureForm, FileNow, FormError, HolderForm, IncarnationForm, OpenOrder, Order,
    PendingChangeForm, ProvingOrder, Reply, SessionsForm,
};
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, Clock, Failure, Holder, Host, Looked, Prepared, Proved, Proving,
    RefusedCalls, Sessions, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Reconciled, Seq, Which};
use keyroll_secret::Fields;
use tokio::sync::OwnedMutexGuard;

use crate::connection::{Connection, Dial, harmless, misformed, of_host, other_answer};
use crate::halves::Halves;
use crate::order_kind::OrderKind;

/// How long after the first attempt a machine that was not reached is tried again, milliseconds; then twice as long, and so
/// on.
const AGAIN_MS: u64 = 1_000;
/// The longest pause between two attempts, milliseconds.
const AGAIN_MS_MAX: u64 = 8_000;
/// How long one attempt may take, milliseconds: ssh gives up after 15 s, and keyroll-host has as long to greet.
const ATTEMPT_MS_MAX: u64 = 30_000;

/// The connection, for one order.
pub(crate) type Connected = OwnedMutexGuard<Connection>;

/// One machine at the other end of a link, in its own numbers. It is connected when it is first asked, and again after the
/// link broke.
///
/// It answers one call at a time. A call goes on when its caller stops waiting, and its answer is then dropped: the next
/// call finds the link between two answers, and not in the middle of one.
pub struct Remote {
    pub(crate) name: String,
    clock: Arc<dyn Clock>,
    connection: Arc<tokio::sync::Mutex<Connection>>,
    halves: Mutex<Halves>,
    /// The paths of its files, by its own numbers; empty if they are not known.
    pub(crate) paths: Vec<PathBuf>,
}

impl Remote {
    /// The machine of this name. `open` says which rotation the connection is for; its turn is that of the connection before.
    pub fn new(name: String, dial: Arc<dyn Dial>, open: OpenOrder, clock: Arc<dyn Clock>) -> Self {
        let connection = Connection::new(name.clone(), dial, open, Arc::clone(&clock));
        let (connection, halves) = (Arc::new(tokio::sync::Mutex::new(connection)), Mutex::default());
        Self { name, clock, connection, halves, paths: Vec::new() }
    }

    /// The same with the paths of its files, by its own numbers, as the operator reads them.
    #[must_use]
    pub fn with_paths(self, paths: Vec<PathBuf>) -> Self {
        Self { paths, ..self }
    }

    /// Its files as they were when it was first connected, if the plan was being made then; empty otherwise.
    ///
    /// # Errors
    /// It cannot be reached, or a file cannot be read there.
    pub async fn files_now(&self) -> Result<Vec<FileNow>, Failure> {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        if let Some(files) = connection.files() {
            return Ok(files.to_vec());
        }
        drop(connection);
        Ok(self.connected().await?.files().unwrap_or_default().to_vec())
    }

    /// Waits for the calls before, and connects if that is needed.
    pub(crate) async fn connected(&self) -> Result<Connected, Failure> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        let connecting = tokio::spawn(async move {
            let done = connection.ready().await;
            (connection, done)
        });
        match connecting.await {
            Ok((connection, done)) => done.map(|()| connection),
            Err(_) => Err(self.stopped(Class::Retryable, "connect")),
        }
    }

    /// The same for an effect that may begin for a while: a machine that starts again, or a network that is gone for a moment,
    /// is no consumer that fails. Another attempt begins only if it ends within the time.
    async fn connected_for(&self, asked: Asked) -> Result<Connected, Failure> {
        let mut pause_ms = AGAIN_MS;
        loop {
            let failure = match self.connected().await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let unreached = failure.code == Code::HostUnreachable && failure.class == Class::Retryable;
            if !unreached || self.left_ms(asked) < pause_ms.saturating_add(ATTEMPT_MS_MAX) {
                return Err(failure);
            }
            self.clock.sleep_until(self.clock.monotonic_ms().saturating_add(pause_ms)).await;
            pause_ms = pause_ms.saturating_mul(2).min(AGAIN_MS_MAX);
        }
    }

    /// Gives an order. It goes on if this is no longer awaited.
    pub(crate) async fn order(
        &self,
        mut connection: Connected,
        order: Order,
        kind: OrderKind,
    ) -> Result<Reply, Failure> {
        let giving = tokio::spawn(async move { connection.exchange(order, kind).await });
        let class = if kind.changes { Class::Unknown } else { Class::Retryable };
        giving.await.unwrap_or_else(|_| Err(self.stopped(class, kind.attempts)))
    }

    /// Gives an order that is only carried out.
    async fn done(&self, connection: Connected, order: Order, kind: OrderKind) -> Result<(), Failure> {
        let Reply::Done = self.order(connection, order, kind).await? else {
            return Err(self.other(&kind));
        };
        Ok(())
    }

    /// Gives an order whose answer is a process.
    async fn holder(&self, order: Order, kind: OrderKind) -> Option<Holder> {
        let connection = self.connected().await.ok()?;
        let Ok(Reply::Holder(holder)) = self.order(connection, order, kind).await else { return None };
        holder.and_then(|holder: HolderForm| holder.into_port().ok())
    }

    /// How long an effect may still begin, milliseconds: for so long its answer is awaited.
    fn left_ms(&self, asked: Asked) -> u64 {
        asked.until_ms.saturating_sub(self.clock.monotonic_ms())
    }

    /// The reply to another order.
    pub(crate) fn other(&self, kind: &OrderKind) -> Failure {
        other_answer(&self.name, kind)
    }

    /// What a reply brings, within its limits.
    pub(crate) fn within<T>(&self, kind: &OrderKind, read: Result<T, FormError>) -> Result<T, Failure> {
        read.map_err(|error| misformed(&self.name, kind, error))
    }

    /// The task of a call ended without a result: the runtime ends, or the task has a defect.
    fn stopped(&self, class: Class, attempts: &str) -> Failure {
        Failure::new(class, Code::HostUnreachable, format!("{attempts} on {}", self.name))
            .because("the call was stopped")
    }

    /// After a panic in another call, at worst a look is made again.
    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second half of evidence. The first one is known only to the program that made it.
    async fn second_half(
        &self,
        prepared: Prepared,
        of: Proving<'_>,
        after: &Sessions,
    ) -> Result<Proved, Failure> {
        const KIND: OrderKind = OrderKind::short("go", "take the evidence");
        let turn = self.halves().take(&of, prepared);
        let connection = Arc::clone(&self.connection).lock_owned().await;
        if turn.is_none() || connection.turn() != turn {
            return Err(Failure::new(
                Class::Retryable,
                Code::OtherDriver,
                "finish a look at who uses the value",
            )
            .because("another look was begun since, or the machine was connected anew")
            .help("the look is made again"));
        }
        let order = Order::Go {
            prepared: prepared.number,
            reads_again: prepared.reads_again,
            of: proving(&connection, &KIND, &of)?,
            after: SessionsForm::from(after),
        };
        let Reply::Proved(proved) = self.order(connection, order, KIND).await? else {
            return Err(self.other(&KIND));
        };
        let Proved { evidence, remarks, failing_checks, downtimes } =
            self.within(&KIND, proved.into_port())?;
        let evidence = evidence.map_err(|failure| of_host(&self.name, failure));
        let remarks = remarks.into_iter().map(|remark| of_host(&self.name, remark)).collect();
        Ok(Proved { evidence, remarks, failing_checks, downtimes })
    }
}

fn proving(connection: &Connected, kind: &OrderKind, of: &Proving<'_>) -> Result<ProvingOrder, Failure> {
    Ok(ProvingOrder {
        consumer: of.consumer.0,
        slot: of.slot,
        which: of.which.into(),
        values: connection.seal(kind, 0, &of.values)?,
        watched: of.watched,
    })
}

/// What failed there, as this side has it.
pub(crate) fn failures(name: &str, forms: Vec<FailureForm>) -> Vec<Failure> {
    forms.into_iter().map(|form| of_host(name, form.into_port())).collect()
}

#[async_trait]
impl Host for Remote {
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        const KIND: OrderKind = OrderKind::search("trial", "try to replace the files");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &values)?;
        let Reply::Trial(obstacles) = self.order(connection, Order::Trial { values }, KIND).await? else {
            return Err(self.other(&KIND));
        };
        Ok(failures(&self.name, obstacles))
    }

    async fn carries(&self, fields: &Fields) -> Result<(), Failure> {
        const KIND: OrderKind = OrderKind::short("carries", "see whether the files can carry the value");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &Values { old: fields, new: None, old_ended: false })?;
        self.done(connection, Order::Carries { values }, KIND).await
    }

    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let connection = self.connected_for(asked).await?;
        let kind = OrderKind::changing("deliver", "write a version", self.left_ms(asked));
        let values = connection.seal(&kind, asked.intent, &values)?;
        let order = Order::Deliver { file: file.0, which: which.into(), values, asked: asked.into() };
        self.done(connection, order, kind).await
    }

    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Reconciled, Failure> {
        const KIND: OrderKind = OrderKind::short("delivered", "see whether a version was written");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, intent, &values)?;
        let order = Order::Delivered { file: file.0, which: which.into(), values, intent };
        let Reply::Delivered(found) = self.order(connection, order, KIND).await? else {
            return Err(self.other(&KIND));
        };
        Ok(found.into_port())
    }

    async fn remove_superseded(&self, values: Values<'_>, asked: Asked) -> Result<(), Failure> {
        let connection = self.connected().await?;
        let kind = OrderKind::changing("remove_superseded", "remove ended entries", self.left_ms(asked));
        let values = connection.seal(&kind, asked.intent, &values)?;
        let done = self.done(connection, Order::RemoveSuperseded { values, asked: asked.into() }, kind).await;
        // It is harmless to do it again, and nothing else would finish it.
        done.map_err(harmless)
    }

    async fn before_given_out(
        &self,
        which: Which,
        values: Values<'_>,
        sessions: &Sessions,
    ) -> Result<(), Failure> {
        const KIND: OrderKind =
            OrderKind::search("before_given_out", "record who holds a version").with_effect();
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &values)?;
        let sessions = SessionsForm::from(sessions);
        self.done(connection, Order::BeforeGivenOut { which: which.into(), values, sessions }, KIND).await
    }

    async fn fetch(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let connection = self.connected_for(asked).await?;
        let kind = OrderKind::changing("fetch", "fetch a version", self.left_ms(asked));
        let values = connection.seal(&kind, asked.intent, &values)?;
        let order = Order::Fetch { consumer: consumer.0, which: which.into(), values, asked: asked.into() };
        self.done(connection, order, kind).await
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        let connection = self.connected_for(asked).await?;
        let kind = OrderKind::changing("apply", "make a consumer load its files", self.left_ms(asked));
        let accepted = match brings {
            AllowedChanges::Accepted(accepted) => Some(accepted.iter().map(DifferenceForm::from).collect()),
            AllowedChanges::Anything => None,
        };
        let order = Order::Apply { consumer: consumer.0, slot, asked: asked.into(), accepted };
        let Reply::Applied { done, changes } = self.order(connection, order, kind).await? else {
            return Err(self.other(&kind));
        };
        let changes = changes.into_iter().map(PendingChangeForm::into_port).collect();
        let changes = self.within(&kind, changes)?;
        Ok(if done { Applied::Done(changes) } else { Applied::Refused(changes) })
    }

    async fn await_end(&self, _: Touched, intent: Seq) -> Result<bool, Failure> {
        const KIND: OrderKind = OrderKind::short("await_end", "wait for the end of a command");
        let connection = self.connected().await?;
        let Reply::Delivered(found) = self.order(connection, Order::AwaitEnd { intent }, KIND).await? else {
            return Err(self.other(&KIND));
        };
        Ok(found.into_port() == Reconciled::Executed(None))
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        const KIND: OrderKind = OrderKind::search("enumerate", "look at who uses the value");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &values)?;
        let order = Order::Enumerate { values, sessions: SessionsForm::from(sessions), stays: stays.into() };
        let Reply::Looked(looked) = self.order(connection, order, KIND).await? else {
            return Err(self.other(&KIND));
        };
        self.within(&KIND, looked.into_port())
    }

    async fn prepare(&self, of: Proving<'_>, before: &Sessions) -> Result<Prepared, Failure> {
        const KIND: OrderKind = OrderKind::search("prepare", "take the evidence");
        let connection = self.connected().await?;
        let turn = connection.turn();
        let order =
            Order::Prepare { of: proving(&connection, &KIND, &of)?, before: SessionsForm::from(before) };
        let Reply::Prepared { number, reads_again } = self.order(connection, order, KIND).await? else {
            return Err(self.other(&KIND));
        };
        let prepared = Prepared { number, reads_again };
        if let Some(turn) = turn {
            self.halves().keep(&of, prepared, turn);
        }
        Ok(prepared)
    }

    async fn go(&self, prepared: Prepared, of: Proving<'_>, after: &Sessions) -> Proved {
        self.second_half(prepared, of, after).await.unwrap_or_else(|failure| Proved {
            evidence: Err(failure),
            remarks: Vec::new(),
            failing_checks: Vec::new(),
            downtimes: Vec::new(),
        })
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        const KIND: OrderKind = OrderKind::short("describe", "describe a process");
        self.holder(Order::Describe { who: IncarnationForm::of(who) }, KIND).await
    }

    /// The issuer's mark is not sent: this side keeps it.
    async fn watch_refusals(&self, _: Option<&str>) -> Result<(), Failure> {
        const KIND: OrderKind =
            OrderKind::short("watch_refusals", "begin to count refused uses").with_effect();
        self.done(self.connected().await?, Order::WatchRefusals, KIND).await
    }

    /// None is kept there.
    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        const KIND: OrderKind = OrderKind::short("refusals", "count refused uses");
        let connection = self.connected().await?;
        let Reply::Refusals { count, remarks } = self.order(connection, Order::Refusals, KIND).await? else {
            return Err(self.other(&KIND));
        };
        Ok(RefusedCalls { count, remarks: failures(&self.name, remarks) })
    }

    async fn caller(&self, client: SocketAddr) -> Option<Holder> {
        const KIND: OrderKind = OrderKind::short("caller", "find the process of a connection");
        self.holder(Order::Caller { client }, KIND).await
    }

    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure> {
        const KIND: OrderKind = OrderKind::search("sweep", "search for the old value");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &values)?;
        let Reply::Swept(swept) = self.order(connection, Order::Sweep { values }, KIND).await? else {
            return Err(self.other(&KIND));
        };
        self.within(&KIND, swept.into_port())
    }
}
