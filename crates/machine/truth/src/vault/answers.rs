use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use keyroll_codes::Code;
use keyroll_http::{Response, strict_json};
use keyroll_port::{Class, Failure, TruthVersion};
use keyroll_secret::SecretBytes;
use keyroll_vault::{Attempt, foreign, refused};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::mount::Mount;
use crate::cell::Held;
use crate::document::Document;

/// The answer about a version. Source: <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version>.
#[derive(Deserialize)]
struct SecretAnswer<'a> {
    #[serde(borrow)]
    data: Option<Version<'a>>,
}

#[derive(Deserialize)]
struct Version<'a> {
    /// Borrowed as it stands there: every byte of it is kept, and none is copied by the parser.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: About,
}

#[derive(Deserialize)]
struct About {
    version: u64,
    created_time: String,
    /// When it was deleted or will be; empty where nothing is planned.
    deletion_time: String,
    destroyed: bool,
}

/// The answer about all versions. Source:
/// <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-metadata>.
#[derive(Deserialize)]
struct MetadataAnswer {
    data: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    current_version: u64,
    versions: BTreeMap<String, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

/// The answer about capabilities. For a single path, they also stand under this name; the command line tools read those in
/// `data`. Sources: <https://developer.hashicorp.com/vault/api-docs/system/capabilities-self>;
/// <https://github.com/openbao/openbao/blob/main/api/sys_capabilities.go>.
#[derive(Deserialize)]
struct CapabilitiesAnswer {
    capabilities: Option<Vec<String>>,
    data: Option<Capabilities>,
}

#[derive(Deserialize)]
struct Capabilities {
    capabilities: Option<Vec<String>>,
}

/// The version that is given out.
///
/// The last version counts, also where it is deleted or destroyed: 404 with its metadata. Whether a
/// deletion is in the future, the clock of the server decides: the version is still given out then (200).
/// Source: <https://github.com/openbao/openbao/blob/main/builtin/logical/kv/path_data.go>, `pathDataRead`.
pub(super) fn held(
    attempt: &Attempt<'_>,
    mount: &Mount,
    answer: &Response,
    key: &str,
) -> Result<Held, Failure> {
    if ![200, 404].contains(&answer.status) {
        return Err(refused(attempt, answer));
    }
    // The parser's own message is dropped: it repeats a part of the text.
    let read: Result<SecretAnswer<'_>, _> = serde_json::from_slice(&answer.body);
    let (given, version) = match (answer.status, read.map(|read| read.data)) {
        (404, Ok(None)) => return Err(never(attempt, mount)),
        (status, Ok(Some(version))) => (status == 200, version),
        (_, Ok(None) | Err(_)) => return Err(foreign(attempt, answer)),
    };
    let (about, text) = (version.metadata, version.data);
    if let Some(failure) = ended(attempt, mount, &about, given) {
        return Err(failure);
    }
    let Some(text) = text else { return Err(foreign(attempt, answer)) };
    let text = SecretBytes::new(text.get().as_bytes().to_vec());
    Ok(Held {
        id: about.version.to_string(),
        unix_ms: unix_ms(&about.created_time),
        document: Document::new(text, Some(key)),
    })
}

/// Why the last version is not to be used.
fn ended(attempt: &Attempt<'_>, mount: &Mount, about: &About, given: bool) -> Option<Failure> {
    let (number, arguments) = (about.version, mount.arguments());
    let at = moment(&about.deletion_time);
    let undelete = format!("`vault kv undelete -versions={number} {arguments}`");
    let (why, help) = match (about.destroyed, given) {
        (true, _) => (
            format!("its last version, {number}, was destroyed"),
            format!("write a version again (`vault kv put {arguments} @FILE`), or `vault kv rollback`"),
        ),
        (false, false) => (
            format!("its last version, {number}, was deleted{at}"),
            format!("{undelete} gives it out again, if it is still meant to be used"),
        ),
        (false, true) if about.deletion_time.is_empty() => return None,
        (false, true) => (
            format!("its last version, {number}, will be deleted{at} (delete_version_after)"),
            format!(
                "`vault kv metadata put -delete-version-after=0s {arguments}` for new versions, and {undelete} for this one; \
                 a limit of the whole engine is in its config"
            ),
        ),
    };
    Some(attempt.fail(Class::Permanent, Code::TruthUnsuitable).because(why).help(help))
}

/// The failure for a secret that was never written.
pub(super) fn never(attempt: &Attempt<'_>, mount: &Mount) -> Failure {
    // The address of the API has it; the path of the secret does not.
    if let Some(path) = mount.path_without_data() {
        let help = format!("leave out `data/` in `store`: {path}");
        return absent(attempt, &help);
    }
    let help = format!(
        "check path and namespace (`vault kv get {}`; capitals count), or write a first version there",
        mount.arguments()
    );
    absent(attempt, &help)
}

fn absent(attempt: &Attempt<'_>, help: &str) -> Failure {
    attempt
        .fail(Class::Permanent, Code::TruthUnsuitable)
        .because("there is no secret at this path")
        .help(help)
}

/// All versions that are still known, with the words of Vault for their state.
pub(super) fn versions(
    attempt: &Attempt<'_>,
    mount: &Mount,
    answer: &Response,
) -> Result<Vec<TruthVersion>, Failure> {
    match answer.status {
        200 => {}
        404 => return Err(never(attempt, mount)),
        _ => return Err(refused(attempt, answer)),
    }
    let read: Result<MetadataAnswer, _> = strict_json::read(&answer.body);
    let metadata = read.map_err(|_| foreign(attempt, answer))?.data;
    let now = answer.header("date").and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let mut all = Vec::new();
    for (number, listed) in metadata.versions {
        let number: u64 = number.parse().map_err(|_| foreign(attempt, answer))?;
        let current = (number == metadata.current_version).then_some("current");
        let labels = current.into_iter().chain(listed.state(now)).map(str::to_owned).collect();
        let unix_ms = unix_ms(&listed.created_time);
        all.push((number, TruthVersion { id: number.to_string(), labels, unix_ms }));
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, version)| version).collect())
}

impl Listed {
    /// `now` is the time of the server, which its header tells in whole seconds.
    fn state(&self, now: Option<Timestamp>) -> Option<&'static str> {
        if self.destroyed {
            return Some("destroyed");
        }
        if self.deletion_time.is_empty() {
            return None;
        }
        let at: Option<Timestamp> = self.deletion_time.parse().ok();
        let later = at.zip(now).is_some_and(|(at, now)| at.as_second() > now.as_second());
        Some(if later { "to be deleted" } else { "deleted" })
    }
}

/// Whether the token may write a version of a secret that exists; `None` where the answer does not tell.
pub(super) fn may_update(answer: &Response) -> Option<bool> {
    let read: CapabilitiesAnswer = strict_json::read(&answer.body).ok()?;
    let inner = read.data.and_then(|data| data.capabilities);
    let capabilities = inner.or(read.capabilities)?;
    Some(capabilities.iter().any(|one| one == "update" || one == "root"))
}

fn unix_ms(time: &str) -> Option<u64> {
    let time: Timestamp = time.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// ` at TIME`, or nothing where the text is no time.
fn moment(time: &str) -> String {
    let time: Result<Timestamp, _> = time.parse();
    time.map_or_else(|_| String::new(), |time| format!(" at {time}"))
}
