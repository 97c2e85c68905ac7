//! How long `POST /rotate-secret` takes until the issuer gets its first request; beside it the same emergency typed by
//! hand.

use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_testkit::command::Ran;
use zeroize::Zeroizing;

use crate::figure::{Spread, judged, milliseconds, ratio};
use crate::scene::{SECRET, Scene};

/// How often each is measured, in turns.
const TURNS: usize = 20;

/// The endpoint's own time.
const OWN_MAX: Duration = Duration::from_millis(50);

pub fn run(program: &Path) {
    let mut scene = Scene::start(program, 1);
    scene.serve();
    let (mut posted, mut typed) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        posted.push(until_first_request(&scene, post));
        typed.push(until_first_request(&scene, type_in));
    }
    scene.stop();
    let (posted, typed) = (Spread::of(posted), Spread::of(typed));
    println!("a brought key until the issuer's first request, {TURNS} times");
    println!(
        "  POST /rotate-secret: {} (limit {} for the median: {})",
        shown(posted),
        milliseconds(OWN_MAX),
        judged(posted.median, OWN_MAX),
    );
    println!("  keyroll emergency, typed by hand: {}", shown(typed));
    println!("  ratio of the medians: {}", ratio(posted.median, typed.median));
}

fn shown(Spread { min, median, max }: Spread) -> String {
    let [min, median, max] = [min, median, max].map(milliseconds);
    format!("min {min}, median {median}, max {max}")
}

/// Begins an emergency with a new key, and waits for its end.
fn until_first_request(scene: &Scene, emergency: fn(&Scene, &Zeroizing<String>)) -> Duration {
    let (id, value) = scene.issuer.mint("made at the console");
    let first = scene.first_request();
    let begun = Instant::now();
    emergency(scene, &value);
    scene.issuer.disarm();
    scene.idle();
    assert_eq!(scene.key(&scene.names[0]), id, "the worker has the new key");
    let first = first.get().expect("the issuer was asked");
    first.duration_since(begun)
}

fn post(scene: &Scene, value: &Zeroizing<String>) {
    let pieces = [r#"{"secret_name":""#, SECRET, r#"","new_value":""#, value, r#""}"#];
    let mut body = Zeroizing::new(Vec::<u8>::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.iter().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
    let headers = ["X-Admin-Token: ", &scene.token, "\r\nPrefer: wait=90\r\n"];
    let answer = scene.client().send("POST", "/rotate-secret", &headers, &body).unwrap();
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.code == 200 && answer.json()["old_key"] == "dead", "{}: {said}", answer.code);
}

fn type_in(scene: &Scene, value: &Zeroizing<String>) {
    let words = ["emergency", SECRET, "--value-stdin", "--confirm", SECRET];
    Ran::fed(&mut scene.command(&words), value).exits(0).ended("done");
}
