//! Callers that are up to no good, and a state folder that cannot be written.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::Ask;

use super::served::Served;

/// Guessed tokens.
const GUESSES: usize = 2_000;
/// Connections that say nothing, or never read: more than the server keeps.
const SLOW: usize = 600;
/// What the server's memory may grow by, KiB.
const GROWTH_KIB_MAX: u64 = 24 * 1_024;

/// Guesses, slow clients, deep JSON and huge headers: refused, others are served, and memory stays flat.
#[test]
fn callers_who_guess_and_stall_hold_up_nobody() {
    let served = Served::start(1, "");
    let address = ("127.0.0.1", served.port());
    assert_eq!(served.curl("/secret-status", &["-H", "@ada.header"], b"").code, 200);
    let before = served.resident_kib();
    let slow: Vec<TcpStream> = (0..SLOW)
        .map(|at| {
            let mut stream = TcpStream::connect(address).unwrap();
            // Half of a request line, half of a header, or half of a body.
            let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
            let begun =
                ["POST /rotate", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ", health.as_str()][at % 3];
            // The server closes the oldest of them.
            let _ = stream.write_all(begun.as_bytes());
            stream
        })
        .collect();
    let codes = thread::scope(|scope| {
        let guess = || {
            let mut codes = std::collections::BTreeMap::<u16, usize>::new();
            for at in 0..GUESSES / 4 {
                let request = format!(
                    "GET /secret-status HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {at:064}\r\n\r\n"
                );
                // Who is not let in does not keep the connection, and may lose it to a later one.
                let mut stream = TcpStream::connect(address).unwrap();
                let code = ask(&mut stream, request.as_bytes()).unwrap_or_default();
                *codes.entry(code).or_default() += 1;
            }
            codes
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(guess)).collect();
        // Meanwhile one with the token is answered.
        assert_eq!(served.curl("/secret-status", &["-H", "@ada.header"], b"").code, 200);
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let count = |code| codes.iter().filter_map(|all| all.get(&code)).sum::<usize>();
    assert_eq!(count(401), 20, "{codes:?}");
    assert_eq!(count(401) + count(429) + count(0), GUESSES, "{codes:?}");
    assert!(count(429) > GUESSES / 2, "{codes:?}");
    let deep = format!("{{\"secret_name\":{}", "[".repeat(60_000));
    assert_eq!(served.post(deep.as_bytes(), &[]).code, 400);
    let huge = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n", "x".repeat(64 * 1_024));
    let mut stream = TcpStream::connect(address).unwrap();
    // Nothing, or that it is too large: the connection may be closed while it is still being written.
    assert!(ask(&mut stream, huge.as_bytes()).is_none_or(|code| code == 431), "huge headers");
    assert_eq!(served.curl("/secret-status", &["-H", "@ada.header"], b"").code, 200);
    let audit = served.scene.run(&["audit", "--all"]);
    let refused = audit.exits(0).of("act").into_iter().filter(|act| act["by"] == "unknown").count();
    assert!((1..=6).contains(&refused), "{refused} of the refused requests are in the journal");
    let grown = served.resident_kib().saturating_sub(before);
    println!("the server grew by {grown} KiB");
    assert!(grown < GROWTH_KIB_MAX, "the server grew by {grown} KiB");
    drop(slow);
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> Option<u16> {
    stream.write_all(request).ok()?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
            if body.len() >= length {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
    }
}

/// The journal cannot be written: nothing is begun, and the issuer hears nothing.
#[test]
fn a_state_folder_that_cannot_be_written_begins_nothing() {
    let served = Served::start(1, "");
    let (_, value) = served.scene.issuer.mint("made at the console");
    let asked = served.scene.issuer.asked(Ask::Me);
    let state = served.scene.state();
    let away = state.with_extension("away");
    fs::rename(&state, &away).unwrap();
    fs::write(&state, "").unwrap();
    let answer = served.rotate("ring", &value, &[]);
    assert_eq!(answer.code, 503, "{answer:?}");
    assert!(answer.text("detail").contains("nothing was begun"), "{answer:?}");
    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    // What is begun cannot be written down.
    fs::create_dir(state.join("serving.json")).unwrap();
    let answer = served.rotate("ring", &value, &[]);
    assert_eq!(answer.code, 503, "{answer:?}");
    assert!(answer.text("detail").contains("nothing was begun"), "{answer:?}");
    fs::remove_dir(state.join("serving.json")).unwrap();
    assert_eq!(served.scene.issuer.asked(Ask::Me), asked, "the issuer hears nothing");
    wait("it works again", || served.rotate("ring", &value, &[]).code == 200);
}
