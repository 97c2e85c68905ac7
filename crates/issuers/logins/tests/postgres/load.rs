//! A rotation, and a rollback half-way, under constant load: no request fails.

use crate::postgres::stage::{Stage, field, id};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::Credential;
use keyroll_testkit::load::{Callers, Front, Worker, WorkerOptions};
use keyroll_testkit::{Deadline, free_port, until};

const RATE: u32 = 300;

fn options(stage: &Stage, credential: &Credential, port: u16) -> WorkerOptions {
    let (user, password) = (field(credential, "user"), field(credential, "password"));
    let url = format!("postgres://{user}:{password}@127.0.0.1:{}/orders", stage.server.port());
    WorkerOptions { url, port, pool: 3, warm_ms: 0, drain_ms: 500, log: None }
}

/// The same service in two instances behind one front.
struct Service {
    front: Front,
    ports: [u16; 2],
    workers: [Option<Worker>; 2],
}

impl Service {
    async fn start(stage: &Stage, port: u16) -> Self {
        let ports = [free_port().unwrap(), free_port().unwrap()];
        let front = Front::start(port, &ports).await.unwrap();
        let mut service = Self { front, ports, workers: [None, None] };
        for at in [0, 1] {
            service.restart(stage, at, &stage.current).await;
        }
        service
    }

    /// One instance with another credential: drained, ended, started, seen by the front.
    async fn restart(&mut self, stage: &Stage, at: usize, credential: &Credential) {
        if let Some(worker) = self.workers[at].take() {
            worker.drain().await;
        }
        self.workers[at] = Some(Worker::start(&options(stage, credential, self.ports[at])).await.unwrap());
        let seen = || async { self.front.uses(self.ports[at]).then_some(()) };
        until(Deadline::seconds(60), seen).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_and_a_rollback_under_load_fail_no_request() {
    let Some(stage) = Stage::new("a rotation under load").await else { return };
    let port = free_port().unwrap();
    let mut service = Service::start(&stage, port).await;
    let callers = Callers::start(port, RATE);

    stage.issuer.preflight(&stage.current).await.unwrap();
    let new = stage.mint("keyroll/r/1", &stage.current).await;
    assert_eq!(stage.probe(&new).await, Probe::Alive);
    for at in [0, 1] {
        service.restart(&stage, at, &new).await;
    }
    let old = id(&stage.current);
    let gone = || async { stage.issuer.sessions(old).await.unwrap().unwrap().is_empty().then_some(()) };
    until(Deadline::seconds(60), gone).await.unwrap();
    stage.issuer.disable(old).await.unwrap();
    stage.issuer.revoke(old).await.unwrap();
    assert_eq!(stage.probe(&stage.current).await, Probe::Dead);

    // Half-way through the next rotation, the first instance is rolled back.
    let abandoned = stage.mint("keyroll/r/2", &new).await;
    service.restart(&stage, 0, &abandoned).await;
    let both = stage.issuer.sessions(id(&abandoned)).await.unwrap().unwrap();
    assert!(!both.is_empty());
    service.restart(&stage, 0, &new).await;
    stage.issuer.revoke(id(&abandoned)).await.unwrap();
    assert_eq!(stage.probe(&abandoned).await, Probe::Dead);
    assert_eq!(stage.probe(&new).await, Probe::Alive);

    let tally = callers.stop().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    let logins: Vec<_> = tally.answers.keys().map(String::as_str).collect();
    assert_eq!(logins, ["orders orders", "orders_a orders", "orders_b orders"]);
    println!("{} requests, {} failed, in {:?}", tally.sent, tally.failed, tally.elapsed);
}
