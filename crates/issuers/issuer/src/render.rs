use std::collections::BTreeMap;

use keyroll_http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use keyroll_http::{basic, percent_encode, secret_header};
use keyroll_secret::{Fields, SecretBytes};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::wipe;
use crate::caller::Caller;
use crate::operation::{Method, Request};
use crate::pointer::Pointer;
use crate::target::Host;
use crate::template::{JsonTemplate, Part, Slot, Template};

/// The values of the placeholders of one call.
#[derive(Default, Clone, Copy)]
pub(crate) struct Values<'a> {
    /// Our label.
    pub(crate) label: Option<&'a str>,
    /// The admin credential.
    pub(crate) admin: Option<&'a SecretBytes>,
    /// The id of the credential that the call is about.
    pub(crate) id: Option<&'a str>,
    /// Its fields.
    pub(crate) fields: Option<&'a Fields>,
    /// The fields that authenticate the caller (`[auth.self]`), if they differ from `fields`: a mint of a value that we
    /// chose is still sent with the value in use.
    pub(crate) shown: Option<&'a Fields>,
    /// The id of the credential in use.
    pub(crate) current_id: Option<&'a str>,
    /// Its fields.
    pub(crate) current_fields: Option<&'a Fields>,
    /// The settings that `op.get` read.
    pub(crate) copy: Option<&'a BTreeMap<String, Value>>,
    /// The time from which refused uses are asked for.
    pub(crate) since: Option<&'a str>,
    /// The session to end.
    pub(crate) handle: Option<&'a str>,
    /// Whether a busy session may be ended.
    pub(crate) force: bool,
    /// The query parameter that asks for a page.
    pub(crate) page: Option<&'a (String, String)>,
    /// A whole query of the issuer's own, in place of the spec's.
    pub(crate) link: Option<&'a str>,
    /// What the caller derived from its credential.
    pub(crate) derived: Option<&'a Derived>,
}

/// What a caller derives from its credential for one request.
#[derive(Default)]
pub(crate) struct Derived {
    /// The access token.
    pub(crate) token: Option<Zeroizing<String>>,
    /// Whether the token was used before.
    pub(crate) held: bool,
    /// The signed JWT.
    pub(crate) jwt: Option<Zeroizing<String>>,
    /// The HMAC.
    pub(crate) hmac: Option<Zeroizing<String>>,
    /// The time of the signature.
    pub(crate) time: Option<String>,
}

/// Why a value cannot be put where the spec wants it. It holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is no admin credential.
    NoAdmin,
    /// The value of another placeholder is missing.
    Missing(String),
    /// The value has a byte that this position cannot carry.
    Unspeakable(&'static str),
    /// The credential is not a JSON document with a text at this position.
    NoPart {
        /// Which credential.
        of: &'static str,
        /// The position.
        at: String,
    },
    /// The credential has no RSA private key in PEM where the spec says.
    NoPrivateKey,
}

/// A request ready to be sent; it holds values.
pub(crate) struct Outgoing {
    /// The method.
    pub(crate) method: keyroll_http::Method,
    /// Whether it goes over TLS.
    pub(crate) tls: bool,
    /// Where it goes.
    pub(crate) host: Host,
    /// The path, escaped.
    pub(crate) path: Zeroizing<String>,
    /// The query, escaped; empty where there is none.
    pub(crate) query: Zeroizing<String>,
    /// Headers; those with values are marked sensitive.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body with its media type.
    pub(crate) body: Option<Body>,
}

/// A body with its media type.
type Body = (&'static str, Zeroizing<Vec<u8>>);

impl Outgoing {
    /// Whether any part of the request contains this text.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let body = self.body.as_ref().map(|(_, body)| body.as_slice()).unwrap_or_default();
        has(self.path.as_bytes())
            || has(self.query.as_bytes())
            || has(body)
            || self.headers.iter().any(|(_, value)| has(value.as_bytes()))
    }
}

/// Fills a request's placeholders. Each value is escaped for its position.
pub(crate) fn render(request: &Request, caller: &Caller, values: &Values<'_>) -> Result<Outgoing, Unfit> {
    let own = Values { fields: values.shown.or(values.fields), ..*values };
    let mut headers = Vec::new();
    for (name, template) in &caller.header {
        headers.push(header(name, &text(template, &own)?)?);
    }
    for (name, template) in &request.header {
        headers.push(header(name, &text(template, values)?)?);
    }
    if let Some(pair) = &caller.basic {
        let (user, password) = (text(&pair.user, &own)?, text(&pair.password, &own)?);
        let login = basic(&user, password.as_bytes());
        headers.push((AUTHORIZATION, login.ok_or(Unfit::Unspeakable("a user name for HTTP Basic"))?));
    }
    Ok(Outgoing {
        method: method(request.method),
        tls: request.url.tls,
        host: request.url.host.clone(),
        path: path(&request.url.segments, values)?,
        query: query(request, values)?,
        headers,
        body: body(request, values)?,
    })
}

fn method(method: Method) -> keyroll_http::Method {
    match method {
        Method::Get => keyroll_http::Method::GET,
        Method::Post => keyroll_http::Method::POST,
        Method::Put => keyroll_http::Method::PUT,
        Method::Patch => keyroll_http::Method::PATCH,
        Method::Delete => keyroll_http::Method::DELETE,
    }
}

fn path(segments: &[Template], values: &Values<'_>) -> Result<Zeroizing<String>, Unfit> {
    let mut path = Zeroizing::new(String::with_capacity(1024));
    for segment in segments {
        path.push('/');
        let filled = text(segment, values)?;
        // An id of `..` would change which resource is meant; an empty one would name the whole collection.
        let slots = segment.slots().next().is_some();
        if slots && matches!(filled.as_str(), "" | "." | "..") {
            return Err(Unfit::Unspeakable("a path segment"));
        }
        for part in segment.parts() {
            match part {
                Part::Literal(literal) => path.push_str(literal),
                Part::Slot(slot) => percent_encode(&mut path, value(slot, values)?.as_bytes()),
            }
        }
    }
    Ok(path)
}

fn query(request: &Request, values: &Values<'_>) -> Result<Zeroizing<String>, Unfit> {
    if let Some(link) = values.link {
        return Ok(Zeroizing::new(link.to_owned()));
    }
    let mut pairs = Zeroizing::new(String::with_capacity(256));
    for (name, template) in &request.query {
        pair(&mut pairs, name, &text(template, values)?);
    }
    if let Some((name, at)) = values.page {
        pair(&mut pairs, name, at);
    }
    Ok(pairs)
}

fn pair(pairs: &mut String, name: &str, value: &str) {
    if !pairs.is_empty() {
        pairs.push('&');
    }
    percent_encode(pairs, name.as_bytes());
    pairs.push('=');
    percent_encode(pairs, value.as_bytes());
}

fn body(request: &Request, values: &Values<'_>) -> Result<Option<Body>, Unfit> {
    if let Some(template) = &request.json {
        let mut out = Zeroizing::new(Vec::with_capacity(4096));
        json(&mut out, template, values)?;
        return Ok(Some(("application/json", out)));
    }
    let Some(form) = &request.form else { return Ok(None) };
    let mut pairs = Zeroizing::new(String::with_capacity(4096));
    for (name, template) in form {
        pair(&mut pairs, name, &text(template, values)?);
    }
    Ok(Some(("application/x-www-form-urlencoded", Zeroizing::new(pairs.as_bytes().to_vec()))))
}

fn json(out: &mut Vec<u8>, template: &JsonTemplate, values: &Values<'_>) -> Result<(), Unfit> {
    let write = |out: &mut Vec<u8>, text: &str| {
        serde_json::to_writer(out, text).map_err(|_| Unfit::Unspeakable("a JSON string"))
    };
    match template {
        JsonTemplate::Text(text_template) => match text_template.sole_copy() {
            Some(name) => plain(out, copied(name, values)?),
            None => write(out, &text(text_template, values)?),
        },
        JsonTemplate::Plain(value) => plain(out, value),
        JsonTemplate::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json(out, item, values)?;
            }
            out.push(b']');
            Ok(())
        }
        JsonTemplate::Object(entries) => {
            out.push(b'{');
            for (index, (name, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, name)?;
                out.push(b':');
                json(out, item, values)?;
            }
            out.push(b'}');
            Ok(())
        }
    }
}

fn plain(out: &mut Vec<u8>, value: &Value) -> Result<(), Unfit> {
    serde_json::to_writer(out, value).map_err(|_| Unfit::Unspeakable("a JSON value"))
}

fn copied<'a>(name: &str, values: &Values<'a>) -> Result<&'a Value, Unfit> {
    let found = values.copy.and_then(|copy| copy.get(name));
    found.ok_or_else(|| Unfit::Missing(format!("the setting `{name}` that op.get reads")))
}

/// A header's value: visible ASCII and spaces, so that no line can be added.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Unfit> {
    let fits = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes());
    match (fits, name, secret_header(Zeroizing::new(value.as_bytes().to_vec()))) {
        (true, Ok(name), Some(value)) => Ok((name, value)),
        _ => Err(Unfit::Unspeakable("a header")),
    }
}

/// The template filled in, not escaped.
pub(crate) fn text(template: &Template, values: &Values<'_>) -> Result<Zeroizing<String>, Unfit> {
    let mut filled = Zeroizing::new(String::with_capacity(256));
    for part in template.parts() {
        match part {
            Part::Literal(literal) => filled.push_str(literal),
            Part::Slot(slot) => filled.push_str(&value(slot, values)?),
        }
    }
    Ok(filled)
}

fn value(slot: &Slot, values: &Values<'_>) -> Result<Zeroizing<String>, Unfit> {
    let plain = |found: Option<&str>, what: &str| {
        let found = found.ok_or_else(|| Unfit::Missing(what.to_owned()))?;
        Ok(Zeroizing::new(found.to_owned()))
    };
    let derived = |of: fn(&Derived) -> Option<&String>| values.derived.and_then(of).map(String::as_str);
    match slot {
        Slot::Label => plain(values.label, "the label"),
        Slot::Admin(None) => secret(values.admin.ok_or(Unfit::NoAdmin)?),
        Slot::Admin(Some(at)) => part(values.admin.ok_or(Unfit::NoAdmin)?, at, "admin credential"),
        Slot::Token => plain(derived(|it| it.token.as_deref()), "the access token"),
        Slot::Jwt => plain(derived(|it| it.jwt.as_deref()), "the JWT"),
        Slot::Hmac => plain(derived(|it| it.hmac.as_deref()), "the HMAC"),
        Slot::Time => plain(derived(|it| it.time.as_ref()), "the time of the signature"),
        Slot::CredId => plain(values.id, "the credential's id"),
        Slot::CurrentId => plain(values.current_id, "the id of the credential in use"),
        Slot::CredField(name) => field(values.fields, name),
        Slot::CredPart(name, at) => part(found(values.fields, name)?, at, "credential"),
        Slot::CurrentField(name) => field(values.current_fields, name),
        Slot::Since => plain(values.since, "the time to ask from"),
        Slot::SessionHandle => plain(values.handle, "the session"),
        Slot::SessionForce => plain(Some(if values.force { "true" } else { "false" }), "the session"),
        Slot::Copy(name) => match copied(name, values)? {
            Value::String(text) => plain(Some(text), name),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                plain(Some(&other.to_string()), name)
            }
        },
    }
}

fn field(fields: Option<&Fields>, name: &str) -> Result<Zeroizing<String>, Unfit> {
    secret(found(fields, name)?)
}

fn found<'a>(fields: Option<&'a Fields>, name: &str) -> Result<&'a SecretBytes, Unfit> {
    let found = fields.and_then(|fields| fields.get(name));
    Ok(&found.ok_or_else(|| Unfit::Missing(format!("the credential's field `{name}`")))?.value)
}

/// The text at a position of a credential that is a JSON document.
pub(crate) fn part(
    document: &SecretBytes,
    at: &Pointer,
    of: &'static str,
) -> Result<Zeroizing<String>, Unfit> {
    let mut json: Value = serde_json::from_slice(document.expose()).unwrap_or_default();
    let text = at.text(&json).map(Zeroizing::new);
    wipe(&mut json);
    text.ok_or_else(|| Unfit::NoPart { of, at: at.to_string() })
}

fn secret(bytes: &SecretBytes) -> Result<Zeroizing<String>, Unfit> {
    let text =
        std::str::from_utf8(bytes.expose()).map_err(|_| Unfit::Unspeakable("a request, which is text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
