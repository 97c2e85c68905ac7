//! What the server costs, measured with the real program: `cargo bench -p keyroll-server -- alert|endpoint|reads|values|
//! months [N]…`; without a word, all of them.
//!
//! Each measurement starts `keyroll serve` on loopback with a state folder of its own, an issuer in this process that
//! answers at once, and workers with real restarts. Each figure stands beside its floor of the same run and its limit.
//! A figure above its limit does not fail the run, because another machine has other figures; a scene that goes wrong
//! does. `KEYROLL_BENCH_PROGRAM` names another program; otherwise it is built first.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

#[path = "server/alert.rs"]
mod alert;
#[path = "server/ended.rs"]
mod ended;
#[path = "server/endpoint.rs"]
mod endpoint;
#[path = "server/figure.rs"]
mod figure;
#[path = "server/http.rs"]
mod http;
#[path = "server/months.rs"]
mod months;
#[path = "server/reads.rs"]
mod reads;
#[path = "server/scene.rs"]
mod scene;
#[path = "server/values.rs"]
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use zeroize::Zeroizing;

use http::Client;

/// How many ended rotations a journal has, where no argument says it.
const ENDED: [u64; 3] = [1_000, 10_000, 100_000];

fn main() -> ExitCode {
    // Cargo adds a word of its own.
    let given: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check", port, copy] => return check(port.parse().unwrap(), Path::new(copy)),
        [] => {
            let program = program();
            alert::run(&program);
            endpoint::run(&program);
            reads::run(&program);
            values::run(&program);
            months::run(&program, &ENDED);
        }
        ["alert"] => alert::run(&program()),
        ["endpoint"] => endpoint::run(&program()),
        ["reads"] => reads::run(&program()),
        ["values"] => values::run(&program()),
        ["waiter", socket] => values::waiter(Path::new(socket)),
        ["months"] => months::run(&program(), &ENDED),
        ["months", sizes @ ..] => {
            let sizes: Vec<u64> = sizes.iter().map(|size| size.replace('_', "").parse().unwrap()).collect();
            months::run(&program(), &sizes);
        }
        [..] => {
            eprintln!(
                "usage: cargo bench -p keyroll-server -- [alert | endpoint | reads | values | months [N]…]"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A consumer's check: the issuer accepts what the copy holds.
fn check(port: u16, copy: &Path) -> ExitCode {
    let text = Zeroizing::new(fs::read_to_string(copy).unwrap());
    let value = text.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap();
    let answer = Client::to(port)
        .and_then(|mut client| client.send("GET", "/v1/me", &["Authorization: Bearer ", value, "\r\n"], b""));
    ExitCode::from(u8::from(answer.unwrap().code != 200))
}

/// The program that is measured.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("KEYROLL_BENCH_PROGRAM") {
        return PathBuf::from(named).canonicalize().unwrap();
    }
    // This program is TARGET/release/deps/server-….
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "keyroll", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.unwrap().success(), "keyroll could not be built");
    target.join("release/keyroll").canonicalize().unwrap()
}
