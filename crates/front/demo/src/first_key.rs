//! The state before any rotation: one key at the issuer, and its copies where the services read them.

use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::admin::Admin;
use crate::folder::Folder;

/// How long a new key may take to be accepted; longer than the issuer's longest delay.
const BIRTH_MS_MAX: u64 = 6_000;
const BIRTH_LOOK_MS: u64 = 50;

/// Labels of the account's keys: the demo's own label is among those of other teams.
const LABELS: [&str; 3] = ["billing-team", "acme-production", "mobile-team"];

#[derive(Deserialize)]
struct Minted<'a> {
    id: String,
    key: &'a str,
}

/// Mints the first key, writes it wherever a service reads it, and into `first.key` for `keyroll secret add`; writes
/// its id into `first.id`. This process alone holds the value, and ends.
pub(crate) async fn run(folder: &Folder) -> Result<(), Failure> {
    let admin = Admin::open(folder)?;
    let mut made = Vec::new();
    for label in LABELS {
        let body = json!({ "name": label }).to_string();
        let response = admin.call("POST", "/v1/keys", body.as_bytes()).await?;
        let minted: Minted<'_> = serde_json::from_slice(&response.body).map_err(|_| {
            Failure::new(Class::Permanent, Code::DemoFailed, "read a key that the demo's issuer made")
        })?;
        made.push((label, minted.id, SecretBytes::new(minted.key.as_bytes().to_vec())));
    }
    // A key that becomes valid after the plan would make the plan stale.
    for (_, _, key) in &made {
        wait_for_birth(&admin, key).await?;
    }
    for (_, id, key) in made.iter().filter(|(label, _, _)| *label == "acme-production") {
        let key = std::str::from_utf8(key.expose()).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, "read the first key as text").because(error)
        })?;
        write_copies(folder, key)?;
        folder.write("first.id", id.as_bytes(), 0o600)?;
    }
    Ok(())
}

async fn wait_for_birth(admin: &Admin, key: &SecretBytes) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_millis(BIRTH_MS_MAX);
    while !admin.accepts(key).await {
        if Instant::now() > deadline {
            return Err(Failure::new(
                Class::Permanent,
                Code::DemoFailed,
                "see the first key accepted by the demo's issuer",
            ));
        }
        sleep(Duration::from_millis(BIRTH_LOOK_MS)).await;
    }
    Ok(())
}

fn write_copies(folder: &Folder, key: &str) -> Result<(), Failure> {
    let port = folder.ports()?.issuer().port();
    let encoded = Zeroizing::new(percent_encoded(key));
    let api = Zeroizing::new(format!(
        "# The API service. start.sh loads this file.\nLOG_LEVEL=info\nACME_KEY={key}\n\
         # The fallback model is called with the same key.\nACME_FALLBACK_KEY={key}\n"
    ));
    let report = Zeroizing::new(format!("ACME_URL=http://svc:{}@127.0.0.1:{port}/v1\n", encoded.as_str()));
    let nightly = Zeroizing::new(format!("export ACME_KEY={key}\nREPORT_DAYS=1\n"));
    folder.write("api/api.env", api.as_bytes(), 0o600)?;
    folder.write("report/report.env", report.as_bytes(), 0o600)?;
    folder.write("nightly/nightly.env", nightly.as_bytes(), 0o600)?;
    folder.write("reader/acme.key", Zeroizing::new(format!("{key}\n")).as_bytes(), 0o600)?;
    folder.write("first.key", key.as_bytes(), 0o600)
}

/// Percent-encodes all but the unreserved characters (RFC 3986, 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(percent_encoded("acme_sk_a+b/c"), "acme_sk_a%2Bb%2Fc");
    }
}
