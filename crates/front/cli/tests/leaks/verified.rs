//! `leaks --verify`: issuers are asked whether found values work, and no other host gets the values.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use keyroll_testkit::issuer::{Ask, Described, Issuer, ResponseFault};
use keyroll_testkit::{alphanumeric, free_port};
use serde_json::Value;

use crate::kept::{err, kept, out, run, value};
use crate::leaks::git;

const OPENROUTER: &str = include_str!("../../../../../issuers/openrouter.toml");
const STRIPE: &str = include_str!("../../../../../issuers/stripe-secret.toml");
const GITLAB: &str = include_str!("../../../../../issuers/gitlab.toml");
const GRAFANA: &str = include_str!("../../../../../issuers/grafana.toml");

/// A shipped spec, pointed at a port of the loopback address.
fn pointed(folder: &Path, name: &str, text: &str, port: u16) -> String {
    let file = format!("{name}.toml");
    fs::write(folder.join(&file), Described::pointed_at(text, port, "1s")).unwrap();
    file
}

/// A token that nobody was given.
fn token(beginning: &str, length: usize) -> String {
    format!("{beginning}{}", alphanumeric(length))
}

/// Every finding of a run, by where it stands.
fn findings(folder: &Path, arguments: &[&str]) -> (Vec<Value>, Value) {
    let ran = run(folder, &[&["leaks", "--format", "json", "tree"], arguments].concat(), b"");
    let document: Value = serde_json::from_str(&out(&ran)).unwrap_or_else(|_| panic!("{}", err(&ran)));
    (document["findings"].as_array().unwrap().clone(), document["summary"].clone())
}

/// The result for the finding in a file.
fn of<'f>(findings: &'f [Value], file: &str) -> &'f Value {
    let path = format!("tree/{file}");
    let one = findings.iter().find(|one| one["place"]["path"] == path.as_str());
    &one.unwrap_or_else(|| panic!("{path}: {findings:?}"))["verified"]
}

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    folder
}

#[test]
fn a_key_that_is_revoked_between_two_runs_is_active_and_then_dead() {
    let (folder, (issuer, _)) = (tree(), Issuer::described(OPENROUTER));
    let path = folder.path();
    let spec = pointed(path, "own", OPENROUTER, issuer.port());
    let (id, value) = issuer.mint("in use");
    for file in ["a", "b", "c"] {
        fs::write(path.join("tree").join(file), format!("key {}\n", *value)).unwrap();
    }
    let unasked = run(path, &["leaks", "tree"], b"");
    assert!(out(&unasked).contains("unknown") && issuer.asked(Ask::Me) == 0, "{}", out(&unasked));
    let ask = || run(path, &["leaks", "tree", "--verify", "--issuer", &spec], b"");
    let first = ask();
    assert_eq!(first.status.code(), Some(3), "{}", err(&first));
    assert!(out(&first).contains("openrouter-api-key  active  tree/a:1:5"), "{}", out(&first));
    let at = format!("verifying 1 value at 127.0.0.1:{}", issuer.port());
    for said in
        [at.as_str(), "found 1 leaked value (1 active) in 3 places", "keyroll issuers show file:own.toml"]
    {
        assert!(err(&first).contains(said), "{said}: {}", err(&first));
    }
    assert_eq!(issuer.asked(Ask::Me), 1, "each value once");
    let refused = run(path, &["leaks", "tree", "--verify", "--issuer", &spec, "--accept", "never mind"], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err(&refused).contains("K0935") && !path.join(".keyroll-leaks.toml").exists(),
        "{}",
        err(&refused)
    );
    issuer.end(&id);
    let second = ask();
    assert_eq!(second.status.code(), Some(3), "a dead one is a leak still");
    assert!(out(&second).contains("openrouter-api-key  dead   tree/a:1:5"), "{}", out(&second));
    assert!(err(&second).contains("found 1 leaked value (0 active) in 3 places"), "{}", err(&second));
    let taken = run(path, &["leaks", "tree", "--verify", "--issuer", &spec, "--accept", "it was ended"], b"");
    assert_eq!(taken.status.code(), Some(0), "{}", err(&taken));
    for one in [unasked, first, refused, second, taken] {
        assert!(!(out(&one) + &err(&one)).contains(&*value));
    }
}

#[test]
fn the_four_outcomes_stand_in_every_format_and_no_value_does() {
    let kept_value = value();
    let folder = kept(&kept_value);
    let path = folder.path();
    let tree = path.join("tree");
    fs::create_dir(&tree).unwrap();
    let ((open, _), (busy, _), (lab, _)) =
        (Issuer::described(OPENROUTER), Issuer::described(STRIPE), Issuer::described(GITLAB));
    let (own, other, third) = (
        pointed(path, "own", OPENROUTER, open.port()),
        pointed(path, "other", STRIPE, busy.port()),
        pointed(path, "third", GITLAB, lab.port()),
    );
    let (_, active) = open.mint("one");
    let (id, dead) = open.mint("two");
    open.end(&id);
    busy.mood(Ask::Me, ResponseFault::TooMany, 9);
    let limited = [token("sk_live_", 24), token("sk_live_", 24)];
    let elsewhere = token("glpat-", 20);
    let (odd, unnamed) = (token("sk_test_", 24), "kD93hfQ0plm4");
    let texts = [
        ("a-active", &**active),
        ("b-dead", &**dead),
        ("c-limited", &limited[0]),
        ("d-limited", &limited[1]),
        ("e-elsewhere", &elsewhere),
        ("f-odd", &odd),
        ("h-kept", &kept_value),
    ];
    for (file, text) in texts {
        fs::write(tree.join(file), format!("x {text} y\n")).unwrap();
    }
    fs::write(tree.join("g-named.env"), format!("DB_PASSWORD={unnamed}\n")).unwrap();
    let asked = ["--verify", "--issuer", &own, "--issuer", &other, "--issuer", &third];
    let (findings, summary) = findings(path, &asked);
    let is = |file: &str, outcome: &str, why: &str| {
        let one = of(&findings, file);
        assert_eq!(one["outcome"], outcome, "{one}");
        assert!(one["why"].as_str().unwrap_or_default().contains(why), "{one}");
    };
    is("a-active", "active", "");
    is("b-dead", "dead", "");
    is("c-limited", "unknown", "429");
    is("d-limited", "not asked", "fewer calls");
    is("e-elsewhere", "unknown", "another host may accept it: a GitLab at another host");
    is("f-odd", "not asked", "does not begin with `sk_live_`");
    is("g-named.env", "not asked", "no issuer spec covers it");
    is("h-kept", "not asked", "keyroll verify acme");
    assert_eq!(busy.asked(Ask::Me), 1, "who asks for fewer calls is asked no more");
    assert_eq!((&summary["open"], &summary["active"], &summary["live"]), (&8.into(), &1.into(), &1.into()));
    let states: Vec<&Value> = findings.iter().map(|one| &one["state"]).collect();
    assert_eq!(states[..3], ["active", "dead", "unknown"]);
    let values = texts.iter().map(|(_, value)| *value).chain([unnamed]);
    let values: Vec<&str> = values.collect();
    for format in ["table", "json", "jsonl", "sarif", "github"] {
        let ran = run(path, &[&["leaks", "tree", "--all", "--format", format], &asked[..]].concat(), b"");
        assert_eq!(ran.status.code(), Some(3), "{}", err(&ran));
        let said = out(&ran) + &err(&ran);
        for word in ["active", "dead", "unknown", "not asked", "429", "fewer calls"] {
            assert!(said.contains(word), "{format}: {word}: {said}");
        }
        assert!(values.iter().all(|value| !said.contains(value)), "{format} shows a value");
    }
    let events = run(path, &[&["--json", "leaks", "tree"], &asked[..]].concat(), b"");
    assert!(out(&events).contains("\"outcome\":\"active\""), "{}", out(&events));
    let sarif = run(path, &[&["leaks", "tree", "--format", "sarif"], &asked[..]].concat(), b"");
    let sarif: Value = serde_json::from_str(&out(&sarif)).unwrap();
    let results = &sarif["runs"][0]["results"];
    assert_eq!((&results[0]["level"], &results[1]["level"]), (&"error".into(), &"note".into()));
    assert_eq!(results[0]["properties"]["verified"]["outcome"], "active");
}

/// A file of rules that adds one to those that come with keyroll.
const MORE_RULES: &str = "[extend]\nuseDefault = true\n[[rules]]\nid = 'house'\nregex = 'house-([a-z0-9]{8})'\n\
                          keywords = ['house-']\n";

#[test]
fn what_is_active_is_accepted_by_nobody() {
    let (folder, (issuer, _)) = (tree(), Issuer::described(OPENROUTER));
    let path = folder.path();
    let spec = pointed(path, "own", OPENROUTER, issuer.port());
    let write = |file: &str, text: String| fs::write(path.join("tree").join(file), text).unwrap();
    let minted = ["one", "two", "three", "four"].map(|name| issuer.mint(name));
    let value = |number: usize| minted[number].1.as_str();
    write("b", format!("{}\n", value(1)));
    let made = run(path, &["leaks", "tree", "--accept", "made up"], b"");
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    write("a", format!("{} # keyroll:allow of a test\n", value(0)));
    write("c", format!("{}\n", value(2)));
    write("d", format!("{} # keyroll:allow of a test\n", value(3)));
    fs::write(path.join("rules.toml"), MORE_RULES).unwrap();
    fs::write(path.join(".gitleaksignore"), "tree/c:openrouter-api-key:1\n").unwrap();
    let unasked = run(path, &["leaks", "tree", "--rules", "rules.toml"], b"");
    assert_eq!(unasked.status.code(), Some(0), "{}{}", out(&unasked), err(&unasked));
    issuer.end(&minted[3].0);
    let ask = ["--rules", "rules.toml", "--verify", "--issuer", &spec];
    let look = |more: &[&str]| run(path, &[&["leaks", "tree"], &ask[..], more].concat(), b"");
    let ways: [&[&str]; 2] = [&[], &["--all"]];
    for more in ways {
        let before = issuer.asked(Ask::Me);
        let table = look(more);
        assert_eq!(table.status.code(), Some(3), "{}", err(&table));
        assert_eq!(issuer.asked(Ask::Me) - before, 4, "each value once, with --all and without");
        let said = "found 3 leaked values (3 active) in 3 places, and 1 accepted value in 1 place";
        assert!(err(&table).contains(said), "{}", err(&table));
        for why in ["its keyroll:allow", "the baseline", "that .gitleaksignore names it"] {
            let why = format!("(its value works: {why} does not count)");
            assert!(out(&table).contains(&why), "{why}: {}", out(&table));
        }
        assert_eq!(out(&table).contains("dead, accepted: of a test"), !more.is_empty(), "{}", out(&table));
        let (found, summary) = findings(path, &[&ask[..], more].concat());
        assert_eq!((&summary["open"], &summary["accepted"]), (&3.into(), &1.into()));
        let state = |one: &Value| (one["state"].as_str().unwrap().to_owned(), one["accepted"].is_null());
        let (active, dead) = (("active".to_owned(), true), ("dead".to_owned(), false));
        let states: Vec<(String, bool)> = found.iter().map(state).collect();
        assert_eq!(states, [active.clone(), active.clone(), active, dead]);
        let sarif: Value =
            serde_json::from_str(&out(&look(&[more, &["--format", "sarif"]].concat()))).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let open: Vec<bool> =
            results.iter().map(|one| one["level"] == "error" && one["suppressions"].is_null()).collect();
        assert_eq!(open, [true, true, true, false], "{results:?}");
        assert!(results[0]["message"]["text"].as_str().unwrap().contains("does not count"), "{results:?}");
    }
    let refused = look(&["--accept", "never mind"]);
    assert!(refused.status.code() == Some(1) && err(&refused).contains("K0935"), "{}", err(&refused));
    minted.iter().for_each(|(id, _)| issuer.end(id));
    let over = look(&[]);
    assert_eq!(over.status.code(), Some(0), "what is dead stays accepted: {}{}", out(&over), err(&over));
    let (found, _) = findings(path, &ask);
    let by: Vec<_> = found.iter().map(|one| one["accepted"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["comment", "baseline", "list", "comment"]);
}

#[test]
fn a_value_that_keyroll_keeps_is_counted_where_it_opens_something() {
    let kept_value = value();
    let folder = kept(&kept_value);
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::write(folder.path().join("tree/a"), format!("x {kept_value}\n")).unwrap();
    let found = run(folder.path(), &["leaks", "tree", "--verify"], b"");
    assert_eq!(found.status.code(), Some(3), "{}", err(&found));
    assert!(err(&found).contains("found 1 leaked value (1 live) in 1 place"), "{}", err(&found));
}

#[test]
fn what_only_a_history_has_is_asked_about_and_what_is_piped_in() {
    let (folder, (issuer, _)) = (tree(), Issuer::described(OPENROUTER));
    let path = folder.path();
    let spec = pointed(path, "own", OPENROUTER, issuer.port());
    let (_, value) = issuer.mint("in use");
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    for text in [format!("key {}\n", *value), format!("moved\n\nkey {}\n", *value), "gone\n".to_owned()] {
        fs::write(path.join("a"), text).unwrap();
        git(path, &["add", "a"]);
        git(path, &["commit", "--quiet", "--message", "next"]);
    }
    for (source, input) in [("--git", ""), ("--stdin", value.as_str())] {
        let ran = run(path, &["leaks", source, "--verify", "--issuer", &spec], input.as_bytes());
        assert_eq!(ran.status.code(), Some(3), "{}", err(&ran));
        assert!(out(&ran).contains("active") && !out(&ran).contains(&*value), "{}", out(&ran));
    }
    assert_eq!(issuer.asked(Ask::Me), 2);
}

/// Serves each connection on its own thread, and keeps the requests.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: fn(&mut TcpStream, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1)
                    {
                        head.push(byte[0]);
                    }
                    seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                    answer(&mut stream, port);
                    drop(stream.shutdown(Shutdown::Both));
                });
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The result for one value from such an issuer, and the requests that it got.
fn asked_of(server: &Server, request_max: &str) -> (Value, Vec<String>, String) {
    let folder = tree();
    let path = folder.path();
    let text = Described::pointed_at(STRIPE, server.port, "1s");
    let at = text.find("request_max").unwrap();
    fs::write(path.join("own.toml"), format!("{}request_max = \"{request_max}\"\n", &text[..at])).unwrap();
    let value = token("sk_live_", 24);
    fs::write(path.join("tree/a"), format!("{value}\n")).unwrap();
    let ran = run(path, &["--json", "leaks", "tree", "--verify", "--issuer", "own.toml"], b"");
    assert_eq!(ran.status.code(), Some(3), "{}", err(&ran));
    let said = out(&ran) + &err(&ran);
    assert!(!said.contains(&value), "{said}");
    let leak = said.lines().find(|line| line.contains("\"type\":\"leak\"")).unwrap();
    let leak: Value = serde_json::from_str(leak).unwrap();
    (leak["verified"].clone(), server.requests(), value)
}

#[test]
fn a_redirect_carries_the_value_nowhere() {
    static THIEF: Mutex<Option<u16>> = Mutex::new(None);
    let thief = Server::start(|_, _| {});
    *THIEF.lock().unwrap() = Some(thief.port);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        static STATUS: Mutex<&str> = Mutex::new("");
        *STATUS.lock().unwrap() = status;
        let server = Server::start(|stream, _| {
            let (status, thief) = (*STATUS.lock().unwrap(), THIEF.lock().unwrap().unwrap());
            let to = format!("http://127.0.0.1:{thief}/v1/charges");
            drop(write!(stream, "HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
        });
        let (verified, requests, value) = asked_of(&server, "20s");
        assert_eq!(verified["outcome"], "unknown", "{verified}");
        assert!(
            verified["why"].as_str().unwrap().contains("a redirect, which is never followed"),
            "{verified}"
        );
        assert_eq!(requests.len(), 1);
        let request = &requests[0];
        assert!(request.starts_with("GET /v1/charges?limit=1 HTTP/1.1\r\n"), "{request}");
        assert_eq!(request.matches(&value).count(), 1, "{request}");
        assert!(request.to_lowercase().contains(&format!("authorization: bearer {}", value.to_lowercase())));
    }
    assert!(thief.requests().is_empty());
}

#[test]
fn an_issuer_that_never_ends_that_is_silent_or_that_echoes_says_nothing() {
    let endless = Server::start(|stream, _| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"data\": [\""));
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
    });
    let (verified, ..) = asked_of(&endless, "20s");
    assert_eq!(verified["outcome"], "unknown", "{verified}");
    assert!(verified["why"].as_str().unwrap().contains("an answer of more than"), "{verified}");
    let silent = Server::start(|stream, _| drop(stream.read(&mut [0; 1])));
    let (verified, ..) = asked_of(&silent, "500ms");
    assert_eq!(verified["outcome"], "unknown", "{verified}");
    assert!(verified["why"].as_str().unwrap().contains("no answer within 500 ms"), "{verified}");
    let failing = Server::start(|stream, _| {
        let body = "{\"error\": {\"code\": \"storage_down\"}}";
        let length = body.len();
        drop(write!(
            stream,
            "HTTP/1.1 503 No\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
    let (verified, ..) = asked_of(&failing, "20s");
    assert!(
        verified["outcome"] == "unknown" && verified["why"].as_str().unwrap().contains("503"),
        "{verified}"
    );
}

#[test]
fn a_key_that_another_payment_service_may_accept_is_not_called_dead() {
    let refusing = Server::start(|stream, _| {
        let body = "{\"error\": {\"message\": \"Invalid API Key provided\"}}";
        let length = body.len();
        drop(write!(
            stream,
            "HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
    let (verified, ..) = asked_of(&refusing, "20s");
    assert_eq!(verified["outcome"], "unknown", "{verified}");
    assert!(verified["why"].as_str().unwrap().contains("another payment service"), "{verified}");
}

#[test]
fn a_host_that_does_not_answer_is_given_up() {
    let folder = tree();
    let path = folder.path();
    let closed = free_port().unwrap();
    let spec = pointed(path, "own", STRIPE, closed);
    for file in ["a", "b", "c", "d", "e"] {
        fs::write(path.join("tree").join(file), token("sk_live_", 24)).unwrap();
    }
    let (found, _) = findings(path, &["--verify", "--issuer", &spec]);
    let outcomes: Vec<&Value> =
        ["a", "b", "c", "d", "e"].iter().map(|file| &of(&found, file)["outcome"]).collect();
    assert_eq!(outcomes, ["unknown", "unknown", "unknown", "not asked", "not asked"]);
}

/// A token of Grafana's form, with its checksum; nobody was given it.
fn grafana_token() -> String {
    let body = format!("glsa_{}", alphanumeric(32));
    let sum = !body.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 })
    });
    let digits: String = sum.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body}_{digits}")
}

#[test]
fn what_is_looked_at_never_says_who_is_asked() {
    let folder = tree();
    let path = folder.path().join("tree");
    let thief = Server::start(|_, _| {});
    let spec = pointed(&path, "own", GRAFANA, thief.port);
    let config = format!(
        "version = 1\n[secrets.acme]\nissuer = \"file:./{spec}\"\n[[secrets.acme.consumers]]\nname = \"job\"\n\
         runs = {{ at_rest = true }}\nreads = {{ file = \"./job.key\" }}\n"
    );
    fs::write(path.join("keyroll.toml"), config).unwrap();
    let token = grafana_token();
    fs::write(path.join("a"), format!("{token}\n")).unwrap();
    let ran = run(&path, &["leaks", "--verify", "a"], b"");
    assert!(out(&ran).contains("grafana-service-token  not asked"), "{}{}", out(&ran), err(&ran));
    assert!(err(&ran).contains("--issuer") && thief.requests().is_empty(), "{}", err(&ran));
}

#[test]
fn a_spec_that_cannot_be_gone_by_is_refused_before_anything_is_asked() {
    let folder = tree();
    let path = folder.path();
    let spec = pointed(path, "own", STRIPE, 9);
    let text = fs::read_to_string(path.join(&spec)).unwrap();
    let refused = |arguments: &[&str], code: i32, word: &str| {
        let ran = run(path, &[&["leaks", "tree"], arguments].concat(), b"");
        assert!(ran.status.code() == Some(code) && err(&ran).contains(word), "{word}: {}", err(&ran));
    };
    refused(&["--issuer", &spec], 2, "--verify");
    refused(&["--verify", "--known"], 2, "--known");
    refused(&["--verify", "--issuer", &spec, "--issuer", &spec], 1, "already covers the rule");
    refused(&["--verify", "--issuer", "none.toml"], 1, "K0140");
    let write = |name: &str, text: String| fs::write(path.join(name), text).unwrap();
    let without = |line: &str| !line.starts_with("rules = ") && !line.starts_with("elsewhere = ");
    write("b.toml", text.lines().filter(|line| without(line)).map(|line| format!("{line}\n")).collect());
    refused(&["--verify", "--issuer", "b.toml"], 1, "does not say which findings");
    write("c.toml", text.replace("stripe-secret-key\"]", "no-such-rule\"]"));
    refused(&["--verify", "--issuer", "c.toml"], 1, "an unknown rule");
    // The call also needs another field.
    let more = text.replace("[auth.self]", "[fields.account]\nsecret = false\nlength_max = 9\n\n[auth.self]");
    write("d.toml", more.replace("/v1/charges", "/v1/{cred.account}"));
    refused(&["--verify", "--issuer", "d.toml"], 1, "K0100");
    fs::set_permissions(path.join(&spec), fs::Permissions::from_mode(0o666)).unwrap();
    refused(&["--verify", "--issuer", &spec], 1, "K0860");
}
