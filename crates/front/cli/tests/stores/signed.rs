//! One request to a service of AWS: signed as
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> says, without keyroll's code;
//! or through the door of the tests for another party.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use keyroll_testkit::MOTO_REGION;
use serde_json::Value;

use crate::stores::exchange::exchange;

const SERVICE: &str = "secretsmanager";

/// A login at the store.
pub struct Login {
    pub id: String,
    pub secret: String,
}

/// Calls an action; the answer, or its status and its kind of error.
pub fn call(host: &str, login: &Login, action: &str, body: &Value) -> Result<Value, String> {
    let target = format!("secretsmanager.{action}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    exchanged(host, &signed(host, login, SERVICE, &headers, &body.to_string()))
}

/// A whole signed request with this body and these headers, beside those that every request has.
pub fn signed(host: &str, login: &Login, service: &str, headers: &[(&str, &str)], body: &str) -> String {
    let at = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let own = [("host", host), ("x-amz-date", at.as_str())];
    let mut all = [headers, own.as_slice()].concat();
    all.sort_unstable();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let (names, day) = (names.join(";"), &at[..8]);
    let lines: String = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(body.as_bytes()));
    let scope = format!("{day}/{MOTO_REGION}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hash(canonical.as_bytes()));
    let first = format!("AWS4{}", login.secret).into_bytes();
    let key = [day, MOTO_REGION, service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    let sent: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST / HTTP/1.1\r\n{sent}\
         Authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        login.id,
        body.len()
    )
}

/// What another party does, who has every right.
pub fn door(host: &str, body: &Value) -> Result<Value, String> {
    let body = body.to_string();
    let length = body.len();
    exchanged(host, &format!("POST /another-party HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"))
}

/// The body of an answer; of another one than 200 its status and its kind of error, which have no value.
fn exchanged(host: &str, request: &str) -> Result<Value, String> {
    let (status, body) = exchange(host, request)?;
    if status == 200 { Ok(body) } else { Err(format!("status {status}: {}", body["__type"])) }
}

fn hash(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
