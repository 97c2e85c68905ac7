//! The first value of an object's secret: the one that its consumers have.

use std::sync::Arc;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_controller::{SecretRotation, asks};
use serde::Deserialize;

use super::acts::with_help;
use super::followed::Followed;
use crate::api::child::said_within;
use crate::seen::Told;
use crate::server::Server;

/// How long an import may take.
const IMPORT_MAX: Duration = Duration::from_secs(120);
/// When it is tried again, if nobody changed the object.
const AGAIN: Duration = Duration::from_secs(15);
/// What a person does who knows the id.
const KEY_ID_HELP: &str =
    "annotate the object with keyroll.dev/key-id=ID, the issuer's id of the key that the Secret has now";

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Error(Told),
    #[serde(other)]
    Other,
}

/// Why the secret has no value yet; the value that the consumers of the object have is imported meanwhile.
pub(super) fn why_not(server: &Arc<Server>, followed: &Followed, object: &SecretRotation) -> String {
    let secret = object.secret();
    let id = object.asks(asks::KEY_ID).map(str::to_owned);
    let by = format!("{} {} {}", object.uid, object.generation, id.as_deref().unwrap_or_default());
    let work = || import(server.clone(), secret.clone(), id);
    match followed.jobs.ask(&format!("import {secret}"), &by, Some(AGAIN), work) {
        Some(Err(why)) => why,
        // What was imported shows at the next look.
        Some(Ok(_)) | None => "it is being imported from the cluster".to_owned(),
    }
}

async fn import(server: Arc<Server>, secret: String, id: Option<String>) -> Result<String, String> {
    let option = id.map(|id| format!("--id={id}"));
    let words: Vec<&str> =
        ["secret", "import", secret.as_str(), "--bound"].into_iter().chain(option.as_deref()).collect();
    let (said, status) = said_within::<Line, _>(&server, "the import", &words, IMPORT_MAX, ()).await?;
    if status.success() {
        server.log(&format!("{secret}: its value was imported from the cluster"));
        return Ok(String::new());
    }
    let told = said.into_iter().find_map(|line| match line {
        Line::Error(told) => Some(told),
        Line::Other => None,
    });
    // The object says it, and it is tried again and again.
    Err(match told {
        Some(told) if told.is(Code::NotPossibleNow) => format!("{}; {KEY_ID_HELP}", told.sentence()),
        Some(told) => with_help(&told),
        None => format!("keyroll secret import ended with {status}"),
    })
}
