//! From an alert with a stored value to its dead key, with ten consumers; beside it the same calls and restarts without
//! keyroll.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::figure::{Spread, judged, ratio, seconds};
use crate::http::Client;
use crate::scene::{Scene, poll};

/// Workers that use the key.
const CONSUMERS: usize = 10;

/// How often each is measured; the medians are compared.
const ROUNDS: usize = 3;

/// The time beyond the floor.
const OWN_MAX: Duration = Duration::from_millis(1_500);

/// What one alert took.
struct Alerted {
    /// Until its answer.
    answered: Duration,
    /// Until the rotation had ended in the journal, with the old key seen dead.
    dead: Duration,
}

pub fn run(program: &Path) {
    let mut scene = Scene::start(program, CONSUMERS);
    scene.serve();
    let rounds: Vec<Alerted> = (1..=ROUNDS).map(|number| alerted(&scene, number)).collect();
    // The floor changes keys without keyroll.
    scene.stop();
    let floor = Spread::of((1..=ROUNDS).map(|number| floor(&scene, number)));
    let answered = Spread::of(rounds.iter().map(|round| round.answered));
    let dead = Spread::of(rounds.iter().map(|round| round.dead));
    let own = dead.median.saturating_sub(floor.median);
    println!("alert → dead, {CONSUMERS} consumers, medians of {ROUNDS}");
    println!("  alert until its answer: {}", shown(answered));
    println!("  alert until the old key was seen dead: {}", shown(dead));
    println!("  floor, the same calls and restarts without keyroll: {}", shown(floor));
    println!(
        "  keyroll's own time: {} (limit {}: {}); in all {} the floor",
        seconds(own),
        seconds(OWN_MAX),
        judged(own, OWN_MAX),
        ratio(dead.median, floor.median),
    );
}

fn shown(Spread { min, median, max }: Spread) -> String {
    format!("{} ({} to {})", seconds(median), seconds(min), seconds(max))
}

/// One alert with the value that the workers have.
fn alerted(scene: &Scene, number: usize) -> Alerted {
    let old = scene.key(&scene.names[0]);
    let mut client = scene.client();
    let before = scene.newest(&mut client);
    let body = alert(scene, number);
    let begun = Instant::now();
    let headers = ["Authorization: Bearer ", &scene.alert_token, "\r\n"];
    let answer = client.send("POST", "/alerts/generic", &headers, &body).unwrap();
    let answered = begun.elapsed();
    // Before keyroll searches this process.
    drop(body);
    let taken = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.code == 202 && answer.json()["incidents"][0]["state"] == "acts", "{taken}");
    let id =
        poll("the rotation begins", || scene.newest(&mut client).filter(|id| before.as_ref() != Some(id)));
    let path = format!("/v1/rotations/{id}");
    let row = poll("the rotation ends", || {
        Some(scene.read(&mut client, &path)).filter(|row| row["state"] == "ended")
    });
    let dead = begun.elapsed();
    assert!(row["status"]["outcome"] == "done" && row["status"]["old_key"]["state"] == "ended", "{row}");
    scene.idle();
    all_moved(scene, &old);
    Alerted { answered, dead }
}

/// The alert; written in pieces into a buffer that does not grow, so that no copy of the value is left behind.
fn alert(scene: &Scene, number: usize) -> Zeroizing<Vec<u8>> {
    let value = scene.value(&scene.names[0]);
    let id = number.to_string();
    let pieces = [r#"{"type":"key","value":""#, &value, r#"","id":""#, &id, r#""}"#];
    let mut body = Zeroizing::new(Vec::<u8>::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.iter().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
    body
}

/// Every worker has the same key, which is another one, and the old one was deleted.
fn all_moved(scene: &Scene, old: &str) {
    let keys: Vec<String> = scene.names.iter().map(|name| scene.key(name)).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key != old), "{keys:?}, and {old} was the old one");
    assert!(scene.issuer.deletions().iter().any(|key| key == old), "{old} is alive");
}

/// What no tool can do without: a new key that is accepted, a canary, all others at once, the end of the old key, and
/// the look that it is refused.
fn floor(scene: &Scene, number: usize) -> Duration {
    let (canary, others) = scene.names.split_first().unwrap();
    let (old, old_value) = (scene.key(canary), scene.value(canary));
    let begun = Instant::now();
    let mut client = Client::to(scene.issuer.port()).unwrap();
    let admin = ["Authorization: Bearer ", &scene.admin, "\r\n"];
    let label = format!(r#"{{"name":"floor {number}"}}"#);
    let minted = client.send("POST", "/v1/keys", &admin, label.as_bytes()).unwrap();
    assert_eq!(minted.code, 201, "a new key");
    let value = Zeroizing::new(minted.json()["key"].as_str().unwrap().to_owned());
    assert_eq!(presented(&mut client, &value), 200, "the new key is accepted");
    moved(scene, canary, &value);
    let new = value.as_str();
    thread::scope(|threads| {
        for name in others {
            threads.spawn(move || moved(scene, name, new));
        }
    });
    let deleted = client.send("DELETE", &format!("/v1/keys/{old}"), &admin, b"").unwrap();
    assert_eq!(deleted.code, 200, "the old key is ended");
    assert_eq!(presented(&mut client, &old_value), 401, "the old key is dead");
    assert_eq!(presented(&mut client, &value), 200, "the new key works");
    let took = begun.elapsed();
    all_moved(scene, &old);
    took
}

/// The status with which the issuer answers who presents this value.
fn presented(client: &mut Client, value: &str) -> u16 {
    client.send("GET", "/v1/me", &["Authorization: Bearer ", value, "\r\n"], b"").unwrap().code
}

fn moved(scene: &Scene, name: &str, value: &str) {
    scene.give(name, value);
    scene.restart(name);
    scene.check(name);
}
