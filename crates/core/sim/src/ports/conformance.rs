//! Runs the conformance suites over the ports in memory. A world has one secret and one open rotation: cases that need
//! more are omitted, and so are cases about what the engine never asks for (fingerprints, names, clocks).

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use keyroll_port::conformance::host::{self, HostHarness, ProcessHarness};
use keyroll_port::conformance::journal::{self, JournalHarness};
use keyroll_port::conformance::store::{self, StoreHarness};
use keyroll_port::{Host, Journal, Label, Opening, RotationId};
use keyroll_rotation::{ConsumerId, FileId, Stamp, Which};
use keyroll_secret::{Credential, CredentialId, Fields};

use super::{Port, fields, locked};
use crate::fault_plan::FaultPlan;
use crate::issuer::{FOREIGN, OLD, OWN, Value};
use crate::ledger::Ledger;
use crate::mutant::Mutant;
use crate::scene::{Kind, Scene, Size};
use crate::schedule::{Keep, Run};
use crate::store::{FIRST, Store};

/// The ports of a world without a driver, in which nothing goes wrong.
struct Simulated {
    run: Arc<Mutex<Run>>,
    port: Port,
    last: Value,
    /// Of its host's file.
    versions: (Fields, Fields),
}

impl Simulated {
    fn new() -> Self {
        // Its first consumer is restarted, and another one has a command that fetches.
        let scene = Scene::plain(Size::Full, Kind::Independent, 1);
        let plan = FaultPlan { scene, seed: 1, faults: Vec::new(), policy: None };
        let run = Arc::new(Mutex::new(Run::new(&plan, &Mutant::NONE, Keep::default(), 1_000)));
        let port = Port::new(&run, 0);
        Self { run, port, last: OWN, versions: (fields(OLD), fields(OLD + 1)) }
    }
}

/// Lets the world go on until the work is done.
fn drive<T>(run: &Mutex<Run>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        let mut run = locked(run);
        assert!(!run.due.is_empty(), "a call waits for nothing");
        run.next();
    }
}

#[async_trait]
impl StoreHarness for Simulated {
    async fn fresh(&mut self) {
        locked(&self.run).world.store = Store::empty();
    }

    async fn reopen(&mut self) {
        // The world outlives every driver: from here on another driver asks.
        self.port = Port::new(&self.run, self.port.slot + 1);
    }

    fn store(&self) -> &dyn keyroll_port::Store {
        &self.port
    }

    fn staging(&self) -> &dyn keyroll_port::Staging {
        &self.port
    }

    async fn found(&mut self) -> bool {
        true
    }

    fn credential(&mut self, id: Option<&str>) -> Credential {
        self.last += 1;
        Credential { id: id.map(CredentialId::new), fields: fields(self.last) }
    }
}

#[async_trait]
impl HostHarness for Simulated {
    async fn fresh(&mut self) {
        locked(&self.run).world.write(FileId(0), OLD, true);
    }

    async fn reopen(&mut self) {
        StoreHarness::reopen(self).await;
    }

    fn host(&self) -> &dyn Host {
        &self.port
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions.0, &self.versions.1)
    }

    async fn overwrite(&mut self) {
        locked(&self.run).world.write(FileId(0), FOREIGN, true);
    }
}

#[async_trait]
impl ProcessHarness for Simulated {
    async fn start(&mut self) {
        let mut run = locked(&self.run);
        // The issuer accepts the version that the program is moved to.
        run.world.issuer.before(OLD + 1);
        for at in 0..run.world.procs.len() {
            if run.world.procs.get(at).is_some_and(|proc| proc.consumer == Some(ConsumerId(0))) {
                run.world.restart(at, false);
            }
        }
    }

    fn fetches(&self) -> (ConsumerId, FileId) {
        (ConsumerId(4), FileId(3))
    }

    async fn gives_out(&mut self, which: Which) {
        assert_eq!(which, Which::New, "the old version is given out at first");
        let mut run = locked(&self.run);
        let store = &mut run.world.store;
        assert!(store.keep(1, OLD + 1, None));
        let number = store.put_pending(1, OLD + 1, None).unwrap();
        assert!(store.make_current(FIRST, number, Label::Previous));
    }
}

#[async_trait]
impl JournalHarness for Simulated {
    async fn fresh(&mut self) {
        let mut run = locked(&self.run);
        let plan = run.ledger.plan.clone();
        run.ledger = Ledger::new(plan, Stamp { ms: 1, boot: 2, epoch: 0 });
    }

    async fn reopen(&mut self) {
        StoreHarness::reopen(self).await;
    }

    fn journal(&self) -> &dyn Journal {
        &self.port
    }

    fn opening(&self, secret: &str) -> Opening {
        let run = locked(&self.run);
        let (plan, at) = (run.ledger.plan.clone(), run.ledger.opened);
        Opening { secret: secret.to_owned(), from_version: FIRST, plan, names: String::new(), at, unix_ms: 0 }
    }

    async fn plant_newer(&mut self, _: &RotationId, _: &str, _: u32) -> bool {
        false
    }
}

macro_rules! cases {
    ($($suite:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                let mut simulated = Simulated::new();
                let run = simulated.run.clone();
                let kept = drive(&run, $suite::$case(&mut simulated));
                assert!(kept.is_ok(), "{kept:?}");
            }
        )+)+
    };
}

cases! {
    store: kept, staged, promoted, demoted, first, retired, discarded, late;
    host: delivered, foreign, too_late, unmade, looked, remembered, applied, proved, fetched;
    journal: appended, fenced;
}
