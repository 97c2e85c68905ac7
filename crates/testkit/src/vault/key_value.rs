use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::reply::Reply;
use super::request::Request;
use super::state::State;
use super::storage::{Engine, Version};

/// The key/value engines, as <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2> and
/// <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v1> describe them.
impl State {
    /// A request to an engine of version 2.
    pub(super) fn versioned(&mut self, request: &Request, engine: &Engine, rest: &str) -> Reply {
        let (what, secret) = rest.split_once('/').unwrap_or((rest, ""));
        let path = format!("{}/{secret}", engine.path);
        match (request.method.as_str(), what) {
            ("GET", "data") => self.read(&path, request.version),
            ("POST" | "PUT", "data") => self.write(&path, &request.body),
            ("DELETE", "data") => {
                let current = self.storage.secrets.get(&path).map_or(0, |secret| secret.current);
                self.storage.change(&path, &[current], delete);
                Reply::done()
            }
            ("GET", "metadata") => self.list(&path),
            ("POST" | "PUT", "delete") => self.mark(&path, &request.body, delete),
            ("POST" | "PUT", "undelete") => self.mark(&path, &request.body, undelete),
            ("POST" | "PUT", "destroy") => self.mark(&path, &request.body, Version::destroy),
            _ => Reply::error(405, "unsupported operation"),
        }
    }

    fn read(&self, path: &str, number: Option<u64>) -> Reply {
        let found = self.storage.secrets.get(path).and_then(|secret| secret.version(number));
        let Some((number, version)) = found else { return Reply::nothing() };
        let ended = version.destroyed || version.deleted.is_some();
        let document = if ended { Zeroizing::new(b"null".to_vec()) } else { version.document() };
        let metadata = about(number, version).to_string();
        let parts: [&[u8]; 5] =
            [b"{\"data\":{\"data\":", &document, b",\"metadata\":", metadata.as_bytes(), b"}}"];
        Reply::raw(if ended { 404 } else { 200 }, joined(&parts))
    }

    fn write(&mut self, path: &str, body: &[u8]) -> Reply {
        let asked: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(body).ok();
        let asked = asked.unwrap_or_default();
        let data = asked.get("data").map(|data| data.get()).filter(|data| data.starts_with('{'));
        let Some(data) = data else { return Reply::error(400, "no data provided") };
        let options: Option<Value> =
            asked.get("options").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let cas = options.as_ref().and_then(|options| options.get("cas")?.as_u64());
        let current = self.storage.secrets.get(path).map_or(0, |secret| secret.current);
        if cas.is_some_and(|cas| cas != current) {
            return Reply::error(400, "check-and-set parameter did not match the current version");
        }
        let number = self.storage.put(path, data.as_bytes());
        let written = self.storage.secrets.get(path).and_then(|secret| secret.version(None));
        let data = written.map_or(Value::Null, |(_, version)| about(number, version));
        Reply::json(200, &json!({ "data": data }))
    }

    fn list(&self, path: &str) -> Reply {
        let Some(secret) = self.storage.secrets.get(path) else { return Reply::nothing() };
        let listed = |(number, version): (&u64, &Version)| {
            let times = (version.made.to_string(), time(version.deleted));
            let about =
                json!({ "created_time": times.0, "deletion_time": times.1, "destroyed": version.destroyed });
            (number.to_string(), about)
        };
        let versions: serde_json::Map<String, Value> = secret.versions.iter().map(listed).collect();
        let oldest = secret.versions.keys().next();
        let data = json!({
            "cas_required": false, "current_version": secret.current, "max_versions": 0, "oldest_version": oldest,
            "delete_version_after": "0s", "custom_metadata": null, "versions": versions,
        });
        Reply::json(200, &json!({ "data": data }))
    }

    fn mark(&mut self, path: &str, body: &[u8], change: fn(&mut Version)) -> Reply {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let numbers = asked.get("versions").and_then(Value::as_array).cloned().unwrap_or_default();
        let numbers: Vec<u64> = numbers.iter().filter_map(Value::as_u64).collect();
        if numbers.is_empty() {
            return Reply::error(400, "No version number provided");
        }
        self.storage.change(path, &numbers, change);
        Reply::done()
    }

    /// A request to an engine of version 1.
    pub(super) fn unversioned(&mut self, request: &Request) -> Reply {
        match request.method.as_str() {
            "GET" => {
                let found = self.storage.secrets.get(&request.path).and_then(|secret| secret.version(None));
                let Some((_, version)) = found else { return Reply::nothing() };
                Reply::raw(200, joined(&[b"{\"data\":", &version.document(), b"}"]))
            }
            "POST" | "PUT" => {
                self.storage.put(&request.path, &request.body);
                Reply::done()
            }
            "DELETE" => {
                drop(self.storage.secrets.remove(&request.path));
                Reply::done()
            }
            _ => Reply::error(405, "unsupported operation"),
        }
    }
}

pub(super) fn delete(version: &mut Version) {
    version.deleted = Some(Timestamp::now());
}

pub(super) fn undelete(version: &mut Version) {
    version.deleted = None;
}

/// The metadata of a version.
fn about(number: u64, version: &Version) -> Value {
    json!({
        "created_time": version.made.to_string(), "custom_metadata": null, "deletion_time": time(version.deleted),
        "destroyed": version.destroyed, "version": number,
    })
}

/// Empty where there is none.
fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

/// In one buffer of the full size: one that grows leaves a copy in memory.
pub(super) fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all
}
