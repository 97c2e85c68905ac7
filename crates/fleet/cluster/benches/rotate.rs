//! What a rotation of one Secret asks of the API server and costs for each of 100 workloads, with two pods each, that take it
//! one after the other: its delivery, each roll-out with its evidence, and a look at everything before the old key ends.
//! Prints one line of JSON, and fails above the limits.
//!
//! A child of this process answers as an API server does, over HTTP on loopback: a roll-out is done as soon as it began, and
//! after each write its clock is a minute later, so that nothing is waited for. While a roll-out goes on, each look at it asks
//! for four objects, at most once a second.

#![recursion_limit = "256"]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "parts/http.rs"]
mod http;
#[path = "namespace/objects.rs"]
mod objects;
#[path = "parts/process.rs"]
mod process;
#[path = "rotate/server.rs"]
mod server;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_cluster::{ClusterHost, ClusterSetup, KeySetup, PodsSetup};
use keyroll_config::WorkloadKind;
use keyroll_copy::{Format, Slot};
use keyroll_host::{CopySetup, CopySource, SystemClock};
use keyroll_port::{AllowedChanges, Applied, Asked, Clock as _, Host as _, Proving, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Holds, Kinds, Which};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_testkit::alphanumeric;
use serde_json::json;
use tokio::runtime::Runtime;

use self::process::{Server, memory_mb, rounded};

const WORKLOADS: u16 = 100;
/// The most requests for each workload.
const REQUESTS_MAX: f64 = 12.0;
/// The most time for each workload, besides what is waited for, milliseconds.
const OWN_MS_MAX: f64 = 100.0;
/// The most memory that this process may have had, megabytes.
const PEAK_MB_MAX: f64 = 60.0;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("serve") {
        server::serve(usize::from(WORKLOADS));
        return ExitCode::SUCCESS;
    }
    if Runtime::new().unwrap().block_on(rotated()) {
        return ExitCode::SUCCESS;
    }
    eprintln!("LIMIT NOT MET");
    ExitCode::FAILURE
}

/// Rotates the value. Whether the limits are met.
async fn rotated() -> bool {
    let (old, new) = (alphanumeric(40), alphanumeric(40));
    let mut server = Counted(Server::start(&["serve"], &format!("{old}\n")), 0);
    let clock = Arc::new(SystemClock::new());
    let host = ClusterHost::new(server.0.at(), setup(), FingerprintKey::new(&[7; 32]), clock.clone());
    let fields = |text: &str| Fields::single(SecretBytes::from(text.to_owned()));
    let (old, new) = (fields(&old), fields(&new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let asked = || Asked { intent: 1, until_ms: clock.monotonic_ms() + 600_000 };
    let (before_mb, begun) = (memory_mb("VmRSS:"), Instant::now());

    host.deliver(FileId(0), Which::New, values, asked()).await.expect("the value is delivered");
    let deliver = server.count();
    let (mut apply, mut evidence) = (Vec::new(), Vec::new());
    for consumer in (0..WORKLOADS).map(ConsumerId) {
        let applied = host.apply(consumer, 0, asked(), AllowedChanges::Accepted(&[])).await;
        assert!(matches!(applied.expect("it is rolled out"), Applied::Done(_)), "{consumer:?}");
        apply.push(server.count());
        let of = Proving { consumer, slot: None, which: Which::New, values, watched: false };
        let prepared = host.prepare(of, &Sessions::default()).await.expect("the first half");
        let proofs = host.go(prepared, of, &Sessions::default()).await.evidence.expect("evidence").proofs;
        assert_eq!(proofs.len(), 2, "{consumer:?}");
        let loaded = Kinds::DELIVERED.and(Kinds::LOADED);
        assert!(proofs.iter().all(|proof| proof.paths[0] == loaded), "{consumer:?} {proofs:?}");
        evidence.push(server.count());
    }
    let looked = host.enumerate(values, &Sessions::default(), Which::New).await.expect("a look");
    let enumerate = server.count();
    let own_ms = begun.elapsed().as_secs_f64() * 1e3 / f64::from(WORKLOADS);
    // A look that saw less would cost less.
    assert_eq!(looked.enumeration.instances.len(), 2 * usize::from(WORKLOADS));
    assert_eq!(looked.enumeration.files, [(FileId(0), Holds::New)]);

    let peak_mb = memory_mb("VmHWM:");
    let all = deliver + apply.iter().sum::<u32>() + evidence.iter().sum::<u32>() + enumerate;
    let requests = f64::from(all) / f64::from(WORKLOADS);
    let met = requests <= REQUESTS_MAX && own_ms <= OWN_MS_MAX && peak_mb <= PEAK_MB_MAX;
    let shown = json!({
        "workloads": WORKLOADS, "pods": 2 * WORKLOADS,
        "requests": rounded(requests), "requests_max": REQUESTS_MAX,
        "deliver": deliver, "apply": apply.last(), "evidence": evidence.last(), "first_evidence": evidence.first(),
        "enumerate": enumerate,
        "own_ms": rounded(own_ms), "own_ms_max": OWN_MS_MAX,
        "peak_mb": rounded(peak_mb), "peak_mb_max": PEAK_MB_MAX, "before_mb": rounded(before_mb),
        "peak_to_before": rounded(peak_mb / before_mb), "met": met,
    });
    println!("{shown}");
    met
}

/// One key of one Secret, and all workloads that take it.
fn setup() -> ClusterSetup {
    let source = CopySource::Field("value".to_owned());
    let key = KeySetup {
        secret: server::SECRET.to_owned(),
        key: server::KEY.to_owned(),
        copy: CopySetup::Value { format: Format::Whole, slot: Slot::Whole, source },
        synced: false,
        versioned: None,
        own: None,
    };
    let pods = |at: u16| PodsSetup {
        name: format!("service-{at:03}"),
        kind: WorkloadKind::Deployment,
        workload: format!("service-{at:03}"),
        container: Some("app".to_owned()),
        file: FileId(0),
        rereads: false,
        canary: false,
        trusted: false,
        checks: vec![None],
    };
    ClusterSetup {
        rotation: "r1".to_owned(),
        keys: vec![key],
        consumers: (0..WORKLOADS).map(pods).collect(),
        unit_time_max: Duration::from_secs(600),
        value_format: (b"abc".to_vec(), 100),
    }
}

/// The API server, with how many requests it had answered at the last count.
struct Counted(Server, u32);

impl Counted {
    /// How many requests it answered since the last count.
    fn count(&mut self) -> u32 {
        let all: u32 = self.0.count().parse().unwrap();
        let before = std::mem::replace(&mut self.1, all);
        all - before
    }
}
