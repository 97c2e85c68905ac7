//! What is not understood, does not exist, or is out of date: a problem with the right number, and nothing has changed.

use std::path::PathBuf;

use keyroll_testkit::issuer::Ask;
use serde_json::{Value, json};

use super::team::{Team, begun, refused};
use crate::hostile::scene::{Snapshot, files};

/// More than a body may have.
const HUGE: usize = 1 << 20;
/// Deep enough to end the stack of a reader that recurses, and within the size of a body.
const DEEP: usize = 60_000;

/// A body that is not understood, something that does not exist, and a body that is one or the other.
const UNREAD: &[u16] = &[400];
const NOWHERE: &[u16] = &[404];
const EITHER: &[u16] = &[400, 404];

/// Everything that a refusal must leave as it was: the copies, the keys, the saved plans, and what the server shows.
#[derive(Debug, PartialEq)]
struct Before {
    scene: Snapshot,
    plans: Vec<PathBuf>,
    rotations: Value,
    minted: usize,
}

fn before(team: &Team) -> Before {
    let scene = &team.served.scene;
    team.is_quiet();
    let plans = files(&scene.state()).into_iter().filter(|path| path.parent().unwrap().ends_with("plans"));
    let mut plans: Vec<PathBuf> = plans.collect();
    assert!(!plans.is_empty(), "the plans are elsewhere");
    plans.sort();
    Before {
        scene: scene.snapshot(),
        plans,
        rotations: team.ask("vic", "GET", "/v1/rotations", "").body,
        minted: scene.issuer.asked(Ask::Mint),
    }
}

/// Each body that no page understands, with its number. `good` is one that its page understands.
fn nonsense(good: &str) -> Vec<(String, &'static [u16])> {
    let (deep, rest) = ("[".repeat(DEEP), &good[1..]);
    let fields = good.trim_matches(['{', '}']);
    let mut all: Vec<String> =
        ["{", "[]", "null", "\"ring\"", "{}", r#"{"secret":7,"plan":7}"#, r#"{"secret":["ring"]}"#, "\u{0}"]
            .map(str::to_owned)
            .to_vec();
    all.extend([
        format!("{good} {good}"),
        format!("{{\"more\":1,{rest}"),
        // An operator's body is no consent.
        format!("{{\"confirm\":\"ring\",{rest}"),
        format!("{{{fields},{fields}}}"),
        format!("{{\"accept\":{deep}"),
        deep,
    ]);
    let mut all: Vec<(String, &'static [u16])> = all.into_iter().map(|bad| (bad, UNREAD)).collect();
    all.push((format!("{{\"secret\":\"{}\"}}", "x".repeat(HUGE)), &[413]));
    all
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    let plan = team.plan("ring");
    let other = team.plan("ring");
    let good = json!({ "plan": plan }).to_string();
    let was = before(&team);
    for (path, good) in [("/v1/plans", r#"{"secret":"ring"}"#), ("/v1/rotations", good.as_str())] {
        refused(&team.ask("otto", "POST", path, ""), &[400]);
        for (body, codes) in nonsense(good) {
            println!("{path}: {}", body.chars().take(60).collect::<String>());
            refused(&team.ask("otto", "POST", path, &body), codes);
        }
    }
    // Names and ids that lead elsewhere, or that a command would take for an option.
    let long = "a".repeat(40_000);
    let names: [&str; 10] =
        ["nobody", "../ring", "/etc/passwd", "--help", "-h", "--apply", "ring\n", "ring\u{0}", "", &long];
    for name in names {
        let answer = team.ask("otto", "POST", "/v1/plans", &json!({ "secret": name }).to_string());
        refused(&answer, if name.is_empty() { EITHER } else { NOWHERE });
        let answer = team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": name }).to_string());
        refused(&answer, if name.is_empty() { EITHER } else { NOWHERE });
    }
    for id in ["nobody", "..%2F..%2Fetc", "%2e%2e", "--help", "%00", "%ff", &long[..3_000], "a%0Ab"] {
        for (method, end, body) in [
            ("GET", "", ""),
            ("POST", "/resume", ""),
            ("POST", "/retry", ""),
            ("POST", "/pause", ""),
            ("POST", "/abort", ""),
            ("POST", "/approve", r#"{"secret":"ring"}"#),
        ] {
            let answer = team.ask("ada", method, &format!("/v1/rotations/{id}{end}"), body);
            refused(&answer, EITHER);
        }
    }
    refused(&team.ask("vic", "GET", "/v1/rotations/%ff", ""), NOWHERE);
    // A plan that nobody applied is no rotation yet.
    refused(&team.ask("vic", "GET", &format!("/v1/rotations/{plan}"), ""), &[404]);
    for what in ["resume", "retry", "abort"] {
        refused(&team.act("otto", &plan, what), &[404, 409]);
    }
    assert_eq!(before(&team), was);
    // A plan that is out of date, which the driver finds; and afterwards why is still known.
    let (id, _) = scene.issuer.mint("of somebody");
    let answer = team.ask("otto", "POST", "/v1/rotations", &good);
    refused(&answer, &[409]);
    assert_eq!(answer.text("code"), "K0838", "{answer:?}");
    assert!(answer.text("help").contains("plan"), "{answer:?}");
    let row = team.rotation(&plan);
    assert_eq!((&row["state"], &row["code"]), (&json!("refused"), &json!("K0838")), "{row}");
    scene.issuer.end(&id);
    assert_eq!(before(&team), was);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    // What is accepted by name is a name, whatever it looks like: it is no consent.
    let third = team.plan("ring");
    let body = json!({ "plan": third, "accept": ["--confirm=ring", "--emergency=revoke-now"] }).to_string();
    begun(&team.ask("otto", "POST", "/v1/rotations", &body), &third);
    team.waits_for_consent(&third);
    assert_eq!(scene.issuer.deletions(), Vec::<String>::new(), "nobody consented");
    let was = before(&team);
    // The same request again is answered with the same rotation; another plan of the secret is refused.
    let again = team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": third }).to_string());
    assert_eq!((again.code, again.text("rotation")), (202, third.as_str()), "{again:?}");
    let answer = team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": other }).to_string());
    refused(&answer, &[409]);
    assert!(answer.body.to_string().contains(&third), "it names the open rotation: {answer:?}");
    let answer = team.ask("otto", "POST", "/v1/plans", r#"{"secret":"ring"}"#);
    refused(&answer, &[409]);
    // A resume without anything to accept takes no other field, and none that consents.
    let path = format!("/v1/rotations/{third}/resume");
    for body in [r#"{"confirm":"ring"}"#, r#"{"accept":"x"}"#, r#"{"accept":[7]}"#, "{"] {
        refused(&team.ask("otto", "POST", &path, body), &[400]);
    }
    assert_eq!(before(&team), was);
    assert_eq!(team.rotation(&third)["state"], "waiting");
    // The way back is the operator's own.
    let answer = team.act("otto", &third, "abort");
    begun(&answer, &third);
    team.ended(&third, "rolled_back");
    assert_eq!(scene.issuer.asked(Ask::Mint), 1);
    scene.as_before();
    refused(&team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": third }).to_string()), &[409]);
    team.nothing_leaked();
}
