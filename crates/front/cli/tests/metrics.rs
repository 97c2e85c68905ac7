//! `GET /metrics`: read by a real Prometheus and judged by promtool; a viewer's token reads it and does nothing else; and
//! the numbers are those of the journal.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use keyroll_testkit::command::{Ran, wait};
use keyroll_testkit::issuer::Ask;
use keyroll_testkit::{Prometheus, TempDir};
use rustix::process::Signal;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::emergency::served::Served;
use crate::hostile::scene::Scene;

const PAGE: &str = include_str!("../../../../docs/guides/metrics.md");
const RULES_TEST: &str = include_str!("metrics/rules_test.yml");
const OWNER: &str = r#"the "keys" team \ night"#;

/// A server that listens, with a viewer's token in `prom.token`.
fn viewed(consumers: usize, secret: &str) -> Served {
    let mut served = with_viewer(consumers, secret);
    served.serve();
    served
}

fn with_viewer(consumers: usize, secret: &str) -> Served {
    let served = Served::made(consumers, secret, |_, _| {});
    served.scene.run(&["token", "new", "prom", "--role", "viewer", "--out", "prom.token"]).exits(0);
    for name in ["prom", "ada"] {
        served.scene.sh(&format!("(printf 'Authorization: Bearer '; cat {name}.token) > {name}.bearer"));
    }
    served.header("prom");
    served
}

#[track_caller]
fn scrape(served: &Served) -> String {
    let answer = served.curl("/metrics", &["-H", "@prom.bearer"], b"");
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    answer.body.as_str().unwrap().to_owned()
}

/// The value of a sample, by its name and labels as they are written.
fn sample(text: &str, series: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until a scrape has this sample with this value; the server may answer from what it read a moment ago.
#[track_caller]
fn becomes(served: &Served, series: &str, value: Option<u64>) {
    wait(&format!("{series} is {value:?}"), || sample(&scrape(served), series) == value);
}

/// A command without JSON: a table is shown to a person.
fn plain(scene: &Scene, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command.args(words).args(["--state", "../state", "--no-input", "--plain"]).current_dir(scene.dir());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", scene.dir());
    Ran::run(command.stdin(Stdio::null()))
}

/// promtool with a text on its stdin, or `None` with a line that says what is left out.
fn promtool(left_out: &str, words: &[&str], text: &[u8]) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "promtool is missing in CI");
        eprintln!("left out, because promtool is not installed (apt-get install prometheus): {left_out}");
        return None;
    };
    let _ = child.stdin.take().unwrap().write_all(text);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn a_viewer_reads_and_changes_nothing() {
    let served = viewed(1, "");
    let scene = &served.scene;
    let code = |path: &str, words: &[&str]| served.curl(path, words, b"").code;
    // Both tokens, each in both headers.
    for token in ["@prom.bearer", "@prom.header", "@ada.bearer", "@ada.header"] {
        for path in ["/metrics", "/secret-status"] {
            assert_eq!(code(path, &["-H", token]), 200, "{token} {path}");
        }
    }
    let before = scene.snapshot();
    let words = ["-X", "POST", "-H", "@prom.bearer", "--data-binary", "@-"];
    let refused = served.curl("/rotate-secret", &words, br#"{"secret_name":"ring"}"#);
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(refused.head.contains("content-type: application/problem+json"), "{refused:?}");
    assert_eq!((refused.text("type"), &refused.body["status"]), ("about:blank", &json!(403)), "{refused:?}");
    let why = refused.text("detail");
    assert_eq!(why, "the token prom has the role viewer, and POST /rotate-secret needs the role responder");
    assert_eq!(code("/nothing", &["-H", "@prom.bearer"]), 404, "a page that is none");
    assert_eq!((scene.issuer.asked(Ask::Mint), served.status()["open"].clone()), (0, json!([])));
    assert_eq!(scene.snapshot(), before, "nothing was begun");
    // Wrong, missing, two at once, and another scheme.
    let token = Zeroizing::new(fs::read_to_string(scene.path("prom.token")).unwrap());
    served.put("wrong.bearer", &format!("Authorization: Bearer {}x\n", token.trim()));
    served.put("basic.bearer", &format!("Authorization: Basic {}\n", token.trim()));
    for words in [
        &[][..],
        &["-H", "@wrong.bearer"],
        &["-H", "@basic.bearer"],
        &["-H", "@prom.bearer", "-H", "@prom.header"],
        &["-H", "@prom.bearer", "-H", "@prom.bearer"],
    ] {
        assert_eq!(code("/metrics", words), 401, "{words:?}");
    }
    let text = scrape(&served);
    for (reason, count) in [("no_role", 1), ("no_token", 5), ("too_many", 0), ("host", 0)] {
        let series = format!("keyroll_requests_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(sample(&text, &series), Some(count), "{series}");
    }
    assert!(served.log().contains("the token prom has the role viewer"), "{}", served.log());
    // The admin's token may begin an emergency, by either header.
    let words = ["-X", "POST", "-H", "@ada.bearer", "--data-binary", "@-"];
    let answer = served.curl("/rotate-secret", &words, br#"{"secret_name":"ring"}"#);
    assert_eq!((answer.code, scene.issuer.asked(Ask::Mint)), (200, 1), "{answer:?}");
    assert!(served.log().contains("by the token ada"), "{}", served.log());
    served.nothing_leaked(&[&Zeroizing::new(token.trim().to_owned())]);
}

#[test]
fn each_role_has_tokens_of_its_own() {
    let mut served = with_viewer(1, "");
    let scene = &served.scene;
    let new = |name: &str| {
        scene.run(&["token", "new", name, "--role", "viewer", "--out", &format!("{name}.token")])
    };
    new("look").exits(0);
    new("third").refused(1, "K0950", &["prom and look are valid"]);
    let both = scene.run(&["token", "new", "ci", "--role", "viewer", "--alerts", "--out", "ci.token"]);
    assert_eq!(both.code, Some(2), "{}", both.text);
    let list = plain(scene, &["token", "list"]);
    list.exits(0).says(&["ROLE", "viewer", "admin"]);
    assert!(fs::read_to_string(scene.path("prom.token")).unwrap().starts_with("keyroll_viewer_"));
    // Nobody could use the endpoint for what it is for.
    scene.run(&["token", "revoke", "ada"]).exits(0).says(&["no admin token is valid now"]);
    scene.run(&["serve"]).refused(1, "K0950", &["has no admin token"]);
    scene.run(&["token", "new", "eve", "--out", "eve.token"]).exits(0);
    served.serve();
    let scene = &served.scene;
    let code = || served.curl("/metrics", &["-H", "@prom.bearer"], b"").code;
    assert_eq!(code(), 200);
    // A role that this keyroll does not know lets nobody in.
    scene.sh("sed 's/ viewer$/ owner/' admin-token > changed; cat changed > admin-token");
    assert_eq!(code(), 503);
    scene.run(&["token", "list"]).refused(1, "K0950", &["has a role that keyroll does not know"]);
    scene.sh("sed 's/ owner$/ viewer/' changed > admin-token");
    assert_eq!(code(), 200);
    assert_eq!(
        sample(&scrape(&served), "keyroll_requests_refused_total{reason=\"tokens_unreadable\"}"),
        Some(1)
    );
}

/// The numbers follow a rotation, and are the same after a crash of the server.
#[test]
fn the_series_follow_a_rotation() {
    let mut served = viewed(2, "rotate_every = \"90d\"");
    let begin = scrape(&served);
    let total = "keyroll_rotations_total{secret=\"ring\"}";
    let added = "keyroll_secret_value_timestamp_seconds{secret=\"ring\"}";
    let ended = "keyroll_rotation_last_ended_timestamp_seconds{secret=\"ring\",outcome=\"done\"}";
    let due = "keyroll_secret_due_timestamp_seconds{secret=\"ring\"}";
    let first = sample(&begin, added).unwrap();
    assert_eq!(sample(&begin, due), Some(first + 90 * 86_400));
    assert_eq!(sample(&begin, "keyroll_secret_rotate_every_seconds{secret=\"ring\"}"), Some(90 * 86_400));
    assert_eq!(sample(&begin, "keyroll_secret_overdue{secret=\"ring\"}"), Some(0));
    assert_eq!((sample(&begin, total).unwrap_or_default(), sample(&begin, ended)), (0, None));
    assert!(!begin.contains("keyroll_rotation_open{"), "{begin}");
    let id = served.scene.until("soak");
    becomes(&served, total, Some(1));
    let open = scrape(&served);
    assert_eq!(open.matches("keyroll_rotation_open{secret=\"ring\",phase=\"").count(), 1, "{open}");
    for (series, value) in [
        ("keyroll_rotation_consumers{secret=\"ring\"}", 2),
        ("keyroll_rotation_consumers_moved{secret=\"ring\"}", 2),
    ] {
        assert_eq!(sample(&open, series), Some(value), "{series}");
    }
    let began = sample(&open, "keyroll_rotation_began_timestamp_seconds{secret=\"ring\"}");
    assert!(began.is_some_and(|at| at >= first), "{open}");
    let waiting = "keyroll_rotation_waiting{secret=\"ring\",kind=\"paused\"}";
    assert_eq!(sample(&open, waiting), Some(1), "{open}");
    let since = sample(&open, "keyroll_rotation_waiting_since_timestamp_seconds{secret=\"ring\"}");
    assert!(since >= began, "{open}");
    served.scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    wait("the rotation has ended", || sample(&scrape(&served), ended).is_some());
    let after = scrape(&served);
    assert_eq!(sample(&after, total), Some(1), "the same rotation");
    assert!(sample(&after, ended) >= began && sample(&after, added) >= Some(first), "{after}");
    let gone = ["open{", "waits_for_person{", "waiting{", "waiting_since_timestamp_seconds{"];
    for gone in gone.into_iter().chain(["began_timestamp_seconds{", "consumers{", "owes{"]) {
        assert!(!after.contains(&format!("keyroll_rotation_{gone}")), "{gone}: {after}");
    }
    // What was counted in the journal survives; the counters of the process begin again.
    served.curl("/metrics", &[], b"");
    served.end(Signal::KILL);
    served.serve();
    let again = scrape(&served);
    assert_eq!((sample(&again, total), sample(&again, ended)), (Some(1), sample(&after, ended)));
    assert_eq!(sample(&again, "keyroll_requests_refused_total{reason=\"no_token\"}"), Some(0));
    let started = |text: &str| sample(text, "process_start_time_seconds").unwrap();
    assert!(started(&again) >= started(&begin));
    served.scene.apply().exits(0).ended("done");
    becomes(&served, total, Some(2));
}

#[test]
fn the_series_follow_an_incident() {
    let served = viewed(1, "");
    let open = "keyroll_incidents_open{state=\"open\"}";
    let opened = "keyroll_incident_opened_timestamp_seconds";
    let begin = scrape(&served);
    assert_eq!((sample(&begin, open), sample(&begin, opened)), (Some(0), None));
    let ran = served.scene.run(&["incident", "open", "ring"]);
    let id = ran.exits(0).of("incident")[0]["id"].as_str().unwrap().to_owned();
    becomes(&served, open, Some(1));
    assert!(sample(&scrape(&served), opened).is_some());
    served.scene.run(&["incident", "close", &id, "--because", "a test key"]).exits(0);
    becomes(&served, open, Some(0));
    assert_eq!(sample(&scrape(&served), opened), None);
    // An alert to a source that nobody set up, and to one that does not exist: no label comes from an address.
    for source in ["github", "nobody", "somebody"] {
        assert_eq!(served.curl(&format!("/alerts/{source}"), &["-X", "POST"], b"").code, 404);
    }
    let text = scrape(&served);
    for (source, count) in [("github", 1), ("unknown", 2), ("generic", 0)] {
        let series = format!("keyroll_alerts_total{{source=\"{source}\",result=\"refused\"}}");
        assert_eq!(sample(&text, &series), Some(count), "{text}");
    }
    assert!(!text.contains("somebody"), "{text}");
}

/// A scrape says that the rest cannot be read, and says it once in the log.
#[test]
fn a_scrape_is_answered_where_the_configuration_is_gone() {
    let served = viewed(1, "");
    let readable = "keyroll_journal_readable";
    assert_eq!(sample(&scrape(&served), readable), Some(1));
    served.scene.sh("mv keyroll.toml away.toml");
    becomes(&served, readable, Some(0));
    let text = scrape(&served);
    assert!(
        !text.contains("keyroll_secret_info") && text.contains("keyroll_build_info{version=\""),
        "{text}"
    );
    assert_eq!(served.log().matches("the metrics are incomplete").count(), 1, "{}", served.log());
    served.scene.sh("mv away.toml keyroll.toml");
    becomes(&served, readable, Some(1));
    assert!(scrape(&served).contains("keyroll_secret_info{secret=\"ring\""));
}

#[test]
fn no_value_id_or_path_is_in_a_scrape() {
    let served = viewed(2, "");
    let scene = &served.scene;
    let old = scene.held("api/api.env");
    let answer = served.post(br#"{"secret_name":"ring"}"#, &[]);
    assert_eq!(answer.code, 200, "{answer:?}");
    let new = scene.held("api/api.env");
    becomes(&served, "keyroll_rotations_total{secret=\"ring\"}", Some(1));
    let tokens = ["ada", "prom"].map(|name| {
        Zeroizing::new(fs::read_to_string(scene.path(&format!("{name}.token"))).unwrap().trim().to_owned())
    });
    let new_id = scene.holds("api/api.env").unwrap();
    let dir = scene.dir().display().to_string();
    let hash = answer.text("new_hash");
    for accept in ["text/plain", "application/openmetrics-text"] {
        let words = ["-H", "@prom.bearer", "-H", &format!("Accept: {accept}")];
        let text = served.curl("/metrics", &words, b"").body.to_string();
        assert!(text.contains("keyroll_rotation_consumers_moved"), "{text}");
        for canary in [old.as_str(), new.as_str(), tokens[0].as_str(), tokens[1].as_str()] {
            assert!(!text.contains(canary), "a value is in the scrape");
        }
        for canary in [scene.old.as_str(), &new_id, answer.text("rotation"), hash, &dir] {
            assert!(!canary.is_empty() && !text.contains(canary), "{canary}: {text}");
        }
    }
}

#[test]
fn promtool_finds_nothing_to_improve() {
    let served = viewed(1, &format!("owner = '{OWNER}'\nrotate_every = \"90d\""));
    let text = scrape(&served);
    let owner = r#"owner="the \"keys\" team \\ night""#;
    assert!(text.contains(owner), "{text}");
    // The other form has the same samples, and the end that its specification asks for.
    let words = ["-H", "@prom.bearer", "-H", "Accept: application/openmetrics-text;version=1.0.0"];
    let open = served.curl("/metrics", &words, b"");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open:?}");
    let open = open.body.as_str().unwrap();
    assert!(open.contains(owner) && open.ends_with("\n# EOF\n"), "{open}");
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(&text), names(open));
    let Some((good, said)) = promtool("promtool check metrics", &["check", "metrics"], text.as_bytes())
    else {
        return;
    };
    assert!(good && said.is_empty(), "{said}\n{text}");
}

/// A Prometheus with the shipped rules and a viewer's token.
#[test]
fn a_real_prometheus_reads_the_metrics_and_the_rules() {
    let served = viewed(1, &format!("owner = '{OWNER}'\nrotate_every = \"90d\""));
    let scene = &served.scene;
    served.put("alert-rules.yml", &alert_rules());
    let settings = format!(
        "rule_files: [\"{dir}/alert-rules.yml\"]\nscrape_configs:\n  - job_name: keyroll\n    authorization:\n      \
         credentials_file: \"{dir}/prom.token\"\n    static_configs:\n      - targets: [\"127.0.0.1:{port}\"]\n",
        dir = scene.dir().display(),
        port = served.port(),
    );
    let Some(prometheus) = Prometheus::configured_or_skip("the metrics in a real Prometheus", &settings)
    else {
        return;
    };
    let is = |expression: &str, value: &str| {
        let found = asked(&prometheus, "query", &[&format!("query={expression}")]);
        found["data"]["result"][0]["value"][1] == value
    };
    wait("Prometheus reads the metrics", || is("up{job=\"keyroll\"}", "1"));
    wait("the secret is there", || is("keyroll_secret_rotate_every_seconds{secret=\"ring\"}", "7776000"));
    scene.apply().exits(0).ended("done");
    wait("the rotation is counted", || is("keyroll_rotations_total{secret=\"ring\"}", "1"));
    let info = asked(&prometheus, "query", &["query=keyroll_secret_info"]);
    assert_eq!(info["data"]["result"][0]["metric"]["owner"], OWNER, "{info}");
    // Each rule was evaluated, and nothing is wrong with a server that is well.
    let mut rules = Value::Null;
    wait("every rule is evaluated", || {
        rules = asked(&prometheus, "rules", &[])["data"]["groups"][0]["rules"].clone();
        rules.as_array().is_some_and(|all| all.iter().all(|rule| rule["health"] == "ok"))
    });
    assert_eq!(rules.as_array().unwrap().len(), alert_rules().matches("- alert: ").count());
    let firing: Vec<&Value> =
        rules.as_array().unwrap().iter().filter(|rule| rule["state"] == "firing").collect();
    assert!(firing.is_empty(), "{firing:?}");
    // An incident is pending at once, and pages after its ten minutes.
    scene.run(&["incident", "open", "ring"]).exits(0);
    wait("the alert of an incident is pending", || {
        let alerts = asked(&prometheus, "alerts", &[])["data"]["alerts"].clone();
        let all = alerts.as_array().cloned().unwrap_or_default();
        all.iter()
            .any(|alert| alert["labels"]["alertname"] == "KeyrollIncidentOpen" && alert["state"] == "pending")
    });
}

/// What Prometheus answers.
fn asked(prometheus: &Prometheus, what: &str, words: &[&str]) -> Value {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "-G"]);
    for word in words {
        command.args(["--data-urlencode", word]);
    }
    command.arg(format!("http://127.0.0.1:{}/api/v1/{what}", prometheus.port()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The rules as `keyroll serve --alert-rules` prints them, anywhere.
fn alert_rules() -> String {
    let home = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command.args(["serve", "--alert-rules"]).current_dir(home.path()).env("HOME", home.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Each rule fires for what it is for, and not for what looks like it.
#[test]
fn the_alert_rules_fire_for_what_they_are_for() {
    let rules = alert_rules();
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    fs::write(path("alert-rules.yml"), &rules).unwrap();
    fs::write(path("rules_test.yml"), RULES_TEST).unwrap();
    for alert in alerts(&rules) {
        assert!(RULES_TEST.matches(&format!("alertname: {alert}\n")).count() > 0, "{alert} is never fired");
    }
    for (words, left_out) in [
        (["check", "rules", &path("alert-rules.yml")], "promtool check rules"),
        (["test", "rules", &path("rules_test.yml")], "promtool test rules"),
    ] {
        let Some((good, said)) = promtool(left_out, &words, b"") else { return };
        assert!(good, "{words:?}: {said}");
    }
}

fn alerts(rules: &str) -> BTreeSet<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// The names in the first column of the page's tables that begin with one of these.
fn listed(starts: &[&str]) -> BTreeSet<&'static str> {
    let cells = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.filter(|name| starts.iter().any(|start| name.starts_with(start))).collect()
}

#[test]
fn the_page_has_every_metric_and_every_alert() {
    let served = viewed(1, "");
    let text = scrape(&served);
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names, listed(&["keyroll_", "process_"]));
    for name in &names {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    let rules = alert_rules();
    assert_eq!(alerts(&rules), listed(&["Keyroll"]));
    // A rule about a metric that is not there would never fire.
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    for word in words.filter(|word| word.starts_with("keyroll_")) {
        assert!(names.contains(word), "{word}");
    }
}
