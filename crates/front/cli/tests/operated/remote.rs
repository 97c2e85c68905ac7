//! `keyroll --server URL --token-file FILE` from a folder that has no installation: the same commands, the same exit
//! codes, and no token for anybody but the server.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use keyroll_testkit::TempDir;
use keyroll_testkit::command::{Ran, Running};
use keyroll_testkit::issuer::Ask;
use rustix::process::Signal;
use serde_json::json;

use super::UNDER_WAY;
use super::team::{Team, refused};
use crate::emergency::served::runs;
use crate::hostile::scene::files;

/// A watch that ends too early has ended by now.
const WATCHES: Duration = Duration::from_millis(1_500);

/// Another machine, as far as a folder can be one.
struct Away {
    home: TempDir,
    tokens: PathBuf,
    server: String,
}

impl Away {
    fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words).current_dir(self.home.path());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn command(&self, who: &str, words: &[&str]) -> Command {
        let token = self.tokens.join(format!("{who}.token"));
        let way = ["--server", self.server.as_str(), "--token-file", token.to_str().unwrap()];
        self.bare(&[&way, words].concat())
    }

    fn run(&self, who: &str, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(who, words))
    }

    fn start(&self, who: &str, words: &[&str]) -> Running {
        Running::start(self.command(who, words))
    }

    /// Asks the server of the team with the team's tokens.
    fn of(team: &Team) -> Self {
        let (tokens, server) = (team.served.scene.dir(), team.served.url(""));
        Self { home: TempDir::new().unwrap(), tokens, server }
    }

    #[track_caller]
    fn plan(&self) -> String {
        let ran = self.run("otto", &["plan", "ring", "--json"]);
        ran.exits(0);
        ran.plan()
    }
}

fn number(running: &Running) -> u32 {
    u32::try_from(running.pid().as_raw_nonzero().get()).unwrap()
}

/// Refused, with another number than success and these words.
#[track_caller]
fn fails(ran: &Ran, words: &[&str]) {
    assert!(matches!(ran.code, Some(1 | 2)), "{:?}: {}", ran.code, ran.text);
    ran.says(words);
}

#[test]
fn a_rotation_is_operated_from_another_machine() {
    let mut team = Team::start(1, |_| {});
    let away = Away::of(&team);
    let scene = &team.served.scene;
    // Reading.
    for words in [&["status"][..], &["history"], &["due"], &["incident", "list"]] {
        away.run("vic", words).exits(0);
    }
    let secrets = away.run("vic", &["secret", "list", "--json"]);
    assert_eq!(secrets.exits(0).of("secret")[0]["name"], "ring", "{}", secrets.text);
    away.run("vic", &["secret", "list"]).exits(0).says(&["ring"]);
    // By the settings alone; what needs no server asks none.
    let mut by_settings = away.bare(&["secret", "list"]);
    by_settings.env("KEYROLL_SERVER", &away.server).env("KEYROLL_TOKEN_FILE", away.tokens.join("vic.token"));
    Ran::run(&mut by_settings).exits(0).says(&["ring"]);
    Ran::run(away.bare(&["explain", "K0838"]).env("KEYROLL_SERVER", "http://127.0.0.1:9")).exits(0);
    fails(&away.run("vic", &["plan", "ring"]), &["vic", "operator"]);
    // A rotation, paused and gone on with.
    let id = away.plan();
    team.hold();
    let apply = away.start("otto", &["apply", &id]);
    team.is_restarting();
    let watch = away.start("vic", &["status", "-w", &id]);
    thread::sleep(WATCHES);
    assert!(runs(number(&apply)) && runs(number(&watch)), "they watch what is driven");
    team.served.not_shown_by(&[number(&apply), number(&watch)], &[&team.token("otto"), &team.token("vic")]);
    let pause = away.start("otto", &["pause", &id]);
    thread::sleep(UNDER_WAY);
    team.go();
    for ran in [pause.end(), apply.end(), watch.end()] {
        ran.exits(4);
    }
    away.run("otto", &["resume", &id]).exits(6).says(&["consent"]);
    let with = format!("run these commands with: --server {} --token-file ", away.server);
    away.run("vic", &["status"]).exits(6).says(&["ROTATION", &id, "consent", &with]);
    let mut by_settings = away.bare(&["status"]);
    by_settings.env("KEYROLL_SERVER", &away.server).env("KEYROLL_TOKEN_FILE", away.tokens.join("vic.token"));
    assert!(!Ran::run(&mut by_settings).exits(6).text.contains("run these commands with"));
    away.run("vic", &["status", &id, "--json"]).exits(6).says(&["consent"]);
    away.run("vic", &["status", "-w"]).exits(6);
    // It is not stuck, so there is nothing to retry.
    fails(&away.run("vic", &["retry", &id]), &["vic", "operator"]);
    away.run("otto", &["retry", &id, "--accept", "x"]).exits(2).says(&["--accept"]);
    let retried = away.run("otto", &["retry", &id]);
    assert!(matches!(retried.code, Some(1 | 6 | 7)), "{:?}: {}", retried.code, retried.text);
    team.waits_for_consent(&id);
    // Consent.
    let at_once = away.run("otto", &["apply", &id, "--confirm", "ring"]);
    at_once.exits(2).says(&["approv"]);
    fails(&away.run("otto", &["resume", &id, "--confirm", "ring"]), &["otto", "approver"]);
    fails(&away.run("ann", &["resume", &id, "--confirm", "rung"]), &[]);
    assert_eq!(scene.issuer.deletions(), Vec::<String>::new(), "nobody consented");
    away.run("ann", &["resume", &id, "--confirm", "ring"]).exits(0);
    team.ended(&id, "done");
    scene.rotated();
    away.run("otto", &["verify", "ring"]).exits(0);
    fails(&away.run("vic", &["verify", "ring"]), &["vic", "operator"]);
    // And back.
    let id = away.plan();
    away.run("otto", &["apply", &id]).exits(6);
    away.run("otto", &["abort", &id]).exits(5);
    team.ended(&id, "rolled_back");
    scene.rotated();
    assert_eq!(away.run("otto", &["apply", "nobody"]).code, Some(1), "no such plan");
    away.run("otto", &["apply", &id]).exits(7).says(&["rolled back"]);
    not_on_this_way(&away);
    not_for_others(&away);
    by_curl(&team);
    let home: Vec<PathBuf> = files(away.home.path());
    assert!(home.iter().all(|path| path.ends_with("open.token")), "no installation is made here: {home:?}");
    team.nothing_leaked();
    team.served.end(Signal::TERM);
    fails(&away.run("vic", &["status"]), &["keyroll serve"]);
}

/// The plan of the server shows what the local one shows, so that nobody accepts what he did not read.
#[test]
fn a_plan_says_what_a_restart_would_make_live() {
    const CHANGE: &str = "api/restart:restart.sh";
    let team = Team::start(1, |_| {});
    let away = Away::of(&team);
    team.served.scene.sh("echo '# by somebody' >> restart.sh");
    let plan = away.run("otto", &["plan", "ring"]);
    plan.exits(0).says(&["pending change: ", &format!("name: {CHANGE}"), &format!("--accept {CHANGE}")]);
    let plan = away.run("otto", &["plan", "ring", "--json"]);
    let noted = |note: &&serde_json::Value| note["text"].as_str().is_some_and(|text| text.contains(CHANGE));
    assert!(plan.exits(0).of("note").iter().any(noted), "{}", plan.text);
    let id = plan.plan();
    let refused = away.run("otto", &["apply", &id]);
    assert!(!matches!(refused.code, Some(0 | 4)), "{}", refused.text);
    refused.says(&["K0851", "restart.sh"]);
    away.run("otto", &["apply", &id, "--accept", CHANGE]).exits(6).says(&["consent"]);
    away.run("ann", &["resume", &id, "--confirm", "ring"]).exits(0);
    team.ended(&id, "done");
    team.nothing_leaked();
}

/// A plan that waits for its turn is withdrawn by `pause`, and that is no error.
#[test]
fn a_plan_that_waits_is_withdrawn() {
    let team = Team::beside(1);
    let away = Away::of(&team);
    let side = team.plan("side");
    let id = team.held();
    let body = json!({ "plan": side }).to_string();
    let queued = team.within(1, "otto", "POST", "/v1/rotations", &body);
    assert_eq!((queued.code, queued.text("state")), (202, "queued"), "{queued:?}");
    away.run("otto", &["pause", &side]).exits(0).says(&["withdrawn", "nothing was changed"]);
    assert_eq!(team.rotation(&side)["state"], "refused");
    // The answer of the server is the cause, and not that it was asked.
    fails(&away.run("otto", &["abort", &side]), &["could not abort the rotation at the server"]);
    team.go();
    team.waits_for_consent(&id);
    team.act("otto", &id, "abort");
    team.ended(&id, "rolled_back");
    team.nothing_leaked();
}

/// What works on the server's machine only.
fn not_on_this_way(away: &Away) {
    for words in [
        &["secret", "add", "x", "--id", "key-1"][..],
        &["init"],
        &["serve"],
        &["token", "list"],
        &["consumer", "waive", "api", "--reason", "no"],
        &["due", "--apply"],
    ] {
        let ran = away.run("ada", words);
        assert_eq!(ran.code, Some(2), "{words:?}: {}", ran.text);
    }
    away.run("ada", &["init"]).says(&["machine"]);
    for words in [&["--config", "/etc/hostname", "status"][..], &["status", "--state", "/tmp"]] {
        fails(&away.run("ada", words), &[]);
    }
}

/// A token is sent to a server on loopback alone, and only one that nobody else can read.
fn not_for_others(away: &Away) {
    // This address leads to this machine, and is not loopback.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = away.tokens.join("vic.token");
    let with = |server: &str, token: &str| {
        Ran::run(&mut away.bare(&["--server", server, "--token-file", token, "status"]))
    };
    let token = token.to_str().unwrap();
    fails(&with(&format!("http://0.0.0.0:{port}"), token), &["ssh -L", &format!("http://0.0.0.0:{port}")]);
    for server in [
        "http://192.0.2.1:9090",
        "http://127.0.0.1.example.org:9090",
        &format!("http://127.0.0.1:9@0.0.0.0:{port}"),
        &format!("https://127.0.0.1:{port}"),
        &format!("127.0.0.1:{port}"),
    ] {
        fails(&with(server, token), &[]);
    }
    // A wrong token, one that others can read, none.
    let open = away.home.path().join("open.token");
    fs::copy(token, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let here = format!("http://127.0.0.1:{port}");
    fails(&with(&here, open.to_str().unwrap()), &["chmod 600"]);
    fails(&with(&here, "none.token"), &["none.token", "--token-file FILE"]);
    fails(&Ran::run(&mut away.bare(&["--server", &here, "status"])), &["--token-file"]);
    assert_eq!(listener.accept().map(drop).unwrap_err().kind(), ErrorKind::WouldBlock, "nobody was called");
    // A key of the issuer is no token.
    let wrong = with(&away.server, away.tokens.join("admin.key").to_str().unwrap());
    fails(&wrong, &["does not know the token in ", "admin.key"]);
}

/// The server itself decides which commands it runs, whoever sends them.
fn by_curl(team: &Team) {
    let scene = &team.served.scene;
    let (before, asked) = (scene.snapshot(), scene.issuer.asked(Ask::Mint));
    let send = |who: &str, words: &[&str]| {
        let body = json!({"words": words, "json": false}).to_string();
        team.ask(who, "POST", "/v1/commands", &body)
    };
    let (long, many) = ("x".repeat(300), ["status"; 17]);
    for words in [
        &[][..],
        &["secret", "add", "x", "--id", "key-1"],
        &["init"],
        &["init", "--yes"],
        &["--config", "/etc/passwd", "status"],
        &["status", "--config=/etc/passwd"],
        &["--state=/tmp", "status"],
        &["status", "--keys", "/tmp"],
        &["--sealing-key", "file:/etc/passwd", "status"],
        &["--server", "http://127.0.0.1:9", "status"],
        &["status", "--token-file", "/etc/passwd"],
        &["status", "--watch"],
        &["status", "-w"],
        &["scan", "/etc"],
        &["leaks", "/etc/passwd"],
        &["why", "KEY", "--in", "/etc"],
        &["graph", "--in", "/etc"],
        &["incident", "open", "ring", "--value-file", "/etc/passwd"],
        &["incident", "contain", "x", "--roll-first"],
        &["redact", "/etc/passwd"],
        &["run", "--", "id"],
        &["apply", "x", "--confirm", "ring"],
        &["resume", "--confirm", "ring"],
        &["emergency", "ring"],
        &["revoke", "ring", "--version", "previous"],
        &["due", "--apply"],
        &["token", "new", "eve", "--out", "eve.token"],
        &["consumer", "waive", "api", "--reason", "no"],
        &["doctor", "--accept-journal"],
        &["fingerprints", "--out", "prints"],
        &["demo"],
        &["serve"],
        &["nonsense"],
        &["status", "line\nbreak"],
        &["status", "\u{1b}[31m"],
        &["status", long.as_str()],
        &many,
    ] {
        println!("{:?}", words.iter().map(|word| word.get(..20).unwrap_or(word)).collect::<Vec<_>>());
        let answer = send("ada", words);
        refused(&answer, &[400, 403, 422]);
    }
    for body in [r#"{"words":"status"}"#, r#"{"words":["status"],"stdin":"x"}"#, "{", "[]"] {
        refused(&team.ask("ada", "POST", "/v1/commands", body), &[400]);
    }
    refused(&send("vic", &["verify", "ring"]), &[403]);
    for words in [&["status"][..], &["history"], &["secret", "show", "ring"], &["runbook", "ring"]] {
        let answer = send("vic", words);
        assert_eq!((answer.code, &answer.body["exit"]), (200, &json!(0)), "{answer:?}");
        let said = [answer.text("out"), answer.text("err")].concat();
        assert!(!said.is_empty() && !said.contains('\u{1b}'), "{answer:?}");
    }
    // A file of the server's folder is no name: it is answered like one that nothing has.
    let said = |what: &str| {
        let answer = send("otto", &["why", what]);
        assert_eq!((answer.code, &answer.body["exit"]), (200, &json!(1)), "{answer:?}");
        let error = answer.text("err").lines().find(|line| line.starts_with("error[")).map(str::to_owned);
        error.unwrap_or_else(|| panic!("{answer:?}"))
    };
    let nothing = said("no-such-name");
    for file in ["admin.key", "admin-token", "keyroll.toml"] {
        assert_eq!(said(file), nothing, "{file}");
    }
    assert_eq!(scene.issuer.asked(Ask::Mint), asked, "nothing was begun");
    assert_eq!(scene.snapshot(), before);
}
