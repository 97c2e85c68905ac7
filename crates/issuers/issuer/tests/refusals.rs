//! The record of refused uses: read completely or not used, from the mark on, and for one key only.

use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Class, Failure, RefusalLog, RefusedUse};
use keyroll_secret::Credential;
use serde_json::{Value, json};

use crate::fake::{Behaviour, Dialect, Odd, Refused};
use crate::harness::{self, Harness};

/// A harness, its credential, and the mark of now.
async fn marked(edit: impl Fn(String) -> String + Send + Sync + 'static) -> (Harness, Credential, String) {
    let mut harness = Harness::edited(Dialect::Acme, edit).await;
    let current = harness.current().await;
    let mark = harness.issuer().mark_refusals(&current).await.unwrap();
    (harness, current, mark)
}

async fn plain() -> (Harness, Credential, String) {
    marked(|text| text).await
}

/// The result of one response body.
async fn shown(body: &Value) -> Result<Vec<RefusedUse>, Failure> {
    let (harness, current, mark) = plain().await;
    harness.fake.world().refused_body = Some(body.to_string());
    harness.issuer().refusals(&current, &mark).await
}

/// Writes a refused use of the key into the record.
fn write(harness: &Harness, current: &Credential, at: u64) {
    let mut world = harness.fake.world();
    let id = format!("w{}", world.refused.len());
    let key = current.id.as_ref().unwrap().as_str().to_owned();
    let client = "203.0.113.7:4000".parse().unwrap();
    world.refused.push(Refused { id, key, at, client, agent: Some("report/2".to_owned()) });
}

#[tokio::test]
async fn it_is_told_who_it_was() {
    let entry = |client: Value, agent: Value| json!({"refusals": [{"id": "a", "at": 2_000_000, "client": client, "agent": agent}], "next": null});
    let one = |client: Option<&str>, told: Option<&str>| {
        vec![RefusedUse { client: client.map(|it| it.parse().unwrap()), told: told.map(str::to_owned) }]
    };
    let cases = [
        (json!("203.0.113.7:4000"), json!("curl/8"), one(Some("203.0.113.7:4000"), Some("curl/8"))),
        (json!("[2001:db8::1]:4000"), json!(null), one(Some("[2001:db8::1]:4000"), None)),
        (json!("203.0.113.7"), json!("curl/8"), one(None, Some("203.0.113.7, curl/8"))),
        (json!(null), json!("a\u{1b}[2Jb\n"), one(None, Some("a[2Jb"))),
        (json!(null), json!(null), one(None, None)),
    ];
    for (client, agent, expected) in cases {
        assert_eq!(shown(&entry(client, agent)).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn what_was_not_read_whole_is_never_none() {
    for odd in [Odd::Status(503), Odd::Status(429), Odd::HalfBody, Odd::HtmlWith(200)] {
        let (harness, current, mark) = plain().await;
        for _ in 0..3 {
            write(&harness, &current, 1_500_000);
        }
        harness.fake.world().mood = Behaviour::Fair;
        harness.fake.world().fail_after = Some((1, odd));
        let failure = harness.issuer().refusals(&current, &mark).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0116", Class::Retryable), "{odd:?}");
    }
    let entries = [
        json!({"id": "a", "at": "soon", "client": null, "agent": null}),
        json!({"id": "a", "at": -5, "client": null, "agent": null}),
        json!({"id": {"a": 1}, "at": 2_000_000, "client": null, "agent": null}),
        json!({"at": 2_000_000, "client": null, "agent": null}),
        json!({"id": "a", "at": 2_000_000, "client": 7, "agent": null}),
        json!({"id": "a", "at": 2_000_000, "client": null, "agent": ["x"]}),
        json!("a"),
        json!(null),
    ];
    for entry in entries {
        let failure = shown(&json!({"refusals": [entry], "next": null})).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0116", Class::Retryable), "{entry}");
    }
    for body in [json!({}), json!([]), json!({"refusals": {}}), json!({"refusals": null}), json!("none")] {
        let failure = shown(&body).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0105", Class::Retryable), "{body}");
    }
    let forever = json!({"refusals": [], "next": "same"});
    assert_eq!(shown(&forever).await.unwrap_err().code, "K0116");
}

#[tokio::test]
async fn an_entry_that_appears_late_is_judged_by_its_time() {
    let late = |text: String| {
        let lag = "lag = \"0s\"                           # how late a refused call";
        assert!(text.contains(lag));
        text.replace(lag, "lag = \"5m\" # ")
    };
    let (harness, current, mark) = marked(late).await;
    let now = harness.fake.world().now;
    // The use was refused long before the key was disabled, and appears only now.
    write(&harness, &current, now - 60_000);
    assert!(harness.issuer().refusals(&current, &mark).await.unwrap().is_empty());
    // Within the second of the mark the order is unknown, so the use counts.
    write(&harness, &current, now - 500);
    write(&harness, &current, now + 1);
    assert_eq!(harness.issuer().refusals(&current, &mark).await.unwrap().len(), 2);
}

#[tokio::test]
async fn another_driver_counts_from_the_same_mark() {
    let (harness, current, mark) = plain().await;
    let now = harness.fake.world().now;
    write(&harness, &current, now + 1);
    // A new process, which knows nothing of the first.
    let text = harness::spec_text(Dialect::Acme, harness.fake.address);
    let admin = harness.fake.world().admin.clone().into();
    let spec = keyroll_issuer::Spec::parse(&text, "again.toml").unwrap();
    let later: Box<dyn keyroll_port::Issuer> = Box::new(keyroll_issuer::Runner::new(spec, Some(admin)));
    assert_eq!(later.refusals(&current, &mark).await.unwrap().len(), 1);
    let failure = later.refusals(&current, "no mark").await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0116", Class::Permanent));
}

/// A record of all keys, whose entries name the key.
#[tokio::test]
async fn an_entry_of_another_key_does_not_count() {
    let of = |key: Value| json!({"id": "a", "at": 2_000_000, "client": null, "agent": null, "key": key});
    for names in ["id", "hint"] {
        let keyed = move |text: String| {
            let url = "keys/{cred.id}/refusals";
            assert!(text.contains(url));
            text.replace(
                "[last_used] ",
                &format!("[op.refusals.key]\nat = \"/key\"\nnames = \"{names}\"\n[last_used] "),
            )
        };
        let (harness, current, mark) = marked(keyed).await;
        let (_, value) = current.fields.secrets().next().unwrap();
        let value = String::from_utf8(value.expose().to_vec()).unwrap();
        let id = current.id.as_ref().unwrap().as_str().to_owned();
        let ours = if names == "id" { id } else { format!("{}…{}", &value[..7], &value[33..]) };
        let cases = [
            (json!(ours), Ok(1)),
            (json!("other…zzzz"), Ok(0)),
            (json!(null), Ok(0)),
            (json!({}), Err("K0116")),
        ];
        for (key, expected) in cases {
            let body = json!({"refusals": [of(key.clone())], "next": null});
            harness.fake.world().refused_body = Some(body.to_string());
            let seen = harness.issuer().refusals(&current, &mark).await;
            assert_eq!(
                seen.map(|seen| seen.len()).map_err(|failure| failure.code.as_str()),
                expected,
                "{names} {key}"
            );
        }
    }
}

/// keyroll prints the issuer's description of a client, but not a value in it.
#[tokio::test]
async fn an_entry_that_holds_the_value_is_not_shown() {
    let (harness, current, mark) = plain().await;
    let (_, value) = current.fields.secrets().next().unwrap();
    let value = String::from_utf8(value.expose().to_vec()).unwrap();
    let entry = json!({"id": "a", "at": 2_000_000, "client": null, "agent": format!("k={value}")});
    harness.fake.world().refused_body = Some(json!({"refusals": [entry], "next": null}).to_string());
    let failure = harness.issuer().refusals(&current, &mark).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0116");
    assert!(!format!("{failure:?}").contains(&value));
}

#[tokio::test]
async fn a_record_that_may_not_be_read_is_not_visible() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let read = RefusalLog::Read { place: "the log of Acme API key".to_owned(), lag_ms: 0 };
    assert_eq!(harness.issuer().sees_refusals(&current).await, read);
    harness.fake.world().refused_body = Some("{\"error\":\"later\"}".to_owned());
    assert!(matches!(harness.issuer().sees_refusals(&current).await, RefusalLog::NotVisible { .. }));
    harness.fake.world().admin = "another".to_owned();
    let RefusalLog::NotVisible { why, .. } = harness.issuer().sees_refusals(&current).await else { panic!() };
    assert!(why.contains("status 401"), "{why}");
    let mut without = Harness::new(Dialect::SendGrid).await;
    let current = without.current().await;
    assert_eq!(without.issuer().sees_refusals(&current).await, RefusalLog::None);
}
