//! An issuer that answers as a shipped spec expects: its paths, bodies and pages are read from the spec itself. It
//! tests that the spec is consistent and that the runner works, not the facts about the vendor.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use keyroll_issuer::Spec;
use serde_json::{Value, json};

use super::dialect::Reply;
use super::wire::plain;
use super::{Key, RecordedRequest, World, random};

/// The answer to `op.get`, which a mint must repeat.
const COPIED: &str = "copied";

/// The text of a spec as it is shipped.
pub fn text(name: &str) -> String {
    let path = format!("{}/../../../issuers/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub fn spec(name: &str) -> Value {
    toml::from_str(&text(name)).unwrap()
}

/// The spec's text, pointed at this address.
pub fn pointed_at(name: &str, address: SocketAddr) -> String {
    let text = text(name);
    // Do not replace the console's address, which may have the same host.
    let (head, mut text) =
        text.split_once("[auth.").map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    for caller in ["admin", "self"] {
        for host in spec(name)["auth"][caller]["hosts"].as_array().into_iter().flatten() {
            let host = host.as_str().unwrap();
            text = text.replace(&format!("https://{host}"), &format!("http://{address}"));
            text = text.replace(&format!("[\"{host}\"]"), &format!("[\"{address}\"]"));
        }
    }
    format!("{head}[auth.{text}")
}

/// The name of its secret field.
pub fn secret_field(name: &str) -> String {
    let spec = Spec::shipped(name).unwrap();
    let found = spec.fields().find(|(_, secret)| *secret).map(|(field, _)| field.to_owned());
    found.unwrap()
}

/// A value of the form that the spec declares.
pub fn value(name: &str) -> String {
    let form = &spec(name)["fields"][secret_field(name)];
    let prefix = form["prefix"].as_str().unwrap_or_default();
    let most = form["length_max"].as_u64().unwrap();
    let length = if most > 128 { form["length_min"].as_u64().unwrap() } else { most } as usize;
    if form["checksum"] == "github-crc32" {
        let body = random("", length - prefix.len() - 6);
        return format!("{prefix}{body}{}", checksum(body.as_bytes()));
    }
    random(prefix, length - prefix.len())
}

/// CRC-32 in base 62 by a table, to be independent of the tested code.
fn checksum(body: &[u8]) -> String {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| {
            (0..8).fold(byte, |sum, _| if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 })
        })
        .collect();
    let mut sum = u32::MAX;
    for byte in body {
        sum = table[((sum ^ u32::from(*byte)) & 0xFF) as usize] ^ (sum >> 8);
    }
    let (mut left, mut text) = (!sum, String::new());
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    for _ in 0..6 {
        text.insert(0, digits[(left % 62) as usize]);
        left /= 62;
    }
    text
}

fn put(root: &mut Value, pointer: &str, value: Value) {
    let Some(path) = pointer.strip_prefix('/') else {
        *root = value;
        return;
    };
    let mut place = root;
    for part in path.split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// An answer that a case of the spec accepts.
fn shaped(case: &Value) -> (u16, Value) {
    let mut body = json!({});
    for pointer in case["json_has"].as_array().into_iter().flatten() {
        put(&mut body, pointer.as_str().unwrap(), json!("there"));
    }
    for (pointer, values) in case["json"].as_object().into_iter().flatten() {
        put(&mut body, pointer, values[0].clone());
    }
    (case["status"][0].as_u64().unwrap() as u16, body)
}

fn reply((status, body): (u16, Value)) -> Reply {
    let body = if status == 204 { String::new() } else { body.to_string() };
    Reply { status, media: "application/json", body, ..Reply::default() }
}

fn is_slot(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}') && !text.starts_with("{{")
}

/// The placeholders' values, if the request is one of this operation.
fn route(op: &Value, seen: &RecordedRequest) -> Option<BTreeMap<String, Value>> {
    let request = op.get("request")?;
    let url = request["url"].as_str()?;
    let path = url.split_once("//")?.1.split_once('/').map_or("", |(_, path)| path);
    let (wanted, there): (Vec<&str>, Vec<&str>) =
        (path.split('/').collect(), seen.path[1..].split('/').collect());
    if request["method"].as_str()? != seen.method || wanted.len() != there.len() {
        return None;
    }
    let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let mut slots = BTreeMap::new();
    let mut meets = |template: &Value, found: Value| {
        let slot = template.as_str().filter(|text| is_slot(text)).map(str::to_owned);
        match slot {
            Some(slot) => slots.insert(slot, found).is_none(),
            None => *template == found,
        }
    };
    for (wanted, there) in wanted.iter().zip(there) {
        if !meets(&json!(wanted), json!(plain(there))) {
            return None;
        }
    }
    for (name, template) in request["query"].as_object().into_iter().flatten() {
        if !meets(template, json!(seen.query.get(name)?)) {
            return None;
        }
    }
    for (name, template) in request["json"].as_object().into_iter().flatten() {
        if !meets(template, body.get(name)?.clone()) {
            return None;
        }
    }
    Some(slots)
}

/// The credential that a caller presents, read as the spec sends it.
fn shown(spec: &Value, caller: &str, seen: &RecordedRequest) -> Option<String> {
    let auth = spec["auth"].get(caller)?;
    if auth.get("basic").is_some() {
        let encoded = seen.headers.get("authorization")?.strip_prefix("Basic ")?;
        let pair = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    let (name, template) = auth["header"].as_object()?.iter().next()?;
    let before = template.as_str()?.split('{').next()?;
    seen.headers.get(&name.to_ascii_lowercase())?.strip_prefix(before).map(str::to_owned)
}

/// The answer of an issuer of this kind.
pub fn answer(name: &'static str, world: &mut World, seen: &RecordedRequest, peer: SocketAddr) -> Reply {
    let spec = spec(name);
    let admin = shown(&spec, "admin", seen).is_some_and(|token| token == world.admin);
    if admin { of_admin(name, &spec, world, seen) } else { of_itself(&spec, world, seen, peer) }
}

fn of_itself(spec: &Value, world: &mut World, seen: &RecordedRequest, peer: SocketAddr) -> Reply {
    let verify = &spec["op"]["verify"];
    let identify = spec["op"].get("identify").filter(|op| route(op, seen).is_some());
    if route(verify, seen).is_none() && identify.is_none() {
        return reply((404, json!({"nothing": "here"})));
    }
    if !world.scripted.is_empty() {
        let (status, media, body) = world.scripted.remove(0);
        return Reply { status, media, body, ..Reply::default() };
    }
    let token = shown(spec, "self", seen).unwrap_or_default();
    let Some(id) = world.accepts(&token) else {
        world.refuse(&token, peer, seen.headers.get("user-agent").cloned());
        return reply(shaped(&verify["dead"][0]));
    };
    let (status, mut body) = shaped(&verify["alive"][0]);
    for pointer in identify.and_then(|op| op["principal"].as_str()).into_iter() {
        put(&mut body, pointer, json!("acct_1"));
    }
    for pointer in identify.and_then(|op| op["id"].as_str()).into_iter() {
        put(&mut body, pointer, json!(id));
    }
    Reply { key: Some(id), ..reply((status, body)) }
}

fn of_admin(name: &'static str, spec: &Value, world: &mut World, seen: &RecordedRequest) -> Reply {
    let not_found = || reply((404, json!({"error": {}, "errors": [], "message": "no", "title": "no"})));
    for op in ["get", "mint", "list", "disable", "enable", "revoke"] {
        let Some(described) = spec["op"].get(op) else { continue };
        let Some(slots) = route(described, seen) else { continue };
        let id = slots.get("{cred.id}").and_then(Value::as_str).unwrap_or_default().to_owned();
        let done = match op {
            "get" => return get(described, world, &slots).unwrap_or_else(not_found),
            "mint" => return mint(name, spec, world, &slots),
            "list" => return list(described, spec, name, world, seen),
            "disable" => world.switch(&id, false).is_some(),
            "enable" => world.switch(&id, true).is_some(),
            _ => world.delete(&id),
        };
        let known = world.keys.iter().any(|key| key.id == id);
        let again = known && op == "revoke" && described.get("already").is_none();
        return match (done || again, described.get("already")) {
            (true, _) => reply(shaped(&described["ok"][0])),
            (false, Some(already)) => reply(shaped(&already[0])),
            (false, None) => not_found(),
        };
    }
    not_found()
}

fn get(op: &Value, world: &World, slots: &BTreeMap<String, Value>) -> Option<Reply> {
    let id = slots.get("{current.id}")?.as_str()?;
    world.keys.iter().find(|key| key.id == id && !key.deleted)?;
    let (status, mut body) = shaped(&op["ok"][0]);
    for (name, pointer) in op["copy"].as_object()? {
        put(&mut body, pointer.as_str()?, json!(format!("{COPIED} {name}")));
    }
    Some(reply((status, body)))
}

fn mint(name: &'static str, spec: &Value, world: &mut World, slots: &BTreeMap<String, Value>) -> Reply {
    let copies = slots.iter().filter_map(|(slot, sent)| Some((slot.strip_prefix("{copy.")?, sent)));
    for (copy, sent) in copies {
        assert_eq!(
            *sent,
            json!(format!("{COPIED} {}", copy.trim_end_matches('}'))),
            "a setting is not copied"
        );
    }
    let living = world.keys.iter().filter(|key| !key.deleted).count();
    if spec["overlap"]["kind"] == "two-slots" && living >= 2 {
        return reply((403, json!({"title": "Maximum number of secrets already met"})));
    }
    let text = |slot: &str| slots.get(slot).and_then(Value::as_str).map(str::to_owned);
    let label = text("{label}").unwrap_or_default();
    let chosen = text(&format!("{{cred.{}}}", secret_field(name)));
    let key = world.make(super::Dialect::Shipped(name), &label, chosen);
    let op = &spec["op"]["mint"];
    let (status, mut body) = shaped(&op["ok"][0]);
    put(&mut body, op["take"]["id"].as_str().unwrap(), json!(key.id));
    for pointer in op["take"]["fields"].as_object().into_iter().flat_map(|fields| fields.values()) {
        put(&mut body, pointer.as_str().unwrap(), json!(key.value));
    }
    reply((status, body))
}

fn flag(item: &mut Value, flag: Option<&Value>, on: bool) {
    let Some(flag) = flag else { return };
    let (at, is) = (flag["at"].as_str().unwrap(), &flag["is"][0]);
    if let Some(is) = is.as_bool() {
        put(item, at, json!(is == on));
    } else if on {
        put(item, at, is.clone());
    } else if item.pointer(at).is_none() {
        put(item, at, json!("active"));
    }
}

fn item(op: &Value, spec: &Value, name: &str, key: &Key) -> Value {
    let mut item = json!({});
    put(&mut item, op["id"].as_str().unwrap(), json!(key.id));
    if let Some(label) = op["label"].as_str() {
        put(&mut item, label, json!(key.name));
    }
    if let Some(hint) = op["hint"].as_str() {
        let prefix = spec["fields"][secret_field(name)]["prefix"].as_str().unwrap_or_default();
        let (start, end) = (&key.value[..prefix.len() + 3], &key.value[key.value.len() - 4..]);
        put(&mut item, hint, json!(format!("{start}...{end}")));
    }
    flag(&mut item, op.get("disabled"), !key.enabled && !key.deleted);
    flag(&mut item, op.get("ended"), key.deleted);
    item
}

fn list(op: &Value, spec: &Value, name: &str, world: &World, seen: &RecordedRequest) -> Reply {
    let keeps_ended = op.get("ended").is_some();
    let all: Vec<Value> = world
        .keys
        .iter()
        .filter(|key| keeps_ended || !key.deleted)
        .map(|key| item(op, spec, name, key))
        .collect();
    let page = &op["page"];
    let asked = page["query"].as_str().and_then(|query| seen.query.get(query));
    let asked = asked.map(|text| text.parse::<usize>().unwrap());
    let start = match page["kind"].as_str().unwrap() {
        "none" => 0,
        "number" => (asked.unwrap_or(1) - 1) * world.page,
        _ => asked.unwrap_or(0),
    };
    let size = if page["kind"] == "none" { all.len() } else { world.page };
    let shown: Vec<Value> = all.iter().skip(start).take(size).cloned().collect();
    let (status, mut body) = shaped(&op["ok"][0]);
    put(&mut body, op["items"].as_str().unwrap(), json!(shown));
    let more = start + size < all.len();
    if let Some(next) = page["next"].as_str() {
        let cursor = json!((start + size).to_string());
        put(&mut body, next, if more || page.get("more").is_some() { cursor } else { Value::Null });
    }
    if let Some(flag) = page["more"].as_str() {
        put(&mut body, flag, json!(more));
    }
    reply((status, body))
}
