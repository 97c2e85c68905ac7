//! One request to the store: signed as
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> says, without keyroll's code; or through the door of the tests for
//! another party.

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
    let body = body.to_string();
    let at = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (kind, target) = ("application/x-amz-json-1.1", format!("secretsmanager.{action}"));
    let headers = format!("content-type:{kind}\nhost:{host}\nx-amz-date:{at}\nx-amz-target:{target}\n");
    let signed = "content-type;host;x-amz-date;x-amz-target";
    let canonical = format!("POST\n/\n\n{headers}\n{signed}\n{}", hash(body.as_bytes()));
    let scope = format!("{}/{MOTO_REGION}/{SERVICE}/aws4_request", &at[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hash(canonical.as_bytes()));
    let first = format!("AWS4{}", login.secret).into_bytes();
    let key =
        [&at[..8], MOTO_REGION, SERVICE, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    let credential = format!("{}/{scope}", login.id);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nX-Amz-Date: {at}\r\nX-Amz-Target: {target}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    exchanged(host, &request)
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
