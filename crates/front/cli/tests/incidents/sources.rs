//! Each source in its own form. The forms are those that the programs wrote or the vendors document;
//! `docs/guides/incidents.md` names them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::sent::{Sent, hex, incidents, now_s, only};
use crate::hostile::scene::{Scene, put};
use zeroize::Zeroizing;

/// What each source sends about this value.
fn documents(value: &str) -> Vec<(&'static str, String)> {
    let kingfisher = |snippet: &str, command: &str| {
        json!({"rule": {"title": "ACME", "name": "acme-key", "id": "acme.key", "description": "x"},
            "finding": {"snippet": snippet, "fingerprint": "2149912521281268990", "confidence": "high",
                "entropy": "3.92", "validation": {"outcome": "not_attempted", "status": "Not Attempted", "response": ""},
                "language": "Unknown", "line": 2, "column_start": 20, "column_end": 39, "path": "settings.env",
                "git_metadata": {"repository_url": "leak", "commit": {"id": "46fbff9785d22d6860c45e7ad47b8a3b8cb2cc9d",
                    "date": "2026-11-26"}}, "validate_command": command}})
    };
    let said = format!("kingfisher validate --rule 'acme.key' '{value}'");
    let alert = json!({"schema_version": "1", "kingfisher_version": "2.14.0", "summary": {"total": 1},
        "findings": [kingfisher("<redacted>", &said)], "findings_omitted": 0});
    let counts = json!({"audit": {"findings": 1}, "metadata": {"summary": {"findings": 1}}});
    vec![
        ("github", json!([{"source": "commit", "token": value, "type": "acme", "url": "https://github.example/1"}]).to_string()),
        ("github", json!([{"number": 2, "secret_type": "acme", "secret": value, "created_at": "2026-11-20T00:00:00Z",
            "html_url": "https://github.example/security/2"}]).to_string()),
        ("gitlab", json!([{"type": "gitleaks_rule_id_acme", "token": value, "location": "https://gitlab.example/a",
            "vulnerability": null}]).to_string()),
        ("trufflehog", json!({"SourceMetadata": {"Data": {"Git": {"commit": "46fbff97", "file": "th.env", "line": 4,
            "timestamp": "2026-11-26 05:58:48 +0000"}}}, "DetectorName": "Acme", "Verified": false, "Raw": value, "RawV2": "",
            "Redacted": ""}).to_string()),
        // The value stands only in another part, as for a pair of an id and a secret.
        ("trufflehog", json!({"SourceMetadata": {"Data": {"Filesystem": {"file": "pair.env"}}}, "DetectorName": "Acme",
            "Raw": "AC0123456789", "RawV2": format!("AC0123456789:{value}")}).to_string()),
        ("kingfisher", format!("{}\n{counts}\n", kingfisher(value, ""))),
        // Kingfisher leaves the value in the command, also where it redacts the snippet.
        ("kingfisher", alert.to_string().replace("settings.env", "redacted.env")),
        ("gitleaks", json!([{"RuleID": "acme", "Description": "x", "StartLine": 4, "Match": format!("KEY={value}"),
            "Secret": value, "File": "gl.env", "Commit": "46fbff9785d2", "Date": "2026-11-26T05:58:48Z",
            "Fingerprint": "46fbff97:gl.env:acme:4"}]).to_string()),
        ("gitleaks", format!("{}\n{}\n", json!({"schema_version": "1", "finding": {"rule_id": "acme", "match": {"full": value,
            "value": value}, "attributes": {"git.sha": "46fbff97"}, "location": {"path": "bl.env", "start_line": 2}}}),
            json!({"schema_version": "1", "scan": {"state": "done"}}))),
        ("sarif", json!({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "gitleaks"}}, "results": [{
            "ruleId": "acme", "message": {"text": "acme has detected secret"}, "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": "sarif.env"}, "region": {"startLine": 2, "snippet": {"text": value}}}}],
            "partialFingerprints": {"commitSha": "46fbff97", "date": "2026-11-26T05:58:48Z"}}]}]}).to_string()),
        ("generic", json!({"type": "acme", "value": value, "url": "https://wiki.example/page"}).to_string()),
        ("generic", json!({"alerts": [{"type": "acme", "text": format!("it says {value}!"), "url": "chat"}]}).to_string()),
    ]
}

fn fed(scene: &Scene, source: &str, document: &str) -> crate::hostile::ran::Ran {
    scene.fed(&["incident", "open", "--from", source], &Zeroizing::new(document.to_owned()))
}

/// Every form of every source names the same stored version; none acts at a terminal without --act.
#[test]
fn the_stored_value_is_recognised_in_every_form() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    let documents = documents(&value);
    let mut places = 0;
    for (source, document) in &documents {
        let ran = fed(&scene, source, document);
        let rows = ran.exits(0).of("incident");
        assert_eq!(rows.len(), 1, "{source}: {}", ran.text());
        let row = rows[0];
        assert_eq!(
            (&row["secret"], &row["version"], &row["state"]),
            (&json!("ring"), &json!(1), &json!("open")),
            "{row}"
        );
        let now = row["places"].as_array().unwrap().len();
        assert!(now > places, "{source} adds its place: {row}");
        places = now;
        assert!(!ran.text().contains(value.as_str()), "{source}");
        // The same again is known.
        let again = fed(&scene, source, document);
        assert_eq!(again.of("incident")[0]["known"], true, "{source}: {}", again.text());
    }
    assert_eq!(only(&scene)["alerts"], json!(documents.len()));
    assert!(scene.issuer.deletions().is_empty() && scene.run(&["status"]).of("status").is_empty());
}

/// A value that no store has: one incident, whose issuer is known by the form of its keys.
#[test]
fn a_value_that_keyroll_does_not_manage_is_one_incident_in_every_form() {
    let scene = Scene::new();
    let (_, value) = scene.issuer.mint("somebody's own");
    for (source, document) in documents(&value) {
        // The pair has another value, and a text alone has none.
        if document.contains("AC0123456789:")
            || document.contains("it says")
            || document.contains("redacted.env")
        {
            continue;
        }
        let ran = fed(&scene, source, &document);
        let row = ran.exits(0).of("incident")[0];
        assert_eq!(
            (&row["issuer"], &row["state"]),
            (&json!("the issuer of ring"), &json!("open")),
            "{source}: {row}"
        );
    }
    let row = only(&scene);
    assert!(row["what"].as_str().unwrap().contains("does not manage"), "{row}");
    assert!(!row.to_string().contains(value.as_str()));
}

/// GitHub's API, as its documentation has it: the value of one alert, for a token that may read it.
/// <https://docs.github.com/en/rest/secret-scanning/secret-scanning#get-a-secret-scanning-alert>
fn github_api(value: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = json!({"number": 1, "secret_type": "acme", "secret": value, "state": "open"}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let (status, body) = match head.starts_with("get /repos/a/b/secret-scanning/alerts/1 http/1.1") {
                _ if !head.contains("authorization: bearer github_pat_made_up") => (401, "{}"),
                true => (200, body.as_str()),
                false => (404, "{}"),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    port
}

/// GitHub's webhook has no value: with a token keyroll reads it, and the stored key acts.
#[test]
fn the_value_of_githubs_alert_is_read_from_its_api() {
    let scene = Scene::new();
    let value = scene.held("api/api.env");
    let port = github_api(&value);
    let table = format!(
        "\n[server]\nlisten = \"127.0.0.1:0\"\n[server.emergency]\nadmin_token = \"file:./admin-token\"\n[server.alerts]\n\
         github_token = \"file:./github.token\"\ngithub_api = \"http://127.0.0.1:{port}\"\n"
    );
    let config = std::fs::read_to_string(scene.path("keyroll.toml")).unwrap() + &table;
    std::fs::write(scene.path("keyroll.toml"), config).unwrap();
    let alert = |number: u64| {
        json!({"action": "created", "alert": {"number": number, "secret_type": "acme",
            "html_url": format!("https://github.example/a/b/security/{number}")}, "repository": {"full_name": "a/b"}})
    };
    // Without the token's file, with a wrong token, and of another alert: each waits for a person, and says why.
    for (token, number, why) in [
        (None, 3, "github.token"),
        (Some("wrong"), 4, "refuses the token"),
        (Some("github_pat_made_up"), 5, "no such alert"),
    ] {
        if let Some(token) = token {
            let _ = std::fs::remove_file(scene.path("github.token"));
            put(&scene.path("github.token"), &[token, "\n"], 0o600);
        }
        let ran = fed(&scene, "github", &alert(number).to_string());
        let row = ran.exits(0).of("incident")[0].clone();
        assert_eq!((&row["state"], &row["secret"]), (&json!("open"), &Value::Null), "{row}");
        assert!(row["why"].as_str().unwrap_or_default().contains(why), "{row}");
    }
    let document = Zeroizing::new(alert(1).to_string());
    let ran = scene.fed(&["incident", "open", "--from", "github", "--act"], &document);
    assert_eq!(ran.of("incident")[0]["secret"], "ring", "{}", ran.text());
    assert!(!ran.of("rotation").is_empty(), "{}", ran.text());
    assert!(!ran.text().contains(value.as_str()) && !ran.text().contains("github_pat_made_up"));
    assert_ne!(scene.holds("api/api.env").unwrap(), scene.old);
}

/// A source may repeat the value in an address or a name: neither the output nor a file has it.
#[test]
fn a_value_in_the_other_texts_of_an_alert_is_not_shown() {
    let scene = Scene::new();
    let (_, value) = scene.issuer.mint("somebody's own");
    let long = format!("https://log.example/{}?token={}", "x".repeat(270), value.as_str());
    let document = json!([
        {"type": format!("key {}", value.as_str()), "value": value.as_str(), "id": value.as_str(),
         "url": format!("https://log.example/?token={}", value.as_str()), "since": value.as_str()},
        // Where it is cut off, a part of the value would be left.
        {"type": "key", "value": value.as_str(), "url": long},
        {"type": "a\u{1b}[31mred\u{202e}", "text": "nothing"},
    ]);
    let ran = fed(&scene, "generic", &document.to_string());
    let rows = ran.exits(0).of("incident");
    assert_eq!(rows.len(), 2, "{}", ran.text());
    let listed = scene.run(&["incident", "list", "--all"]);
    let part = &value[..20];
    for text in [ran.text(), listed.text()] {
        assert!(!text.contains(part) && !text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
    }
    for path in crate::hostile::scene::files(&scene.state()) {
        let content = std::fs::read(&path).unwrap();
        assert!(!content.windows(part.len()).any(|window| window == part.as_bytes()), "{}", path.display());
    }
}

/// What has no value, or tells of nothing, or is no alert.
#[test]
fn an_alert_without_a_value_waits_for_a_person_and_what_is_no_alert_opens_nothing() {
    let scene = Scene::new();
    let location = json!({"action": "created", "alert": {"number": 1, "secret_type": "acme", "created_at": "2026-11-20T10:00:00Z",
        "html_url": "https://github.example/security/1"}, "location": {"type": "commit", "details": {"path": "a.env",
        "start_line": 3, "commit_sha": "46fbff9785d22d6860c45e7ad47b8a3b8cb2cc9d"}}, "repository": {"full_name": "a/b"}});
    let guardian = |action: &str| {
        json!({"source": "GitGuardian", "action": action, "incident": {"id": 7, "date": "2026-11-20T10:00:00Z",
            "detector": {"name": "acme", "display_name": "ACME key"}, "gitguardian_url": "https://gitguardian.example/7"},
            "occurrence": {"id": 8, "filepath": "b.env"}})
    };
    for (source, document, what) in
        [("github", &location, "acme"), ("gitguardian", &guardian("incident_triggered"), "ACME key")]
    {
        let ran = fed(&scene, source, &document.to_string());
        let row = ran.exits(0).of("incident")[0].clone();
        assert!(row["what"].as_str().unwrap().starts_with(what), "{row}");
        assert_eq!(row["state"], "open");
        let id = row["id"].as_str().unwrap();
        scene.run(&["incident", "assess", id, "--in", "api"]).exits(0).says(&["the alert has no value"]);
        scene.run(&["incident", "contain", id, "--roll-first"]).refused(1, "K0952", &["which key leaked"]);
        scene.run(&["incident", "close", id, "--because", "a test"]).exits(0);
    }
    for (source, document) in [
        ("github", json!({"zen": "Keep it logically awesome.", "hook_id": 1})),
        (
            "github",
            json!({"action": "resolved", "alert": {"number": 1, "secret_type": "acme", "html_url": "https://x.example"}}),
        ),
        ("gitguardian", guardian("incident_resolved")),
        (
            "gitguardian",
            json!({"type": "test", "matches": [{"type": "apikey", "match": "a-made-up-key-of-the-test"}]}),
        ),
        ("kingfisher", json!({"schema_version": "1", "summary": {"total": 0}, "findings": []})),
        ("gitleaks", json!([])),
        ("sarif", json!({"runs": [{"results": []}]})),
    ] {
        let ran = fed(&scene, source, &document.to_string());
        ran.exits(0).says(&["nothing was opened"]);
        assert!(ran.of("incident").is_empty(), "{source}");
    }
    let before = incidents(&scene, &["--all"]).len();
    for (source, document) in [
        ("github", "{".to_owned()),
        ("github", "[1]".to_owned()),
        ("gitlab", r#"[{"type":"x"}]"#.to_owned()),
        ("trufflehog", r#"{"canary-of-the-document":1}"#.to_owned()),
        ("sarif", r#"{"canary-of-the-document":[]}"#.to_owned()),
        ("generic", r#"{"value":"canary-of-the-document","more":1}"#.to_owned()),
        ("generic", "\"canary-of-the-document\"".to_owned()),
        ("generic", "canary-of-the-document".to_owned()),
        ("gitguardian", format!("{}canary-of-the-document", "[".repeat(100_000))),
    ] {
        let ran = fed(&scene, source, &document);
        ran.refused(2, "K0953", &[]);
        assert!(!ran.text().contains("canary-of-the-document"), "{source}: {}", ran.text());
    }
    assert_eq!(incidents(&scene, &["--all"]).len(), before);
}

/// Each source with its own proof of who sent it, by real curl.
#[test]
fn each_source_is_believed_by_its_own_proof() {
    let sent = Sent::start(1, "emergencies_per_day = 0");
    let value = sent.served.scene.held("api/api.env");
    let (pkcs8, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let pair = EcdsaKeyPair::generate_pkcs8(pkcs8, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(pkcs8, pair.as_ref()).unwrap();
    // A public key of P-256 as PEM: a fixed beginning, then the point.
    let begin = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let der = BASE64_STANDARD.encode([&begin, pair.public_key().as_ref()].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    let keys = json!({"public_keys": [{"key_identifier": "abc", "key": pem, "is_current": true}]});
    sent.served.put("github-keys.json", &keys.to_string());
    let mut before = 0;
    for (source, document) in documents(&value) {
        let body = document.as_bytes();
        let answer = match source {
            "github" if document.contains("\"token\"") => {
                let signature = BASE64_STANDARD.encode(pair.sign(&random, body).unwrap());
                let headers = [
                    "Github-Public-Key-Identifier: abc".to_owned(),
                    format!("Github-Public-Key-Signature: {signature}"),
                ];
                sent.post(source, &headers, body)
            }
            "github" => {
                sent.post(source, &[format!("X-Hub-Signature-256: {}", hex(b"github's secret", body))], body)
            }
            "gitlab" => sent.post("gitlab/revoke_tokens", &["@gitlab.header".to_owned()], body),
            "generic" => sent.signed_at(now_s(), body, &format!("msg_{before}")),
            _ => sent.with_token(source, body),
        };
        assert_eq!(answer.code, if source == "gitlab" { 204 } else { 202 }, "{source}: {answer:?}");
        let alerts = only(&sent.served.scene)["alerts"].as_u64().unwrap();
        assert!(alerts > before, "{source}");
        before = alerts;
    }
    let now = now_s().to_string();
    let body = json!({"action": "incident_triggered", "incident": {"id": 7, "detector": {"name": "acme"},
        "gitguardian_url": "https://gitguardian.example/7"}})
    .to_string();
    let signature = hex(format!("{now}gitguardian's secret").as_bytes(), body.as_bytes());
    let headers = [format!("Gitguardian-Signature: {signature}"), format!("Timestamp: {now}")];
    assert_eq!(sent.post("gitguardian", &headers, body.as_bytes()).code, 202);
    let types = sent.served.curl("/alerts/gitlab/revocable_token_types", &["-H", "@gitlab.header"], b"");
    assert_eq!((types.code, &types.body), (200, &json!({"types": ["gitleaks_rule_id_acme"]})));
    // A program that can be given only an address.
    let token = std::fs::read_to_string(sent.served.scene.path("ci.token")).unwrap();
    let login = BASE64_STANDARD.encode(format!("alerts:{}", token.trim()));
    let answer = sent.post("kingfisher", &[format!("Authorization: Basic {login}")], b"[]");
    assert_eq!(answer.code, 202, "{answer:?}");
    let rows: Vec<Value> = incidents(&sent.served.scene, &[]);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(sent.served.drivers().is_empty() && sent.served.scene.issuer.deletions().is_empty());
    assert!(
        rows.iter().any(|row| row["why"].as_str().unwrap_or_default().contains("emergencies_per_day = 0")),
        "{rows:#?}"
    );
    sent.served.nothing_leaked(&[&value]);
}
