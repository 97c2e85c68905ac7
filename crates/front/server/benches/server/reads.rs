//! What a read costs at 1,000 requests per second; beside it the same load on `/health`, which reads nothing.
//!
//! The load is open: each request has its time, whatever became of the ones before, and its latency counts from there.
//! So a server that stops for a moment is not asked less often in that moment.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::ended::Ended;
use crate::figure::{judged, milliseconds, percentile, ratio};
use crate::http::Client;
use crate::scene::Scene;

/// The ended rotations in the journal.
const ROTATIONS: u64 = 20;

/// From one request to the next.
const INTERVAL: Duration = Duration::from_millis(1);

/// All requests: ten seconds.
const REQUESTS: u32 = 10_000;

/// Connections that take turns.
const CONNECTIONS: u32 = 4;

/// Until the first request, so that every connection is there.
const READY: Duration = Duration::from_millis(50);

/// After that nothing more is sent; what was not sent counts with the time until then.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The latency of 99 of 100 reads.
const P99_MAX: Duration = Duration::from_millis(20);

/// One request: the number of its page, its latency, and whether it was sent.
type Request = (usize, Duration, bool);

pub fn run(program: &Path) {
    let mut scene = Scene::start(program, 1);
    Ended::of(&scene).write(&(1..ROTATIONS), 1);
    scene.serve();
    let newest = scene.newest(&mut scene.client()).unwrap();
    let pages = ["/v1/rotations".to_owned(), "/secret-status".to_owned(), format!("/v1/rotations/{newest}")];
    let reads = load(&scene, &pages);
    let health = load(&scene, &["/health".to_owned()]);
    scene.stop();
    println!(
        "reads at {} per second, {CONNECTIONS} connections, {REQUESTS} requests, {ROTATIONS} ended rotations",
        1.0 / INTERVAL.as_secs_f64(),
    );
    let p99 = show("all reads", reads.iter());
    for (number, page) in ["/v1/rotations", "/secret-status", "/v1/rotations/{id}"].iter().enumerate() {
        show(page, reads.iter().filter(|(of, ..)| *of == number));
    }
    let floor = show("floor, /health", health.iter());
    println!(
        "  p99 of all reads: {} (limit {}: {}), {} the floor",
        milliseconds(p99),
        milliseconds(P99_MAX),
        judged(p99, P99_MAX),
        ratio(p99, floor),
    );
}

/// Prints the latencies; returns that of 99 of 100.
fn show<'r>(what: &str, requests: impl Iterator<Item = &'r Request>) -> Duration {
    let (mut sorted, mut unsent) = (Vec::new(), 0);
    for (_, latency, sent) in requests {
        sorted.push(*latency);
        unsent += usize::from(!sent);
    }
    sorted.sort_unstable();
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&sorted, percent));
    let [fifty, most, all] = [p50, p99, max].map(milliseconds);
    let late = if unsent > 0 { format!("; {unsent} were not sent in time") } else { String::new() };
    println!("  {what}: p50 {fifty}, p99 {most}, max {all}{late}");
    p99
}

/// Reads the pages in turns; every answer must be 200.
fn load(scene: &Scene, pages: &[String]) -> Vec<Request> {
    // The first read of a page may open something.
    let mut client = scene.client();
    for page in pages {
        assert_eq!(get(scene, &mut client, page), 200, "{page}");
    }
    let begun = Instant::now() + READY;
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|first| scope.spawn(move || connection(scene, pages, first, begun)))
            .collect();
        connections.into_iter().flat_map(|one| one.join().unwrap()).collect()
    })
}

/// The requests of one connection.
fn connection(scene: &Scene, pages: &[String], first: u32, begun: Instant) -> Vec<Request> {
    let mut client = scene.client();
    let step = usize::try_from(CONNECTIONS).unwrap();
    let requests = (first..REQUESTS).step_by(step).map(|number| {
        let page = usize::try_from(number).unwrap() % pages.len();
        let due = begun + INTERVAL * number;
        if begun.elapsed() > TIME_MAX {
            return (page, due.elapsed(), false);
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        assert_eq!(get(scene, &mut client, &pages[page]), 200, "{}", pages[page]);
        (page, due.elapsed(), true)
    });
    requests.collect()
}

fn get(scene: &Scene, client: &mut Client, page: &str) -> u16 {
    client.send("GET", page, &["X-Admin-Token: ", &scene.token, "\r\n"], b"").unwrap().code
}
