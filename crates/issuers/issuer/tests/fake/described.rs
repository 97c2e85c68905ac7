//! An issuer that answers as a shipped spec expects: its paths, bodies and pages are read from the spec itself. It
//! tests that the spec is consistent and that the runner works, not the facts about the vendor.

mod caller;
mod route;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caller::{exchanged, has_old_token, of_admin, presented, private_key};
use keyroll_issuer::Spec;
use route::{Slots, route};
use serde_json::{Value, json};

use super::dialect::Reply;
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
    // Only where requests go: a scope, a console and a source may name the same host.
    let (head, mut text) =
        text.split_once("[auth.").map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    for caller in ["admin", "self"] {
        for host in spec(name)["auth"][caller]["hosts"].as_array().into_iter().flatten() {
            let host = host.as_str().unwrap();
            text = text.replace(&format!("url = \"https://{host}/"), &format!("url = \"http://{address}/"));
            text = text.replace(&format!("\"{host}\""), &format!("\"{address}\""));
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
    let spec = spec(name);
    let form = &spec["fields"][secret_field(name)];
    match form["form"].as_str() {
        Some("json") => return caller::document(&spec, "self", &format!("cred.{}", secret_field(name))),
        Some("pem") => return private_key(),
        _ => {}
    }
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
        if let Ok(at) = part.parse::<usize>() {
            if !place.is_array() {
                *place = json!([]);
            }
            let items = place.as_array_mut().unwrap();
            items.resize(items.len().max(at + 1), json!(""));
            place = &mut items[at];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[part];
        }
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
    if let Some(text) = case["body_has"][0].as_str() {
        // A member of the body, or any text in it.
        match serde_json::from_str::<Value>(&format!("{{{text}}}")) {
            Ok(Value::Object(members)) => body.as_object_mut().unwrap().extend(members),
            _ => put(&mut body, "/said", json!(text)),
        }
    }
    (case["status"][0].as_u64().unwrap() as u16, body)
}

fn reply((status, body): (u16, Value)) -> Reply {
    let body = if status == 204 { String::new() } else { body.to_string() };
    Reply { status, media: "application/json", body, ..Reply::default() }
}

/// The answer of an issuer of this kind.
pub fn answer(name: &'static str, world: &mut World, seen: &RecordedRequest, peer: SocketAddr) -> Reply {
    let spec = spec(name);
    match exchanged(&spec, world, seen) {
        // The same call may be the one by which a credential is verified.
        Some(None) if route(&spec["op"]["verify"], seen).is_some() => {}
        Some(token) => return Reply { passing: true, ..token_reply(&spec, token) },
        None => {}
    }
    if has_old_token(&spec, world, seen) {
        return reply((401, json!({"error": {}})));
    }
    if of_admin(&spec, world, seen) {
        return to_admin(name, &spec, world, seen);
    }
    to_itself(name, &spec, world, seen, peer)
}

/// The answer to an exchange of the admin credential.
fn token_reply(spec: &Value, token: Option<String>) -> Reply {
    let exchange = &spec["auth"]["admin"]["token"];
    let Some(token) = token else { return reply((401, json!({"error": "invalid_client"}))) };
    let (status, mut body) = shaped(&exchange["ok"][0]);
    put(&mut body, exchange["take"].as_str().unwrap(), json!(token));
    if let Some(lasts) = exchange["lasts"].as_str() {
        put(&mut body, lasts, json!(3_600));
    }
    reply((status, body))
}

fn to_itself(name: &str, spec: &Value, world: &mut World, seen: &RecordedRequest, peer: SocketAddr) -> Reply {
    let verify = &spec["op"]["verify"];
    let identify = spec["op"].get("identify").filter(|op| route(op, seen).is_some());
    let Some(slots) = route(verify, seen).or_else(|| route(identify?, seen)) else {
        return reply((404, json!({"nothing": "here"})));
    };
    if !world.scripted.is_empty() {
        let (status, media, body) = world.scripted.remove(0);
        return Reply { status, media, body, ..Reply::default() };
    }
    let token = presented(name, spec, world, &slots, seen).unwrap_or_default();
    let Some(id) = world.accepts(&token) else {
        world.refuse(&token, peer, seen.headers.get("user-agent").cloned());
        return reply(shaped(&verify["dead"][0]));
    };
    let (status, mut body) = shaped(&verify["alive"][0]);
    for pointer in identify.and_then(|op| op["principal"].as_str()).into_iter() {
        put(&mut body, pointer, json!("acct_1"));
    }
    for pointer in identify.and_then(|op| op["id"].as_str()).into_iter() {
        put(&mut body, pointer, json!(written(spec, &id)));
    }
    Reply { key: Some(id), ..reply((status, body)) }
}

fn to_admin(name: &'static str, spec: &Value, world: &mut World, seen: &RecordedRequest) -> Reply {
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
        return match (done, described.get("already")) {
            (true, _) => reply(shaped(&described["ok"][0])),
            (false, Some(already)) => reply(shaped(&already[0])),
            (false, None) => not_found(),
        };
    }
    not_found()
}

fn get(op: &Value, world: &World, slots: &Slots) -> Option<Reply> {
    let id = slots.get("{current.id}")?.as_str()?;
    world.keys.iter().find(|key| key.id == id && !key.deleted)?;
    let (status, mut body) = shaped(&op["ok"][0]);
    for (name, pointer) in op["copy"].as_object()? {
        put(&mut body, pointer.as_str()?, json!(format!("{COPIED} {name}")));
    }
    Some(reply((status, body)))
}

fn mint(name: &'static str, spec: &Value, world: &mut World, slots: &Slots) -> Reply {
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
    let mut key = world.make(super::Dialect::Shipped(name), &label, chosen);
    let op = &spec["op"]["mint"];
    let (status, mut body) = shaped(&op["ok"][0]);
    match op["take"]["id"].as_str() {
        Some(pointer) => put(&mut body, pointer, json!(written(spec, &key.id))),
        // keyroll knows it by its label, which the request need not have: then it is that of the suite.
        None => {
            key.id = if label.is_empty() { "keyroll/conformance/1".to_owned() } else { label };
            world.keys.last_mut().unwrap().id = key.id.clone();
        }
    }
    let encoded = op["take"]["base64"].as_array().is_some_and(|all| !all.is_empty());
    let value = if encoded { STANDARD.encode(&key.value) } else { key.value.clone() };
    for (field, pointer) in op["take"]["fields"].as_object().into_iter().flatten() {
        let text = if *field == secret_field(name) { &value } else { &key.id };
        put(&mut body, pointer.as_str().unwrap(), json!(text));
    }
    reply((status, body))
}

/// An id as an answer has it.
fn written(spec: &Value, id: &str) -> String {
    if spec["id_form"] == "last-segment" { format!("parents/p 1/keys/{id}") } else { id.to_owned() }
}

/// What follows the number in an id: nothing that a last segment cannot have.
pub fn id_tail(name: &str) -> &'static str {
    if spec(name)["id_form"] == "last-segment" { "-" } else { "/" }
}

/// The id of a key, if the credential itself contains it.
pub fn id_in(name: &str, key: &Key) -> String {
    let spec = spec(name);
    let Some(template) = spec["id_in"].as_str() else { return key.id.clone() };
    let pointer = template.split_once('/').map(|(_, rest)| format!("/{}", rest.trim_end_matches('}')));
    match pointer {
        Some(pointer) => {
            let value: Value = serde_json::from_str(&key.value).unwrap();
            value.pointer(&pointer).unwrap().as_str().unwrap().to_owned()
        }
        // A public field has no blank.
        None => key.id.replace(' ', "-"),
    }
}

/// The admin credential of a spec.
pub fn admin(name: &str) -> String {
    caller::admin(&spec(name))
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
    put(&mut item, op["id"].as_str().unwrap(), json!(written(spec, &key.id)));
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
    let asked = seen.query.get(page["query"].as_str().unwrap_or("start"));
    let asked = asked.map(|text| text.parse::<usize>().unwrap());
    let start = match page["kind"].as_str().unwrap() {
        "none" => 0,
        "number" => {
            let first = page["first"].as_u64().map_or(1, |first| first as usize);
            (asked.unwrap_or(first) - first) * world.page
        }
        _ => asked.unwrap_or(0),
    };
    let size = if page["kind"] == "none" { all.len() } else { world.page };
    let shown: Vec<Value> = all.iter().skip(start).take(size).cloned().collect();
    let (status, mut body) = shaped(&op["ok"][0]);
    put(&mut body, op["items"].as_str().unwrap(), json!(shown));
    let more = start + size < all.len();
    if let Some(next) = page["next"].as_str() {
        let mut cursor = json!((start + size).to_string());
        if page["kind"] == "address" {
            let rest = seen.query.iter().filter(|(name, _)| *name != "start");
            let rest: Vec<String> = rest.map(|(name, value)| format!("{name}={value}")).collect();
            let (host, path) = (&seen.headers["host"], &seen.path);
            cursor = json!(format!("http://{host}{path}?start={}&{}", start + size, rest.join("&")));
        }
        put(&mut body, next, if more || page.get("more").is_some() { cursor } else { Value::Null });
    }
    if let Some(flag) = page["more"].as_str() {
        put(&mut body, flag, json!(more));
    }
    reply((status, body))
}
