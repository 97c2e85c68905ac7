use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_host::{Prints, prints_of};
use keyroll_inventory::Cleaner;
use keyroll_link::{FailureForm, Order, Reply, SearchFor, SearchOrder, SessionsForm, cleaned_reply};
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, CopySeen, Failure, FailureKind, Holder, Host, Looked,
    PendingChanges, Prepared, Proved, Proving, RefusedCalls, Sessions, Survey, Surveying, Surveyor, Swept,
    Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Reconciled, Seq, Which};
use keyroll_secret::Fields;

use crate::order_kind::OrderKind;
use crate::remote::Remote;

/// One machine at the other end of a link that has no consumer of the secret. It is only searched, by fingerprints: no
/// value is sent there, sealed or not, and nothing is changed there.
///
/// It knows no value, so none is cut out of what it says before it is sent: that is done here.
///
/// What is asked of all machines about consumers and files is answered here: it has none.
pub struct Bystander {
    remote: Arc<Remote>,
    /// It counts as away as long as it cannot be searched for a value.
    must_be_searched: bool,
    /// What cuts the values of the last search out of a text.
    cleaner: Mutex<Option<Arc<Cleaner>>>,
}

impl Bystander {
    /// This machine. It must have been opened without changes.
    pub fn new(remote: Arc<Remote>) -> Self {
        Self { remote, must_be_searched: false, cleaner: Mutex::default() }
    }

    /// The same for a machine whose consumers were left out because it is away. Of one that cannot be searched for the value
    /// nobody can say that its consumers do not have it.
    #[must_use]
    pub fn that_must_be_searched(self) -> Self {
        Self { must_be_searched: true, ..self }
    }

    /// Searches there for the values in which both versions differ, under a key that is used this once. The lines say
    /// which values were not searched for.
    async fn search(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        (wants, kind): (SearchFor, OrderKind),
    ) -> Result<(Reply, Vec<String>), Failure> {
        let cleaner = self.clean_of(values)?;
        let (prints, missed) = {
            let Prints { set, missed } = prints_of(values)?;
            if let Some(missed) = missed.first().filter(|_| self.must_be_searched) {
                return Err(self.not_searched(missed));
            }
            (String::from_utf8_lossy(&set.to_bytes()).into_owned(), missed)
        };
        let order = SearchOrder { prints, sessions: SessionsForm::from(sessions), wants };
        let searched = async {
            let connection = self.remote.connected().await?;
            self.remote.order(connection, Order::Search(Box::new(order)), kind).await
        };
        let reply = match searched.await {
            Ok(reply) => cleaned_reply(&reply, &cleaner).ok_or_else(|| self.remote.other(&kind))?,
            Err(failure) => return Err(self.without_values(&failure, &cleaner, &kind)),
        };
        Ok((reply, missed))
    }

    fn not_searched(&self, missed: &str) -> Failure {
        let attempted = format!("search {}", self.remote.name);
        let mut failure =
            Failure::new(Class::Retryable, Code::HostUnreachable, attempted).because(missed.to_owned());
        failure.kind = FailureKind::Unreached;
        failure
    }

    /// The cleaner of these values, which is also the one of later texts.
    fn clean_of(&self, Values { old, new, .. }: Values<'_>) -> Result<Arc<Cleaner>, Failure> {
        let all = [Some(old), new].into_iter().flatten();
        let values = all.flat_map(|fields| fields.secrets().map(|(_, value)| value));
        let cleaner = Cleaner::of_values(values).map(Arc::new).map_err(|error| {
            let attempted = format!("keep the values out of what {} says", self.remote.name);
            Failure::new(Class::Permanent, Code::ValueRefused, attempted).because(error)
        })?;
        *self.cleaner.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&cleaner));
        Ok(cleaner)
    }

    /// What failed, without the values.
    fn without_values(&self, failure: &Failure, cleaner: &Cleaner, kind: &OrderKind) -> Failure {
        let said = Reply::Failed(FailureForm::from(failure));
        let Some(Reply::Failed(clean)) = cleaned_reply(&said, cleaner) else {
            return self.remote.other(kind);
        };
        Failure { class: failure.class, code: failure.code, kind: failure.kind, ..clean.into_port() }
    }

    /// What is said of a process, without the values.
    fn holder(&self, holder: Holder) -> Holder {
        let cleaner = self.cleaner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(cleaner) = cleaner else { return holder };
        let clean = |text: &str| cleaner.pass(text).into_owned();
        Holder {
            name: clean(&holder.name),
            found_by: clean(&holder.found_by),
            how_to_move: clean(&holder.how_to_move),
            ..holder
        }
    }

    /// What the plan does not ask of a machine without consumers.
    fn has_none(&self, attempted: &str) -> Failure {
        Failure::new(Class::Permanent, Code::PlanStale, format!("{attempted} on {}", self.remote.name))
            .because("no consumer of the secret is declared there")
    }
}

#[async_trait]
impl Host for Bystander {
    async fn trial(&self, _: Values<'_>) -> Result<Vec<Failure>, Failure> {
        Ok(Vec::new())
    }

    async fn carries(&self, _: &Fields) -> Result<(), Failure> {
        Ok(())
    }

    async fn deliver(&self, _: FileId, _: Which, _: Values<'_>, _: Asked) -> Result<(), Failure> {
        Err(self.has_none("write a version"))
    }

    async fn delivered(&self, _: FileId, _: Which, _: Values<'_>, _: Seq) -> Result<Reconciled, Failure> {
        Err(self.has_none("see whether a version was written"))
    }

    async fn fetch(&self, _: ConsumerId, _: Which, _: Values<'_>, _: Asked) -> Result<(), Failure> {
        Err(self.has_none("fetch a version"))
    }

    async fn apply(&self, _: ConsumerId, _: u8, _: Asked, _: AllowedChanges<'_>) -> Result<Applied, Failure> {
        Err(self.has_none("make a consumer load its files"))
    }

    async fn await_end(&self, _: Touched, _: Seq) -> Result<bool, Failure> {
        Ok(false)
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        const KIND: OrderKind = OrderKind::search("search", "look at who uses the value");
        let wants = (SearchFor::Look(stays.into()), KIND);
        let (Reply::Looked(looked), missed) = self.search(values, sessions, wants).await? else {
            return Err(self.remote.other(&KIND));
        };
        let mut looked = self.remote.within(&KIND, looked.into_port())?;
        looked.not_visible.extend(missed);
        Ok(looked)
    }

    async fn prepare(&self, _: Proving<'_>, _: &Sessions) -> Result<Prepared, Failure> {
        Err(self.has_none("take the evidence"))
    }

    async fn go(&self, _: Prepared, _: Proving<'_>, _: &Sessions) -> Proved {
        Proved {
            evidence: Err(self.has_none("take the evidence")),
            remarks: Vec::new(),
            failing_checks: Vec::new(),
            downtimes: Vec::new(),
        }
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        self.remote.describe(who).await.map(|holder| self.holder(holder))
    }

    /// No consumer writes a log there.
    async fn watch_refusals(&self, _: Option<&str>) -> Result<(), Failure> {
        Ok(())
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        Ok(RefusedCalls::default())
    }

    async fn caller(&self, client: SocketAddr) -> Option<Holder> {
        self.remote.caller(client).await.map(|holder| self.holder(holder))
    }

    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure> {
        const KIND: OrderKind = OrderKind::search("search", "search for the old value");
        let wants = (SearchFor::Sweep, KIND);
        let (Reply::Swept(swept), missed) = self.search(values, &Sessions::default(), wants).await? else {
            return Err(self.remote.other(&KIND));
        };
        let mut swept = self.remote.within(&KIND, swept.into_port())?;
        swept.not_visible.extend(missed);
        Ok(swept)
    }
}

#[async_trait]
impl Surveyor for Bystander {
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        const KIND: OrderKind = OrderKind::search("search", "look at what a plan depends on");
        let wants = (SearchFor::Plan, KIND);
        let (Reply::Surveyed(survey), missed) = self.search(of.values, of.sessions, wants).await? else {
            return Err(self.remote.other(&KIND));
        };
        let mut survey = self.remote.within(&KIND, survey.into_port())?;
        survey.looked.not_visible.extend(missed);
        Ok(survey)
    }

    async fn copies(&self, _: Values<'_>) -> Vec<CopySeen> {
        Vec::new()
    }

    async fn live(&self) -> PendingChanges {
        PendingChanges::default()
    }
}
