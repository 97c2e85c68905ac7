//! Lists: complete, or reported as incomplete.

use std::collections::BTreeMap;

use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Class, Failure, Listing};
use serde_json::json;

use crate::fake::{self, Behaviour, Dialect, Odd};
use crate::harness::Harness;

/// The list that this one body makes.
async fn listed(body: &str) -> Result<Listing, Failure> {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    harness.fake.world().list_body = Some(body.to_owned());
    harness.issuer().list(&current).await
}

fn item(id: &str) -> serde_json::Value {
    json!({"id": id, "name": "n", "status": "active", "last_used_at": null, "preview": null})
}

#[tokio::test]
async fn all_pages_are_read() {
    for dialect in [Dialect::Acme, Dialect::OpenRouter, Dialect::SendGrid] {
        let mut harness = Harness::new(dialect).await;
        let current = harness.current().await;
        let listing = harness.issuer().list(&current).await.unwrap();
        assert!(listing.complete, "{dialect:?}");
        let names: Vec<_> = listing.entries.iter().filter_map(|entry| entry.label.as_deref()).collect();
        assert_eq!(names, ["ci", "old laptop", "keyroll/earlier/1", "in use", "batch"], "{dialect:?}");
    }
}

#[tokio::test]
async fn times_and_switches_are_read() {
    let used = json!({"id": 7, "name": null, "status": "disabled", "last_used_at": "2026-11-20T09:00:00.5Z"});
    let body = json!({"keys": [used, item("b")], "next": null}).to_string();
    let listing = listed(&body).await.unwrap();
    assert!(listing.complete);
    let entry = &listing.entries[0];
    assert_eq!((entry.id.as_str(), entry.disabled, entry.label.as_deref()), ("7", true, None));
    assert_eq!(entry.last_used_unix_ms, Some(1_795_165_200_500));
    assert_eq!(listing.entries[1].last_used_unix_ms, None);
}

#[tokio::test]
async fn an_odd_item_makes_the_list_less_than_whole() {
    let odd = [
        json!({"name": "no id", "status": "active"}),
        json!({"id": "", "name": "empty id", "status": "active"}),
        json!({"id": {"a": 1}, "name": "x", "status": "active"}),
        json!({"id": "a", "name": 5, "status": "active"}),
        json!({"id": "a", "name": "x", "status": true}),
        json!({"id": "a", "name": "x"}),
        json!({"id": "a", "name": "x", "status": "active", "last_used_at": "yesterday"}),
        json!({"id": "a", "name": "x", "status": "active", "last_used_at": -5}),
        json!("a"),
        json!(null),
    ];
    for odd in odd {
        let body = json!({"keys": [item("good"), odd], "next": null}).to_string();
        let listing = listed(&body).await.unwrap();
        assert!(!listing.complete, "{odd}");
        assert_eq!(listing.entries.len(), 1, "{odd}");
        assert!(listing.incomplete.is_some_and(|why| why.starts_with("its item 2: ")), "{odd}");
    }
    let used = json!({"id": "a", "name": "x", "status": "active", "last_used_at": "yesterday"});
    let listing = listed(&json!({"keys": [used], "next": null}).to_string()).await.unwrap();
    let why = "its item 1: what is at /last_used_at is no time of the form rfc3339";
    assert_eq!(listing.incomplete.as_deref(), Some(why));
    let twice = json!({"keys": [item("a"), item("a")], "next": null}).to_string();
    let listing = listed(&twice).await.unwrap();
    assert!(!listing.complete && listing.entries.len() == 1);
}

#[tokio::test]
async fn what_is_no_list_is_a_failure() {
    for body in [
        "{}",
        "[]",
        "{\"keys\":[],\"next\":null,\"keys\":[]}",
        "{\"keys\":{}}",
        "{\"keys\":\"all\"}",
        "{\"keys\":null}",
        "\"keys\"",
        "nonsense",
        "",
    ] {
        let failure = listed(body).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0105", Class::Retryable), "{body}");
    }
}

#[tokio::test]
async fn a_cursor_that_goes_nowhere_ends_the_reading() {
    let forever = json!({"keys": [item("a")], "next": "same"}).to_string();
    assert!(!listed(&forever).await.unwrap().complete);
    let odd = json!({"keys": [item("a")], "next": {"page": 2}}).to_string();
    assert!(!listed(&odd).await.unwrap().complete);
    for end in [json!(null), json!("")] {
        let body = json!({"keys": [item("a")], "next": end}).to_string();
        assert!(listed(&body).await.unwrap().complete);
    }
}

/// The second page never comes: the list has the first page, and is incomplete.
#[tokio::test]
async fn half_a_list_is_told_as_half() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    for odd in [Odd::Status(503), Odd::Status(429), Odd::HalfBody, Odd::HtmlWith(200)] {
        harness.fake.world().mood = Behaviour::Fair;
        harness.fake.world().fail_after = Some((1, odd));
        let listing = harness.issuer().list(&current).await.unwrap();
        assert!(!listing.complete, "{odd:?}");
        assert_eq!(listing.entries.len(), 2, "{odd:?}");
    }
}

#[tokio::test]
async fn a_label_that_holds_the_value_is_not_shown() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    {
        let mut world = harness.fake.world();
        let value = world.keys[3].value.clone();
        world.keys[0].name = format!("key {value}");
    }
    let listing = harness.issuer().list(&current).await.unwrap();
    assert!(!listing.complete && listing.entries.len() == 4);
}

#[tokio::test]
async fn pages_by_number_and_by_flag() {
    let numbered = |text: String| {
        let cursor = "page = { kind = \"cursor\", next = \"/next\", query = \"after\" }";
        assert!(text.contains(cursor));
        text.replace(cursor, "page = { kind = \"number\", query = \"p\", first = 0 }")
    };
    let mut harness = Harness::edited(Dialect::Acme, numbered).await;
    let current = harness.current().await;
    harness.fake.world().list_body = Some(json!({"keys": []}).to_string());
    assert!(harness.issuer().list(&current).await.unwrap().complete);
    let asked: Vec<BTreeMap<String, String>> =
        harness.fake.world().seen.iter().map(|seen| seen.query.clone()).collect();
    assert_eq!(asked.last().unwrap()["p"], "0");
    assert_eq!(asked.last().unwrap()["limit"], "100", "the spec's own query stays");

    let flagged = |text: String| text.replace("next = \"/next\",", "next = \"/next\", more = \"/more\",");
    let mut harness = Harness::edited(Dialect::Acme, flagged).await;
    let current = harness.current().await;
    let cases = [
        (json!({"keys": [], "more": false, "next": "x"}), true),
        (json!({"keys": [], "more": true, "next": null}), false),
        (json!({"keys": [], "more": "no", "next": null}), false),
        (json!({"keys": [], "next": null}), false),
    ];
    for (body, whole) in cases {
        harness.fake.world().list_body = Some(body.to_string());
        assert_eq!(harness.issuer().list(&current).await.unwrap().complete, whole, "{body}");
    }
}

#[tokio::test]
async fn pages_by_link_stay_on_their_host_and_path() {
    let linked = |text: String| {
        text.replace(
            "page = { kind = \"cursor\", next = \"/next\", query = \"after\" }",
            "page = { kind = \"link\" }",
        )
    };
    let elsewhere = fake::Fake::start(Dialect::Acme).await;
    let mut harness = Harness::edited(Dialect::Acme, linked).await;
    let current = harness.current().await;
    let here = harness.fake.address;
    // The link, whether the list is whole, how many keys are on it: three stand on the first page, two on the next.
    let cases = [
        (format!("<http://{here}/v1/keys?after=3&limit=2>; rel=\"next\""), true, 5),
        ("</v1/keys?after=3>; rel=\"prev\", </v1/keys?after=3>; rel=next".to_owned(), true, 5),
        ("</v1/keys?after=3>; rel=\"prev\"".to_owned(), true, 3),
        (format!("<http://{}/v1/keys?after=3>; rel=\"next\"", elsewhere.address), false, 3),
        (format!("<http://{here}/v1/other?after=3>; rel=\"next\""), false, 3),
        (format!("<http://user@{here}/v1/keys?after=3>; rel=\"next\""), false, 3),
        ("</v1/keys?after=3#x>; rel=\"next\"".to_owned(), false, 3),
        ("<//elsewhere.example/v1/keys?after=3>; rel=\"next\"".to_owned(), false, 3),
    ];
    for (link, whole, count) in cases {
        harness.fake.world().link_once = Some(link.clone());
        harness.fake.world().page = 3;
        let listing = harness.issuer().list(&current).await.unwrap();
        assert_eq!((listing.complete, listing.entries.len()), (whole, count), "{link}");
    }
    assert_eq!(elsewhere.world().connections, 0);
}

/// Nothing shows an issuer's time as a whole number of seconds for sure.
#[tokio::test]
async fn a_time_in_seconds_with_a_part_is_read() {
    let seconds = |text: String| {
        let form = "form = \"rfc3339\"";
        assert!(text.contains(form));
        text.replace(form, "form = \"unix-s\"")
    };
    let mut harness = Harness::edited(Dialect::Acme, seconds).await;
    let current = harness.current().await;
    let used = json!({"id": "a", "name": "n", "status": "active", "last_used_at": 1_795_165_200.5});
    harness.fake.world().list_body = Some(json!({"keys": [used], "next": null}).to_string());
    let listing = harness.issuer().list(&current).await.unwrap();
    assert_eq!((listing.complete, listing.incomplete), (true, None));
    assert_eq!(listing.entries[0].last_used_unix_ms, Some(1_795_165_200_500));
}

/// What waits for a complete list would wait in vain: a plan names the item, and the place in it.
#[tokio::test]
async fn an_item_that_cannot_be_read_is_named_before_anything_is_made() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let used = json!({"id": "a", "name": "n", "status": "active", "last_used_at": "yesterday"});
    harness.fake.world().list_body = Some(json!({"keys": [item("b"), used], "next": null}).to_string());
    let notes = harness.issuer().preflight(&current).await.unwrap();
    let why = "its item 2: what is at /last_used_at is no time of the form rfc3339";
    assert!(notes.iter().any(|note| note.contains("list is incomplete") && note.ends_with(why)), "{notes:?}");
}
