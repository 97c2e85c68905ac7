//! An issuer of the kind that a spec describes: its paths, bodies and pages are read from the spec itself. What is tested
//! with it is that a rotation by this spec goes well, not the vendor's facts: those are cited in the spec.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::request::{Request, Shown};
use super::{Ask, Key};
use crate::chance;

/// What stands for a value until it is written, so that no buffer of a serializer is left with it.
pub(super) const HERE: &str = "@value@";

/// What every setting that a new key copies has.
const COPIED: &str = "copied";

/// What every part of a credential has that is no secret: the number of an account, a project.
const PLAIN: &str = "7";

/// A secret longer than this is made as short as its spec allows.
const LENGTH_MAX: u64 = 128;

/// The longest that a request may take.
const REQUEST_MAX: &str = "5s";

/// A spec, as the issuer that it describes reads it.
pub struct Described {
    spec: Value,
}

/// What an admin asks for, and what stands for the placeholders of its request.
pub(super) struct Asked<'a> {
    pub(super) op: &'static str,
    pub(super) form: &'a Value,
    slots: BTreeMap<String, Value>,
}

impl Asked<'_> {
    /// A placeholder's text.
    pub(super) fn text(&self, slot: &str) -> Option<&str> {
        self.slots.get(slot)?.as_str()
    }

    /// Every setting that the new key copies is as it was told.
    pub(super) fn copies_all(&self) -> bool {
        let mut copies = self.slots.iter().filter(|(slot, _)| slot.starts_with("{copy."));
        copies.all(|(slot, sent)| *sent == copied(slot.trim_start_matches("{copy.").trim_end_matches('}')))
    }
}

fn copied(name: &str) -> Value {
    json!(format!("{COPIED} {name}"))
}

/// A status and a body.
pub(super) type JsonResponse = (u16, Value);

/// Puts a value where a JSON pointer leads, and makes what is not there on the way.
fn put(root: &mut Value, pointer: &str, value: Value) {
    let Some(path) = pointer.strip_prefix('/') else {
        *root = value;
        return;
    };
    let (name, rest) = path.split_once('/').map_or((path, ""), |(name, rest)| (name, rest));
    if !root.is_object() {
        *root = json!({});
    }
    let Some(all) = root.as_object_mut() else { return };
    let place = all.entry(name).or_insert(Value::Null);
    if rest.is_empty() { *place = value } else { put(place, &format!("/{rest}"), value) }
}

/// An answer that a case of the spec accepts.
fn shaped(cases: &Value) -> JsonResponse {
    let case = cases.get(0).unwrap_or(&Value::Null);
    let mut body = json!({});
    for pointer in case["json_has"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        put(&mut body, pointer, json!("there"));
    }
    for (pointer, values) in case["json"].as_object().into_iter().flatten() {
        put(&mut body, pointer, values[0].clone());
    }
    let status = case["status"][0].as_u64().and_then(|status| u16::try_from(status).ok());
    (status.unwrap_or(500), body)
}

fn not_found() -> JsonResponse {
    (404, json!({ "error": {}, "errors": [], "message": "no", "title": "no" }))
}

fn is_slot(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}')
}

/// A template's text, or what it stands for, beside what was sent.
fn meets(template: &Value, sent: &Value, slots: &mut BTreeMap<String, Value>) -> bool {
    match template.as_str().filter(|text| is_slot(text)) {
        Some(slot) => slots.insert(slot.to_owned(), sent.clone()).is_none(),
        None => template == sent,
    }
}

/// What the placeholders of an operation's request stand for, where a request is one.
fn route(form: &Value, request: &Request) -> Option<BTreeMap<String, Value>> {
    let wanted = form.get("request")?;
    let (_, path) = wanted["url"].as_str()?.split_once("//")?.1.split_once('/')?;
    let (path, there): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), request.path.trim_start_matches('/').split('/').collect());
    if wanted["method"].as_str()? != request.method || path.len() != there.len() {
        return None;
    }
    let mut slots = BTreeMap::new();
    let of_path = path.iter().zip(there).all(|(part, sent)| meets(&json!(part), &json!(sent), &mut slots));
    let query = request.queries();
    let mut queries = wanted["query"].as_object().into_iter().flatten();
    let of_query = queries.all(|(name, part)| {
        query.get(name.as_str()).is_some_and(|sent| meets(part, &json!(sent), &mut slots))
    });
    let body = request.body.clone().unwrap_or_default();
    let mut fields = wanted["json"].as_object().into_iter().flatten();
    let of_body = fields.all(|(name, part)| body.get(name).is_some_and(|sent| meets(part, sent, &mut slots)));
    (of_path && of_query && of_body).then_some(slots)
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

    /// The text of a spec, pointed at a port of the loopback address, with this much time for births and deaths.
    /// Nothing else of it is changed.
    pub fn pointed_at(text: &str, port: u16, spread: &str) -> String {
        let spec = Self::read(text).spec;
        // A console may be at the same host: it stays where it is.
        let (head, rest) = text.split_once("[auth.").unwrap_or((text, ""));
        let mut rest = rest.to_owned();
        for caller in ["admin", "self"] {
            for host in spec["auth"][caller]["hosts"].as_array().into_iter().flatten() {
                let host = host.as_str().unwrap_or_default();
                rest = rest.replace(&format!("https://{host}/"), &format!("http://127.0.0.1:{port}/"));
                rest = rest.replace(&format!("[\"{host}\"]"), &format!("[\"127.0.0.1:{port}\"]"));
            }
        }
        for name in ["birth_max", "death_max"] {
            let was = spec["propagation"][name].as_str().unwrap_or_default();
            rest = rest.replace(&format!("{name} = \"{was}\""), &format!("{name} = \"{spread}\""));
        }
        format!("{head}[auth.{rest}\n[limits]\nrequest_max = \"{REQUEST_MAX}\"\n")
    }

    /// Whether a person makes its keys.
    pub fn by_hand(&self) -> bool {
        self.spec["minted_by"] == "human"
    }

    /// Whether its API ends a key; else that is a person's step.
    pub fn revokes(&self) -> bool {
        self.spec["op"].get("revoke").is_some()
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

    /// What every field has that is no secret.
    pub fn plain(&self) -> &'static str {
        PLAIN
    }

    /// How a service calls with its key: the path, and the header up to the value. Where that is Basic
    /// authentication, the user stands behind `basic:`.
    pub fn call(&self) -> (String, String) {
        let url = self.spec["op"]["verify"]["request"]["url"].as_str().unwrap_or_default();
        let path =
            url.split_once("//").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        let part = |part: &str| if is_slot(part) { PLAIN.to_owned() } else { part.to_owned() };
        let path: Vec<String> = path.split('/').map(part).collect();
        let query = self.spec["op"]["verify"]["request"]["query"].as_object().into_iter().flatten();
        let query: Vec<String> =
            query.filter_map(|(name, text)| Some(format!("{name}={}", text.as_str()?))).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let own = &self.spec["auth"]["self"];
        let header = match own["header"].as_object().and_then(|all| all.iter().next()) {
            Some((name, text)) => {
                let text = text.as_str().and_then(|text| text.split('{').next()).unwrap_or_default();
                format!("{name}: {text}")
            }
            None => format!("basic:{PLAIN}"),
        };
        (format!("/{}{query}", path.join("/")), header)
    }

    /// Where credentials stand in its requests.
    pub(super) fn shown(&self) -> Shown {
        let auth = &self.spec["auth"];
        let basic = auth["self"].get("basic").is_some();
        let mut headers: Vec<Vec<u8>> = Vec::new();
        for caller in ["admin", "self"] {
            for (name, text) in auth[caller]["header"].as_object().into_iter().flatten() {
                let before = text.as_str().and_then(|text| text.split('{').next()).unwrap_or_default();
                headers.push(format!("{name}: {before}").to_ascii_lowercase().into_bytes());
            }
        }
        if basic {
            headers.push(b"authorization: basic ".to_vec());
        }
        let chosen = |text: &Value| text.as_str().is_some_and(|text| text.starts_with("{cred."));
        let mut fields = self.spec["op"]["mint"]["request"]["json"].as_object().into_iter().flatten();
        let body =
            fields.find(|(_, text)| chosen(text)).map(|(name, _)| format!("\"{name}\":\"").into_bytes());
        Shown { headers, basic, body }
    }

    fn form(&self) -> &Value {
        let secret = self.fields().into_iter().find(|(_, secret)| *secret).map(|(name, _)| name);
        &self.spec["fields"][secret.unwrap_or("value")]
    }

    fn prefix(&self) -> &str {
        self.form()["prefix"].as_str().unwrap_or_default()
    }

    /// A value of the form that the spec declares: letters of every alphabet.
    pub(super) fn value(&self) -> zeroize::Zeroizing<String> {
        let form = self.form();
        let most = form["length_max"].as_u64().unwrap_or(LENGTH_MAX);
        let length = if most > LENGTH_MAX { form["length_min"].as_u64().unwrap_or(LENGTH_MAX) } else { most };
        let summed = form["checksum"] == "github-crc32";
        let sum = if summed { SUM_LETTERS } else { 0 };
        let length = usize::try_from(length).unwrap_or(0).saturating_sub(self.prefix().len() + sum);
        let drawn = zeroize::Zeroizing::new(chance::hexadecimal(length));
        let mut value = zeroize::Zeroizing::new(String::with_capacity(self.prefix().len() + length + sum));
        value.push_str(self.prefix());
        value.push_str(&drawn);
        if summed {
            value.push_str(&checksum(drawn.as_bytes()));
        }
        value
    }

    /// How a list shows a value.
    pub(super) fn hint(&self, value: &str) -> String {
        let start = value.get(..self.prefix().len() + 3).unwrap_or_default();
        let end = value.get(value.len().saturating_sub(4)..).unwrap_or_default();
        format!("{start}...{end}")
    }

    /// What a request of the admin, or of a key, asks for.
    pub(super) fn asks(&self, request: &Request, admin: bool) -> Option<Ask> {
        if !admin {
            return self.is_call(request).then_some(Ask::Me);
        }
        Some(match self.asked(request)?.op {
            "mint" => Ask::Mint,
            "list" => Ask::List,
            "disable" => Ask::Disable,
            "enable" => Ask::Enable,
            "revoke" => Ask::Delete,
            _ => return None,
        })
    }

    pub(super) fn asked(&self, request: &Request) -> Option<Asked<'_>> {
        ["get", "mint", "list", "disable", "enable", "revoke"].into_iter().find_map(|op| {
            let form = self.spec["op"].get(op)?;
            Some(Asked { op, form, slots: route(form, request)? })
        })
    }

    fn is_call(&self, request: &Request) -> bool {
        ["verify", "identify"]
            .iter()
            .any(|op| self.spec["op"].get(op).is_some_and(|form| route(form, request).is_some()))
    }

    /// To a key: whose it is, or that it is dead.
    pub(super) fn me(&self, request: &Request, living: Option<&str>) -> JsonResponse {
        let op = &self.spec["op"];
        if !self.is_call(request) {
            return not_found();
        }
        let Some(id) = living else { return shaped(&op["verify"]["dead"]) };
        let (status, mut body) = shaped(&op["verify"]["alive"]);
        for (at, told) in [("principal", "acct_1"), ("id", id)] {
            if let Some(pointer) = op["identify"][at].as_str() {
                put(&mut body, pointer, json!(told));
            }
        }
        (status, body)
    }

    /// The settings of a key.
    pub(super) fn settings(&self, asked: &Asked<'_>, keys: &[Key]) -> JsonResponse {
        let id = asked.text("{current.id}").unwrap_or_default();
        if !keys.iter().any(|key| key.id == id && !key.deleted) {
            return not_found();
        }
        let (status, mut body) = shaped(&asked.form["ok"]);
        for (name, pointer) in asked.form["copy"].as_object().into_iter().flatten() {
            put(&mut body, pointer.as_str().unwrap_or_default(), copied(name));
        }
        (status, body)
    }

    /// Whether another key has its place.
    pub(super) fn has_room(&self, living: usize) -> bool {
        self.spec["overlap"]["kind"] != "two-slots" || living < 2
    }

    /// The answer to a mint; [`HERE`] stands for the value, where it is told.
    pub(super) fn minted(&self, asked: &Asked<'_>, id: &str) -> JsonResponse {
        let (status, mut body) = shaped(&asked.form["ok"]);
        put(&mut body, asked.form["take"]["id"].as_str().unwrap_or_default(), json!(id));
        for (_, pointer) in asked.form["take"]["fields"].as_object().into_iter().flatten() {
            put(&mut body, pointer.as_str().unwrap_or_default(), json!(HERE));
        }
        (status, body)
    }

    /// The answer to a change that took place, or found nothing to change.
    pub(super) fn changed(&self, asked: &Asked<'_>, done: bool, known: bool) -> JsonResponse {
        let already = asked.form.get("already");
        match (done || (known && already.is_none()), already) {
            (true, _) => shaped(&asked.form["ok"]),
            (false, Some(already)) => shaped(already),
            (false, None) => not_found(),
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
        let size = if page["kind"] == "none" { all.len() } else { size };
        let shown: Vec<Value> = all.iter().skip(start).take(size).map(|key| item(form, key)).collect();
        let (status, mut body) = shaped(&form["ok"]);
        put(&mut body, form["items"].as_str().unwrap_or_default(), json!(shown));
        let more = torn || start + size < all.len();
        if let Some(next) = page["next"].as_str() {
            let cursor = json!((start + size).to_string());
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
        let asked = page["query"].as_str().and_then(|name| request.queries().get(name).cloned());
        let asked = asked.and_then(|text| text.parse::<usize>().ok());
        match page["kind"].as_str() {
            Some("none") | None => 0,
            Some("number") => asked.unwrap_or(1).saturating_sub(1) * size,
            Some(_) => asked.unwrap_or(0),
        }
    }

    /// Whether this is the first of several pages.
    pub(super) fn begins(&self, asked: &Asked<'_>, request: &Request) -> bool {
        asked.form["page"]["kind"] != "none" && self.start(asked.form, request, 1) == 0
    }
}

/// Sets what a flag of the list is read from.
fn flag(item: &mut Value, flag: Option<&Value>, on: bool) {
    let Some(flag) = flag else { return };
    let (at, is) = (flag["at"].as_str().unwrap_or_default(), &flag["is"][0]);
    if let Some(is) = is.as_bool() {
        put(item, at, json!(is == on));
    } else if on {
        put(item, at, is.clone());
    } else if item.pointer(at).is_none() {
        put(item, at, json!("active"));
    }
}

fn item(form: &Value, key: &Key) -> Value {
    let mut item = json!({});
    for (name, text) in [("id", &key.id), ("label", &key.label), ("hint", &key.hint)] {
        if let Some(pointer) = form[name].as_str() {
            put(&mut item, pointer, json!(text));
        }
    }
    flag(&mut item, form.get("disabled"), key.disabled && !key.deleted);
    flag(&mut item, form.get("ended"), key.deleted);
    item
}

/// Letters of GitHub's checksum.
const SUM_LETTERS: usize = 6;

/// CRC-32 in base 62: <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>.
fn checksum(body: &[u8]) -> String {
    let mut sum = u32::MAX;
    for byte in body {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 };
        }
    }
    let mut left = !sum;
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let mut text = String::new();
    for _ in 0..SUM_LETTERS {
        text.extend(digits.get((left % 62) as usize));
        left /= 62;
    }
    text.chars().rev().collect()
}
