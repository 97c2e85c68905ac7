//! The parts of the demo as a program of their own, and a stand-in for the pipeline, for tests.
//!
//! `part demo-part ROLE …` plays a part. `part demo [--json]` runs the demo with this program in keyroll's place:
//! `secret add`, `plan`, `apply`, `resume` and `consumer adopt` then do what the demo needs to continue, directly and
//! without any proof, and print what the demo expects of keyroll.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};

const STOP_FOR_A_HUMAN: u8 = 6;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let verb: Vec<&str> = words.iter().map(String::as_str).take(2).collect();
    match verb.as_slice() {
        ["demo-part", ..] => keyroll_demo::part(words.into_iter().skip(1).collect()),
        ["demo", ..] => {
            let json = words.iter().any(|word| word == "--json");
            keyroll_demo::run(keyroll_demo::Options { json, ..Default::default() })
        }
        ["secret", "add"] => {
            let mut value = String::new();
            let read = std::io::stdin().read_to_string(&mut value);
            if read.is_ok() && value.starts_with("acme_sk_") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        ["plan", _] => say(r#"{"type":"rotation","id":"by-hand","secret":"acme"}"#),
        ["apply", "by-hand"] => apply().map_or(ExitCode::FAILURE, ExitCode::from),
        ["consumer", "adopt"] => adopt(&words).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        ["resume", _] => resume().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        _ => ExitCode::from(2),
    }
}

fn say(event: &str) -> ExitCode {
    println!("{event}");
    ExitCode::SUCCESS
}

fn phase(name: &str) {
    say(&format!(r#"{{"type":"phase","phase":"{name}"}}"#));
}

/// Mints, replaces every copy, restarts everything that is configured, and finds the forgotten worker.
fn apply() -> Option<u8> {
    phase("mint");
    fs::copy("first.id", "old.id").ok()?;
    let dir = std::env::current_dir().ok()?;
    let program = std::env::current_exe().ok()?;
    let minted = Command::new(program).args(["demo-part", "first-key", "--dir"]).arg(dir).status().ok()?;
    fs::remove_file("first.key").ok()?;
    phase("roll");
    for (service, instance) in [("api", "1"), ("api", "2"), ("report", "1"), ("report", "2")] {
        restart(service, instance)?;
    }
    phase("quiesce");
    let pid = fs::read_to_string("forgotten/mailer.pid").ok()?;
    let pid = pid.trim();
    let holder = format!(
        r#"{{"name":"mailer","pid":{pid},"found_by":"its pid file","how_to_move":"keyroll consumer adopt {pid}"}}"#
    );
    say(&format!(r#"{{"type":"blocked","gate":"disable","holder":{holder}}}"#));
    minted.success().then_some(STOP_FOR_A_HUMAN)
}

fn adopt(words: &[String]) -> Option<()> {
    let pid = fs::read_to_string("forgotten/mailer.pid").ok()?;
    let named = words.get(2)? == pid.trim();
    let restart = words.iter().skip_while(|word| *word != "--restart").nth(1)?;
    // One word of a shell: a path in quotes.
    fs::write("adopted", restart.trim_matches('\'')).ok()?;
    named.then_some(())
}

fn resume() -> Option<()> {
    let adopted = fs::read_to_string("adopted").ok()?;
    Command::new(adopted).status().ok()?.success().then_some(())?;
    phase("revoke");
    let old = fs::read_to_string("old.id").ok()?;
    delete(old.trim())?;
    phase("confirm_dead");
    phase("sweep");
    let residues = r#"[{"place":"nowhere","reason":"a stand-in does not search"}]"#;
    say(&format!(r#"{{"type":"summary","outcome":"done","dead_confirmed":true,"residues":{residues}}}"#));
    Some(())
}

fn restart(service: &str, instance: &str) -> Option<()> {
    let status = Command::new(format!("./{service}/restart.sh")).arg(instance).status().ok()?;
    status.success().then_some(())
}

fn delete(id: &str) -> Option<()> {
    let ports: serde_json::Value = serde_json::from_slice(&fs::read("ports.json").ok()?).ok()?;
    let port = u16::try_from(ports.get("base")?.as_u64()?).ok()?;
    let admin = fs::read_to_string("admin.key").ok()?;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "DELETE /v1/keys/{id} HTTP/1.1\r\nauthorization: Bearer {admin}\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    answer.ends_with(b"200").then_some(())
}
