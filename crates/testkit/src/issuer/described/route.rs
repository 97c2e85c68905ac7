//! Which operation of a spec a request is, and what stands for the placeholders in it.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use serde_json::{Value, json};

use super::super::mark::percent_decoded;
use super::super::request::Request;
use super::spot;
use super::template::{Slots, meets};

/// What every setting that a new key copies has.
const COPIED: &str = "copied";

/// What is asked for, and what stands for the placeholders of its request.
pub(in super::super) struct Asked<'a> {
    pub(in super::super) op: &'static str,
    pub(in super::super) form: &'a Value,
    pub(super) slots: Slots,
}

impl Asked<'_> {
    /// A placeholder's text.
    pub(in super::super) fn text(&self, slot: &str) -> Option<&str> {
        self.slots.get(slot)?.as_str()
    }

    /// Every setting that the new key copies is as it was told.
    pub(in super::super) fn copies_all(&self) -> bool {
        let mut copies = self.slots.iter().filter(|(slot, _)| slot.starts_with("{copy."));
        copies.all(|(slot, sent)| *sent == copied(slot.trim_start_matches("{copy.").trim_end_matches('}')))
    }

    /// Whether it is asked for with the credential itself.
    pub(in super::super) fn is_own(&self) -> bool {
        self.form["as"] == "self"
    }
}

pub(super) fn copied(name: &str) -> Value {
    json!(format!("{COPIED} {name}"))
}

/// What the placeholders of an operation's request stand for, where a request is one. A credential in it was not kept:
/// its placeholder stands for nothing.
pub(super) fn route(wanted: &Value, request: &Request) -> Option<Slots> {
    let path: Vec<&str> = spot::path(wanted).split('/').collect();
    let there: Vec<&str> = request.path.split('/').collect();
    if wanted["method"].as_str()? != request.method || path.len() != there.len() {
        return None;
    }
    let mut slots = Slots::new();
    let of_path = path.iter().zip(there).all(|(part, sent)| {
        let sent = percent_decoded(sent);
        meets(&json!(part), &json!(sent), &mut slots)
    });
    let queries = json!(request.queries());
    let body = request.body.clone().unwrap_or_default();
    let mut parts =
        [(&wanted["query"], &queries), (&wanted["json"], &body), (&wanted["form"], &body)].into_iter();
    let rest = parts.all(|(template, sent)| template.is_null() || meets(template, sent, &mut slots));
    (of_path && rest).then_some(slots)
}

#[cfg(test)]
mod tests {
    use super::super::super::digest::Digests;
    use super::super::super::mark::{Mark, Place};
    use super::super::super::request::Reading;
    use super::*;

    fn read(marks: &[Mark], digests: &Digests, text: &str) -> Request {
        let mut reading = Reading::new(digests, marks);
        let whole = text.bytes().fold(None, |_, byte| reading.take(byte));
        assert_eq!(whole, Some(true), "{text}");
        reading.request()
    }

    fn post(marks: &[Mark], digests: &Digests, path: &str, body: &str) -> Request {
        let length = body.len();
        read(marks, digests, &format!("POST {path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    #[test]
    fn a_request_is_routed_without_the_credentials_in_it() {
        let (digests, value) = (Digests::default(), "12:a_b");
        let places = [
            (Place::Path, "POST /bot"),
            (Place::Form, "secret="),
            (Place::Json, "\"secret\":\""),
            (Place::Query, "key="),
        ];
        let marks = places.map(|(place, before)| Mark::new(place, before, ""));
        let url = |path: &str| format!("https://api.acme.example{path}");
        let cases = [
            (json!({ "url": url("/bot{cred.value}/getMe") }), "/bot12%3Aa_b/getMe", ""),
            (
                json!({ "url": url("/t"), "form": { "secret": "{cred.value}" } }),
                "/t",
                "a=b%20c&secret=12%3Aa_b",
            ),
            (
                json!({ "url": url("/t"), "json": { "in": { "secret": "{cred.value}" } } }),
                "/t",
                "{\"in\":{\"secret\":\"12:a_b\"}}",
            ),
            (json!({ "url": url("/t"), "query": { "key": "{cred.value}" } }), "/t?a=1&key=12:a_b", ""),
        ];
        for (mut wanted, path, body) in cases {
            wanted["method"] = json!("POST");
            let request = post(&marks, &digests, path, body);
            assert_eq!(request.digests, [digests.of(value.as_bytes())], "{path} {body}");
            let kept = format!("{} {} {:?}", request.path, request.query, request.body);
            assert!(!kept.contains("a_b"), "{kept}");
            assert!(route(&wanted, &request).is_some(), "{path} {body}");
            wanted["url"] = json!(url("/other"));
            assert!(route(&wanted, &request).is_none(), "{path} {body}");
        }
        let other = post(&marks, &digests, "/t", "my_secret=12%3Aa_b");
        assert_eq!((other.digests.len(), &other.body), (0, &Some(json!({ "my_secret": value }))));
    }

    #[test]
    fn an_id_is_found_in_a_segment_with_other_text_and_must_be_the_same_everywhere() {
        let wanted = json!({
            "method": "POST", "url": "https://api.acme.example/v1/{current.account}/keys/{cred.id}:disable",
            "json": { "account": "{current.account}" },
        });
        let post = |path: &str, account: &str| {
            post(&[], &Digests::default(), path, &json!({ "account": account }).to_string())
        };
        let slots = route(&wanted, &post("/v1/a%40b/keys/key_1:disable", "a@b")).unwrap();
        assert_eq!((&slots["{cred.id}"], &slots["{current.account}"]), (&json!("key_1"), &json!("a@b")));
        assert!(route(&wanted, &post("/v1/a%40b/keys/key_1:enable", "a@b")).is_none());
        assert!(route(&wanted, &post("/v1/a%40b/keys/key_1:disable", "another")).is_none());
    }

    #[test]
    fn a_header_has_a_user_and_a_password_and_one_mark_may_begin_with_another() {
        let digests = Digests::default();
        let marks = [
            Mark::new(Place::Basic, "Authorization: Basic ", ""),
            Mark::new(Place::Header, "Authorization: ", ""),
            Mark::new(Place::Header, "Authorization: Bearer ", ""),
            Mark::new(Place::Header, "X-Key: a ", "!"),
        ];
        let of = |lines: &str| read(&marks, &digests, &format!("GET /t HTTP/1.1\r\n{lines}\r\n\r\n")).digests;
        let has = |lines: &str, text: &str| of(lines).contains(&digests.of(text.as_bytes()));
        // The Base64 of `ann:s3cret:x`.
        let basic = "authorization: Basic YW5uOnMzY3JldDp4";
        assert!(has(basic, "ann") && has(basic, "s3cret:x") && has(basic, "YW5uOnMzY3JldDp4"));
        assert!(!has(basic, "ann:s3cret") && !has(basic, "x"));
        assert!(
            has("Authorization: Bearer t0ken", "t0ken") && has("Authorization: Bearer t0ken", "Bearer t0ken")
        );
        assert!(has("Authorization: t0ken", "t0ken"));
        assert!(has("x-key: a t0ken!more", "t0ken") && of("x-key: t0ken").is_empty());
    }
}
