//! Evidence in two halves: what is kept between them, and what the issuer's sessions on both sides show.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;

use keyroll_host::{CheckSetup, Local, SlotSetup};
use keyroll_manager::Check;
use keyroll_port::{Class, Evidence, Failure, Host as _, Prepared, Proving, Sessions};
use keyroll_rotation::{FileId, Kinds, Which};

use crate::evidence::{Place, Shown, kinds};
use crate::followers::session_of;
use crate::step;

/// A consumer that was given the new value: this test itself.
async fn moved(place: &Place, checks: Vec<Option<CheckSetup>>) -> Local {
    let slot = SlotSetup { checks, ..place.rereads(None, None) };
    let host = place.host(vec![place.env("app.env", "value", &place.old)], slot);
    host.deliver(FileId(0), Which::New, place.values(), step(1)).await.unwrap();
    host
}

async fn begun(host: &Local, of: Proving<'_>) -> Prepared {
    host.prepare(of, &Sessions::default()).await.unwrap()
}

async fn ended(host: &Local, half: Prepared, of: Proving<'_>) -> Result<Evidence, Failure> {
    host.go(half, of, &Sessions::default()).await.evidence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_was_replaced_is_asked_again() {
    let place = Place::new();
    let host = moved(&place, vec![None]).await;
    let of = place.asks(Which::New);
    let (first, second) = (begun(&host, of).await, begun(&host, of).await);
    assert_eq!(ended(&host, first, of).await.unwrap_err().class, Class::Retryable);
    // The one in its place is not lost by that.
    let evidence = ended(&host, second, of).await.unwrap();
    assert!(evidence.proofs[0].paths[0].has(Kinds::DELIVERED), "{:?}", evidence.proofs);
    // It is given out once.
    assert_eq!(ended(&host, second, of).await.unwrap_err().class, Class::Retryable);
    let again = begun(&host, of).await;
    assert!(ended(&host, again, of).await.unwrap().proofs[0].paths[0].has(Kinds::DELIVERED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_the_host_does_not_have_is_asked_again_and_is_no_proof() {
    let place = Place::new();
    let host = moved(&place, vec![None]).await;
    let of = place.asks(Which::New);
    // A host that was started anew knows nothing of what was begun before.
    let half = begun(&host, of).await;
    let later = moved(&place, vec![None]).await;
    assert_eq!(ended(&later, half, of).await.unwrap_err().class, Class::Retryable);
    begun(&later, of).await;
    assert_eq!(ended(&later, half, of).await.unwrap_err().class, Class::Retryable);
    // Another number, another version, other slots.
    let other = Prepared { number: half.number.wrapping_add(1), ..half };
    assert_eq!(ended(&host, other, of).await.unwrap_err().class, Class::Retryable);
    for other in [Proving { which: Which::Old, ..of }, Proving { slot: Some(0), ..of }] {
        assert_eq!(ended(&host, half, other).await.unwrap_err().class, Class::Retryable);
    }
    assert!(ended(&host, half, of).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_from_before_a_change_is_no_proof_after_it() {
    let place = Place::new();
    let host = moved(&place, vec![None]).await;
    let of = place.asks(Which::New);
    let half = begun(&host, of).await;
    host.deliver(FileId(0), Which::Old, place.values(), step(2)).await.unwrap();
    assert_eq!(ended(&host, half, of).await.unwrap_err().class, Class::Retryable);
    let seen = kinds(&host, Which::New, &place, &Shown(Mutex::default())).await;
    assert!(!seen.has(Kinds::DELIVERED), "{seen:?}");
}

/// Answers this many requests.
fn answers(count: usize) -> (CheckSetup, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/check", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line.is_empty()), "a request has an end");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    (CheckSetup::Http(Check::Http { url, contains: None }), served)
}

/// The paths of the only process, where it had made so many calls before the first half, and so many before the second.
async fn paths(host: &Local, place: &Place, (before, after): (u64, u64)) -> [Kinds; 2] {
    let (of, shows) = (place.asks(Which::New), |calls| session_of(std::process::id(), calls));
    let half = host.prepare(of, &shows(before)).await.unwrap();
    assert!(half.reads_again);
    let proofs = host.go(half, of, &shows(after)).await.evidence.unwrap().proofs;
    [proofs[0].paths[0], proofs[0].paths[1]]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_after_the_request_to_one_path_is_no_evidence_of_another() {
    let place = Place::new();
    let ((first, served), (second, also_served)) = (answers(1), answers(2));
    let host = moved(&place, vec![Some(first), Some(second)]).await;
    let [main, other] = paths(&host, &place, (1, 2)).await;
    assert!(main.has(Kinds::EXERCISED.and(Kinds::REPORTED)), "{main:?}");
    assert!(!other.has(Kinds::EXERCISED) && !other.has(Kinds::REPORTED), "{other:?}");
    // It is asked in its turn, and nothing is seen of it.
    let [_, other] = paths(&host, &place, (2, 2)).await;
    assert!(other.has(Kinds::REPORTED) && !other.has(Kinds::EXERCISED), "{other:?}");
    let [_, other] = paths(&host, &place, (2, 3)).await;
    assert!(other.has(Kinds::EXERCISED.and(Kinds::REPORTED)), "{other:?}");
    served.join().unwrap();
    also_served.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_read_again_only_if_they_can_show_more() {
    let place = Place::new();
    let host = moved(&place, vec![None]).await;
    let of = place.asks(Which::New);
    assert!(!begun(&host, of).await.reads_again, "the issuer shows none");
    let sessions = session_of(std::process::id(), 1);
    let half = host.prepare(of, &sessions).await.unwrap();
    assert!(half.reads_again, "nobody saw this process before they were read");
    assert!(host.go(half, of, &sessions).await.evidence.is_ok());
    assert!(!host.prepare(of, &sessions).await.unwrap().reads_again, "nothing was asked");
}
