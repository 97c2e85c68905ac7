//! An issuer of the kind that a spec describes: its paths, bodies and pages are read from the spec itself. What is tested
//! with it is that a rotation by this spec goes well, not the vendor's facts: those are cited in the spec.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

mod admin;
mod body;
mod made;
mod page;
mod route;
mod spot;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub(super) use admin::Admin;
use body::{JsonResponse, copies, encoded, error, flag, put, shaped};
pub(super) use made::{Made, escaped, filled};
use page::{START, is_whole, next_page};
pub(super) use route::Asked;
use route::route as routed;
use spot::{Spot, of_caller, of_request};
use template::{PLAIN, Piece, Slots, fill, meets_text, pieces};

use super::digest::Digests;
use super::mark::{Mark, Place};
use super::request::Request;
use super::{Ask, Key};

/// What stands for a value until it is written, so that no buffer of a serializer is left with it.
pub(super) const HERE: &str = "@value@";

/// A secret longer than this is made as short as its spec allows.
const LENGTH_MAX: u64 = 128;

/// The longest that a request may take.
const REQUEST_MAX: &str = "5s";

/// How long an old value works beside the new one, where the issuer ends it by itself: long enough for a scene's roll.
const GRACE_S: u64 = 60;

/// How long an admin's token works, seconds.
const TOKEN_S: u64 = 3_600;

/// How a service calls whose key is not the end of one header: in a way that the spec does not have.
const SERVICE_PATH: &str = "/v1/me";
const SERVICE_HEADER: &str = "X-Service-Key: ";

/// A spec, as the issuer that it describes reads it.
pub struct Described {
    spec: Value,
}

impl Described {
    /// Reads a spec.
    ///
    /// # Panics
    /// If it is none.
    #[allow(clippy::expect_used, reason = "a test without its issuer cannot go on")]
    pub fn read(text: &str) -> Self {
        Self { spec: toml::from_str(text).expect("a spec") }
    }

    /// The text of a spec, pointed at a port of the loopback address, with this much time for births and deaths, and with
    /// the grace of this issuer. All its hosts are this one.
    pub fn pointed_at(text: &str, port: u16, spread: &str) -> String {
        let spec = Self::read(text).spec;
        // A console, or a source of a fact, may be at the same host: it stays where it is.
        let (head, rest) = text.split_once("[auth.").unwrap_or((text, ""));
        let sources = rest.find("\n[provenance]").filter(|at| rest.rfind("\n[") == Some(*at));
        let (rest, end) = rest.split_at(sources.unwrap_or(rest.len()));
        let (mut head, mut rest) = (head.to_owned(), rest.to_owned());
        for caller in ["admin", "self"] {
            for host in spec["auth"][caller]["hosts"].as_array().into_iter().flatten() {
                let host = host.as_str().unwrap_or_default();
                // Only where requests go: a scope or an audience may name the same host.
                let to = format!("url = \"http://127.0.0.1:{port}/");
                rest = rest.replace(&format!("url = \"https://{host}/"), &to);
                rest = rest.replace(&format!("\"{host}\""), &format!("\"127.0.0.1:{port}\""));
            }
        }
        let mut set = |name: &str, was: &Value, is: &str| {
            let was = format!("{name} = \"{}\"", was.as_str().unwrap_or_default());
            for part in [&mut head, &mut rest] {
                *part = part.replace(&was, &format!("{name} = \"{is}\""));
            }
        };
        for name in ["birth_max", "death_max"] {
            set(name, &spec["propagation"][name], spread);
        }
        set("grace", &spec["overlap"]["grace"], &format!("{GRACE_S}s"));
        format!("{head}[auth.{rest}{end}\n[limits]\nrequest_max = \"{REQUEST_MAX}\"\n")
    }

    /// Whether whole rotations by it can be played with this issuer.
    pub fn rotates_here(&self) -> bool {
        let hmac = &self.spec["auth"]["self"]["hmac"];
        let timed = hmac["text"].as_str().is_some_and(|text| text.contains("{time}"));
        // A service's file has one variable, which is one field.
        let one_secret = self.fields().iter().filter(|(_, secret)| *secret).count() == 1;
        // Of a value that keyroll chose only a digest is ever here, and with a digest no HMAC is computed.
        let computes = hmac.is_null() || self.spec["minted_by"] != "us";
        // The time of a signature is read from a header that has nothing secret.
        one_secret && computes && (!timed || self.time_header().is_some())
    }

    /// Whether a person makes its keys.
    pub fn by_hand(&self) -> bool {
        self.spec["minted_by"] == "human"
    }

    /// Whether its API ends a key; else that is a person's step, or comes by itself after the grace.
    pub fn revokes(&self) -> bool {
        self.spec["op"].get("revoke").is_some() && self.grace().is_none()
    }

    /// Whether a key whose mint was not answered is found: by its label, or because keyroll chose its value.
    pub fn finds_a_lost_mint(&self) -> bool {
        let labelled = self.spec["op"]["list"].get("label").is_some();
        self.grace().is_none() && (labelled || self.spec["minted_by"] != "api")
    }

    /// Whether it has one value at a time.
    pub fn one_value(&self) -> bool {
        self.spec["overlap"]["kind"] == "none"
    }

    /// Whether an admin's credential is needed.
    pub fn needs_admin(&self) -> bool {
        self.spec["auth"].get("admin").is_some()
    }

    /// The fields of a credential, each with whether it is secret.
    pub fn fields(&self) -> Vec<(&str, bool)> {
        let all = self.spec["fields"].as_object().into_iter().flatten();
        all.map(|(name, form)| (name.as_str(), form["secret"] != json!(false))).collect()
    }

    /// The id of a value, if it is a document that contains its id.
    pub(super) fn id_in(&self, value: &str) -> Option<String> {
        made::id_in(&self.spec, value)
    }

    /// What a field has that is no secret: the id of the credential, where that is its place.
    pub fn public<'a>(&'a self, field: &str, id: &'a str) -> &'a str {
        if self.spec["id_in"] == format!("{{cred.{field}}}") { id } else { PLAIN }
    }

    /// How long an old value still works after a new one was made, where the issuer ends it by itself.
    pub fn grace(&self) -> Option<Duration> {
        (self.spec["overlap"]["kind"] == "grace").then(|| Duration::from_secs(GRACE_S))
    }

    /// Whether a value has several lines, so that no variable and no header can carry it.
    pub fn is_document(&self) -> bool {
        self.form()["form"].as_str().is_some_and(|form| form != "text")
    }

    /// How a service calls with its key: the path, and the header up to the value. Where that is Basic
    /// authentication, the user stands behind `basic:`.
    pub fn call(&self) -> (String, String) {
        let is_secret = |slot: &str| self.is_secret(slot);
        let request = &self.spec["op"]["verify"]["request"];
        let value = [Piece::Slot(format!("{{cred.{}}}", self.secret()))];
        let spots = of_caller(&self.spec["auth"]["self"], &is_secret);
        let header = match spots.as_slice() {
            [spot] if spot.shown == value && spot.mark.is_basic() => Some(format!("basic:{PLAIN}")),
            [spot] if spot.shown == value => spot.mark.header(),
            _ => None,
        };
        let reads = request["method"] == "GET" && of_request(request, &is_secret).is_empty();
        let Some(header) = header.filter(|_| reads && !self.is_document()) else {
            return (SERVICE_PATH.to_owned(), SERVICE_HEADER.to_owned());
        };
        let plain = |text: &str| encoded(&fill(&pieces(text), &BTreeMap::new()));
        let query = request["query"].as_object().into_iter().flatten();
        let query: Vec<String> = query
            .filter_map(|(name, text)| Some(format!("{}={}", encoded(name), plain(text.as_str()?))))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        (format!("{}{query}", plain(spot::path(request))), header)
    }

    /// Whether a placeholder is a credential, or made of one.
    fn is_secret(&self, slot: &str) -> bool {
        let name = slot.trim_matches(['{', '}']).split('/').next().unwrap_or_default();
        let field = name.strip_prefix("cred.").and_then(|name| self.spec["fields"].get(name));
        matches!(name, "admin" | "token" | "jwt" | "hmac")
            || field.is_some_and(|form| form["secret"] != json!(false))
    }

    /// Where credentials are in its requests.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let is_secret = |slot: &str| self.is_secret(slot);
        let auth = &self.spec["auth"];
        let exchange = &auth["admin"]["token"];
        let mut spots: Vec<Spot> = Vec::new();
        for caller in [&auth["admin"], &auth["self"], exchange] {
            spots.extend(of_caller(caller, &is_secret));
        }
        let operations = self.spec["op"].as_object().into_iter().flatten();
        for request in operations.map(|(_, form)| &form["request"]).chain([&exchange["request"]]) {
            spots.extend(of_request(request, &is_secret));
        }
        let mut marks = vec![Mark::new(Place::Header, SERVICE_HEADER, "")];
        for Spot { mark, .. } in spots {
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
        marks
    }

    /// A credential for its admin, and how the admin is known by it.
    pub(super) fn admin(&self, digests: &Digests) -> (Zeroizing<String>, Admin) {
        admin::issued(&self.spec, &|slot| self.is_secret(slot), digests)
    }

    /// Whether a request asks for a token in exchange for the admin's credential.
    pub(super) fn exchanges(&self, request: &Request) -> bool {
        let exchange = self.spec["auth"]["admin"].get("token");
        exchange.is_some_and(|exchange| routed(&exchange["request"], request).is_some())
    }

    /// The answer that has a token.
    pub(super) fn token(&self, token: &str) -> JsonResponse {
        let exchange = &self.spec["auth"]["admin"]["token"];
        let (status, mut body) = shaped(&exchange["ok"]);
        put(&mut body, exchange["take"].as_str().unwrap_or_default(), json!(token));
        if let Some(lasts) = exchange["lasts"].as_str() {
            put(&mut body, lasts, json!(TOKEN_S));
        }
        (status, body)
    }

    /// The header that has the time of an HMAC, with its template.
    fn time_header(&self) -> Option<(&str, &str)> {
        let headers = self.spec["auth"]["self"]["header"].as_object().into_iter().flatten();
        let mut texts = headers.filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)));
        texts.find(|(_, text)| {
            let secret = |piece: &Piece| matches!(piece, Piece::Slot(slot) if self.is_secret(slot));
            let pieces = pieces(text);
            pieces.contains(&Piece::Slot("{time}".to_owned())) && !pieces.iter().any(secret)
        })
    }

    /// The HMAC that a request must show.
    pub(super) fn hmac(&self, key: &hmac::Key, request: &Request) -> Option<String> {
        let form = &self.spec["auth"]["self"]["hmac"];
        let time = || {
            let (name, template) = self.time_header()?;
            let mut slots = Slots::new();
            meets_text(template, &request.header(name)?, &mut slots).then_some(())?;
            slots.get("{time}")?.as_str().map(str::to_owned)
        };
        let values = time().map(|time| ("{time}".to_owned(), time)).into_iter().collect();
        let tag = hmac::sign(key, fill(&pieces(form["text"].as_str()?), &values).as_bytes());
        Some(match form["form"].as_str() {
            Some("base64") => STANDARD.encode(tag.as_ref()),
            Some(_) | None => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// The name of the field that is secret.
    fn secret(&self) -> &str {
        self.fields().into_iter().find(|(_, secret)| *secret).map_or("value", |(name, _)| name)
    }

    fn form(&self) -> &Value {
        &self.spec["fields"][self.secret()]
    }

    fn prefix(&self) -> &str {
        self.form()["prefix"].as_str().unwrap_or_default()
    }

    /// A value of the form that the spec declares.
    pub(super) fn value(&self) -> Made {
        made::made(&self.spec, self.secret())
    }

    /// How a list shows a value.
    pub(super) fn hint(&self, value: &str) -> String {
        let start = value.get(..self.prefix().len() + 3).unwrap_or_default();
        let end = value.get(value.len().saturating_sub(4)..).unwrap_or_default();
        format!("{start}...{end}")
    }

    /// What a request of the admin, or of a key, asks for.
    pub(super) fn asks(&self, request: &Request, admin: bool) -> Option<Ask> {
        if !admin && self.is_call(request) {
            return Some(Ask::Me);
        }
        Some(match self.asked(request).filter(|asked| admin || asked.is_own())?.op {
            "mint" => Ask::Mint,
            "list" => Ask::List,
            "disable" => Ask::Disable,
            "enable" => Ask::Enable,
            "revoke" => Ask::Delete,
            _ => return None,
        })
    }

    pub(super) fn asked(&self, request: &Request) -> Option<Asked<'_>> {
        ["get", "mint", "list", "disable", "enable", "revoke", "rights"].into_iter().find_map(|op| {
            let form = self.spec["op"].get(op)?;
            Some(Asked { op, form, slots: routed(&form["request"], request)? })
        })
    }

    /// What a key asks for beside whose it is.
    pub(super) fn asked_by_key(&self, request: &Request) -> Option<Asked<'_>> {
        self.asked(request).filter(|asked| asked.is_own() && !self.is_call(request))
    }

    fn is_call(&self, request: &Request) -> bool {
        let op = |name: &&str| {
            self.spec["op"].get(*name).is_some_and(|form| routed(&form["request"], request).is_some())
        };
        ["verify", "identify"].iter().any(op)
    }

    /// To a key: whose it is, or that it is dead.
    pub(super) fn me(&self, request: &Request, living: Option<&str>) -> JsonResponse {
        let op = &self.spec["op"];
        if !self.is_call(request) {
            let known = self.asked(request).is_some() || self.exchanges(request);
            return match (request.path.as_str(), living) {
                (SERVICE_PATH, Some(_)) => (200, json!({})),
                (SERVICE_PATH, None) => error(401),
                _ => error(if known { 401 } else { 404 }),
            };
        }
        let Some(id) = living else { return shaped(&op["verify"]["dead"]) };
        let (status, mut body) = shaped(&op["verify"]["alive"]);
        for (at, told) in [("principal", "acct_1".to_owned()), ("id", self.told(id))] {
            if let Some(pointer) = op["identify"][at].as_str() {
                put(&mut body, pointer, json!(told));
            }
        }
        // The settings of a key may be read in the same call.
        if op["get"]["as"] == "self" && routed(&op["get"]["request"], request).is_some() {
            copies(&op["get"], &mut body);
        }
        (status, body)
    }

    /// An id as answers have it.
    fn told(&self, id: &str) -> String {
        match self.spec["id_form"].as_str() {
            Some("last-segment") => format!("accounts/{PLAIN}/keys/{id}"),
            Some(_) | None => id.to_owned(),
        }
    }

    /// The settings of a key.
    pub(super) fn settings(&self, asked: &Asked<'_>, keys: &[Key]) -> JsonResponse {
        let is_there = |id: &str| keys.iter().any(|key| key.id == id && !key.deleted);
        if asked.text("{current.id}").is_some_and(|id| !is_there(id)) {
            return error(404);
        }
        let (status, mut body) = shaped(&asked.form["ok"]);
        copies(asked.form, &mut body);
        (status, body)
    }

    /// Whether another key has its place.
    pub(super) fn has_room(&self, living: usize) -> bool {
        self.spec["overlap"]["kind"] != "two-slots" || living < 2
    }

    /// The answer to a mint; [`HERE`] stands for the value, where it is told. Another field is plain, or the id.
    pub(super) fn minted(&self, asked: &Asked<'_>, id: &str) -> JsonResponse {
        let (status, mut body) = shaped(&asked.form["ok"]);
        let take = &asked.form["take"];
        for (name, pointer) in take["fields"].as_object().into_iter().flatten() {
            let told = if name == self.secret() { HERE } else { PLAIN };
            put(&mut body, pointer.as_str().unwrap_or_default(), json!(told));
        }
        if let Some(pointer) = take["id"].as_str() {
            put(&mut body, pointer, json!(self.told(id)));
        }
        (status, body)
    }

    /// A value as it is written in the answer to a mint.
    pub(super) fn written(&self, value: &str) -> Zeroizing<String> {
        let mut encoded = self.spec["op"]["mint"]["take"]["base64"].as_array().into_iter().flatten();
        match encoded.any(|name| name == self.secret()) {
            true => Zeroizing::new(STANDARD.encode(value)),
            false => escaped(value),
        }
    }

    /// Whether keyroll chooses the values.
    pub(super) fn takes_values(&self) -> bool {
        self.spec["minted_by"] == "us"
    }

    /// An answer that a spec calls success.
    pub(super) fn done(&self, asked: &Asked<'_>) -> JsonResponse {
        shaped(&asked.form["ok"])
    }

    /// The answer to a change that took place, or found nothing to change.
    pub(super) fn changed(&self, asked: &Asked<'_>, done: bool) -> JsonResponse {
        match (done, asked.form.get("already")) {
            (true, _) => shaped(&asked.form["ok"]),
            (false, Some(already)) => shaped(already),
            (false, None) => error(404),
        }
    }

    /// A page of the list, of so many keys at most; `torn`: as if another one followed.
    pub(super) fn list(
        &self,
        asked: &Asked<'_>,
        keys: &[Key],
        request: &Request,
        size: usize,
        torn: bool,
    ) -> JsonResponse {
        let form = asked.form;
        let keeps_ended = form.get("ended").is_some();
        let all: Vec<&Key> = keys.iter().filter(|key| keeps_ended || !key.deleted).collect();
        let page = &form["page"];
        let start = self.start(form, request, size);
        let size = if is_whole(page) { all.len() } else { size };
        let shown: Vec<Value> =
            all.iter().skip(start).take(size).map(|key| item(form, key, &self.told(&key.id))).collect();
        let (status, mut body) = shaped(&form["ok"]);
        put(&mut body, form["items"].as_str().unwrap_or_default(), json!(shown));
        let more = torn || start + size < all.len();
        if let Some(next) = page["next"].as_str() {
            let mut cursor = json!((start + size).to_string());
            if page["kind"] == "address" {
                cursor = json!(next_page(request, start + size));
            }
            put(&mut body, next, if more || page.get("more").is_some() { cursor } else { Value::Null });
        }
        if let Some(flag) = page["more"].as_str() {
            put(&mut body, flag, json!(more));
        }
        (status, body)
    }

    /// How many keys stand on the pages before the one that is asked for.
    fn start(&self, form: &Value, request: &Request, size: usize) -> usize {
        let page = &form["page"];
        let asked = request.queries().get(page["query"].as_str().unwrap_or(START)).cloned();
        let asked = asked.and_then(|text| text.parse::<usize>().ok());
        match page["kind"].as_str() {
            Some("none" | "link") | None => 0,
            Some("number") => {
                let first = page["first"].as_u64().and_then(|first| usize::try_from(first).ok()).unwrap_or(1);
                asked.unwrap_or(first).saturating_sub(first) * size
            }
            Some(_) => asked.unwrap_or(0),
        }
    }

    /// Whether this is the first of several pages.
    pub(super) fn begins(&self, asked: &Asked<'_>, request: &Request) -> bool {
        !is_whole(&asked.form["page"]) && self.start(asked.form, request, 1) == 0
    }
}

fn item(form: &Value, key: &Key, id: &str) -> Value {
    let mut item = json!({});
    for (name, text) in [("id", id), ("label", key.label.as_str()), ("hint", key.hint.as_str())] {
        if let Some(pointer) = form[name].as_str() {
            put(&mut item, pointer, json!(text));
        }
    }
    flag(&mut item, form.get("disabled"), key.disabled && !key.deleted);
    flag(&mut item, form.get("ended"), key.deleted);
    item
}
