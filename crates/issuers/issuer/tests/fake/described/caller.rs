//! Who calls: the credential that a request presents, read as the spec sends it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::route::{Slots, fill, first, route};
use super::secret_field;
use crate::fake::{RecordedRequest, World, random};

/// Private keys, made once: to make one takes a tenth of a second.
static KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many there are; a fake has fewer keys.
const KEYS_MAX: usize = 48;

/// An RSA private key in PEM.
pub fn private_key() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let at = NEXT.fetch_add(1, Ordering::Relaxed) % KEYS_MAX;
    let mut keys = KEYS.lock().unwrap();
    while keys.len() <= at {
        let der: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        keys.push(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        ));
    }
    keys[at].clone()
}

/// A JSON document with a text wherever the spec uses one, and a private key where it signs.
pub fn document(spec: &Value, caller: &str, of: &str) -> String {
    let mut json = json!({"type": "test"});
    let text = spec.to_string();
    for rest in text.split(&format!("{{{of}/")).skip(1) {
        let pointer = format!("/{}", rest.split('}').next().unwrap());
        super::put(&mut json, &pointer, json!(random("part_", 16)));
    }
    let key = spec["auth"][caller]["jwt"]["key"].as_str().unwrap_or_default();
    if let Some(pointer) = key.strip_prefix(&format!("{{{of}")).and_then(|rest| rest.strip_suffix('}')) {
        super::put(&mut json, pointer, json!(private_key()));
    }
    serde_json::to_string_pretty(&json).unwrap()
}

/// The admin credential of a spec.
pub fn admin(spec: &Value) -> String {
    let text = spec.to_string();
    if text.contains("{admin/") {
        return document(spec, "admin", "admin");
    }
    match spec["auth"]["admin"].get("jwt") {
        Some(_) => private_key(),
        None => random("admin_", 24),
    }
}

/// What the header and the Basic authentication of a caller contain.
fn shown(auth: &Value, seen: &RecordedRequest) -> Option<Slots> {
    let mut slots = Slots::new();
    for (name, template) in auth["header"].as_object().into_iter().flatten() {
        let sent = seen.headers.get(&name.to_ascii_lowercase())?;
        if !fill(template.as_str()?, sent, &mut slots) {
            return None;
        }
    }
    if let Some(basic) = auth.get("basic") {
        let encoded = seen.headers.get("authorization")?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        let both = fill(basic["user"].as_str()?, user, &mut slots)
            && fill(basic["password"].as_str()?, password, &mut slots);
        return both.then_some(slots);
    }
    Some(slots)
}

/// Whether a JWT is signed with this private key, and says what the spec says with these values.
fn signed(jwt: &str, pem: &str, form: &Value, value: impl Fn(&str) -> Option<String>) -> bool {
    let Ok(PrivateKeyDer::Pkcs8(der)) = PrivateKeyDer::from_pem_slice(pem.as_bytes()) else { return false };
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let Some((message, signature)) = jwt.rsplit_once('.') else { return false };
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    if public.verify(message.as_bytes(), &signature).is_err() {
        return false;
    }
    let part =
        |text: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap() };
    let (header, claims) =
        message.split_once('.').map(|(header, claims)| (part(header), part(claims))).unwrap();
    let says = |json: &Value, wanted: &Value| {
        wanted.as_object().into_iter().flatten().all(|(name, template)| {
            let (mut slots, template) = (Slots::new(), template.as_str().unwrap());
            let filled = json[name].as_str().is_some_and(|sent| fill(template, sent, &mut slots));
            filled && slots.iter().all(|(slot, sent)| value(slot).is_none_or(|value| *sent == value))
        })
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (from, until) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    header["alg"] == "RS256"
        && says(&header, &form["header"])
        && says(&claims, &form["claims"])
        && from <= now
        && until > now
        && until - from <= 3_600
}

/// The text of a placeholder in a document: `{admin/a}` of the admin credential.
fn part(document: &str, of: &str, slot: &str) -> Option<String> {
    if slot == format!("{{{of}}}") {
        return Some(document.to_owned());
    }
    let pointer = slot.strip_prefix(&format!("{{{of}"))?.strip_suffix('}')?;
    let json: Value = serde_json::from_str(document).ok()?;
    json.pointer(pointer)?.as_str().map(str::to_owned)
}

/// Whether the placeholders hold the admin credential, or what was derived from it.
fn is_admin(spec: &Value, world: &World, slots: &Slots) -> bool {
    let auth = &spec["auth"]["admin"];
    let mut presented = 0;
    let right = slots.iter().all(|(slot, sent)| {
        let sent = sent.as_str().unwrap_or_default();
        match slot.as_str() {
            "{token}" => {
                presented += 1;
                world.tokens.iter().any(|token| token == sent)
            }
            "{jwt}" => {
                presented += 1;
                let key = part(&world.admin, "admin", auth["jwt"]["key"].as_str().unwrap()).unwrap();
                signed(sent, &key, &auth["jwt"], |slot| part(&world.admin, "admin", slot))
            }
            slot if slot.starts_with("{admin") => {
                presented += 1;
                part(&world.admin, "admin", slot).is_some_and(|wanted| wanted == sent)
            }
            _ => true,
        }
    });
    right && presented > 0
}

/// Whether the request has an access token that was never given, or is no longer known.
pub fn has_old_token(spec: &Value, world: &World, seen: &RecordedRequest) -> bool {
    let slots = spec["auth"].get("admin").and_then(|auth| shown(auth, seen)).unwrap_or_default();
    let sent = slots.get("{token}").and_then(Value::as_str);
    sent.is_some_and(|sent| sent.starts_with("at-") && !world.tokens.iter().any(|token| token == sent))
}

/// Whether the request is one of the admin's.
pub fn of_admin(spec: &Value, world: &World, seen: &RecordedRequest) -> bool {
    spec["auth"]
        .get("admin")
        .and_then(|auth| shown(auth, seen))
        .is_some_and(|slots| is_admin(spec, world, &slots))
}

/// An exchange of the admin credential for a token, if the request is one: the token, or nothing for a wrong credential.
pub fn exchanged(spec: &Value, world: &mut World, seen: &RecordedRequest) -> Option<Option<String>> {
    let exchange = spec["auth"]["admin"].get("token")?;
    let mut slots = route(exchange, seen)?;
    let Some(shown) = shown(exchange, seen) else { return Some(None) };
    slots.extend(shown);
    if !is_admin(spec, world, &slots) {
        return Some(None);
    }
    let token = random("at-", 40);
    world.tokens.push(token.clone());
    Some(Some(token))
}

/// The value that a call with the credential itself presents. A signature shows whose key it was made with.
pub fn presented(
    name: &str,
    spec: &Value,
    world: &World,
    slots: &Slots,
    seen: &RecordedRequest,
) -> Option<String> {
    let auth = &spec["auth"]["self"];
    let mut all = shown(auth, seen)?;
    all.extend(slots.clone());
    let text = |slot: &str| all.get(slot).and_then(Value::as_str);
    let field = secret_field(name);
    if let Some(jwt) = text("{jwt}") {
        let of = format!("cred.{field}");
        let by = |value: &String| {
            let key = part(value, &of, auth["jwt"]["key"].as_str().unwrap()).unwrap_or_default();
            signed(jwt, &key, &auth["jwt"], |slot| part(value, &of, slot))
        };
        return world.keys.iter().map(|key| &key.value).find(|value| by(value)).cloned();
    }
    if let Some(sent) = text("{hmac}") {
        let time = text("{time}").unwrap_or_default();
        let by = |value: &String| keyed(&auth["hmac"], value, time) == sent;
        return world.keys.iter().map(|key| &key.value).find(|value| by(value)).cloned();
    }
    text(&format!("{{cred.{field}}}")).map(str::to_owned)
}

/// The HMAC by its definition (RFC 2104), to be independent of the tested code.
fn keyed(form: &Value, value: &str, time: &str) -> String {
    let (mut message, mut rest) = (String::new(), form["text"].as_str().unwrap());
    while let Some((before, slot, after)) = first(rest) {
        // Every field that is not secret has this value.
        message += &format!("{before}{}", if slot == "{time}" { time } else { "7" });
        rest = after;
    }
    message += &rest.replace("{{", "{").replace("}}", "}");
    let (algorithm, block) = match form["hash"].as_str().unwrap() {
        "sha256" => (&digest::SHA256, 64),
        _ => (&digest::SHA512, 128),
    };
    let mut key = value.as_bytes().to_vec();
    if form["key_form"] == "base64" {
        key = STANDARD.decode(value.rsplit('_').next().unwrap()).unwrap();
    }
    if key.len() > block {
        key = digest::digest(algorithm, &key).as_ref().to_vec();
    }
    key.resize(block, 0);
    let pad = |byte: u8| key.iter().map(move |key| key ^ byte).collect::<Vec<u8>>();
    let inner = digest::digest(algorithm, &[&pad(0x36), message.as_bytes()].concat());
    let tag = digest::digest(algorithm, &[&pad(0x5c), inner.as_ref()].concat());
    match form["form"].as_str().unwrap() {
        "hex" => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => STANDARD.encode(tag.as_ref()),
    }
}
