use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::database::{self, AfterRotation, Change};
use super::reply::Reply;
use super::request::Request;
use super::storage::{Engine, Storage, VaultUser};
use crate::alphanumeric;

/// How long a token of a login lasts, seconds.
const LEASE_SECONDS: u64 = 3600;

/// Letters and digits of a token, after its beginning.
const TOKEN_CHARS: usize = 24;

/// What is said to a token that is unknown, or has ended.
const INVALID: &str = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
/// What is said to a token without the right.
pub(super) const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

pub(super) const EVERY: &[&str] = &["create", "delete", "list", "patch", "read", "update"];

/// The server: what it holds, and the state that it is in.
#[derive(Default)]
pub(super) struct State {
    pub(super) storage: Storage,
    pub(super) sealed: bool,
    pub(super) standby: bool,
    pub(super) quota: bool,
    /// Changes a login's password at the database; none where the engine is not mounted.
    pub(super) database: Option<Change>,
    /// What happens right after a rotation.
    pub(super) after_rotation: AfterRotation,
    /// How often each static role's password was changed. No snapshot holds it.
    pub(super) rotations: BTreeMap<String, usize>,
    /// A line for each request.
    pub(super) log: String,
}

impl State {
    /// Answers a request, and writes it down.
    pub(super) fn answer(&mut self, request: &Request) -> Reply {
        let reply = self.answered(request);
        self.log += &format!("{} {} {}\n", request.method, request.target, reply.status);
        reply
    }

    /// A new token.
    pub(super) fn token(&mut self, user: VaultUser) -> String {
        let token = format!("hvs.{}", alphanumeric(TOKEN_CHARS));
        self.storage.tokens.insert(token.clone(), user);
        token
    }

    fn answered(&mut self, request: &Request) -> Reply {
        match request.path.as_str() {
            "sys/health" => return self.health(),
            // Source: <https://developer.hashicorp.com/vault/api-docs/system/seal-status>.
            "sys/seal-status" => {
                let sealed = self.sealed;
                let body = json!({ "type": "shamir", "initialized": true, "sealed": sealed, "t": 1, "n": 1 });
                return Reply::json(200, &body);
            }
            _ => {}
        }
        if self.sealed {
            // Source: <https://github.com/hashicorp/vault/blob/main/sdk/helper/consts/error.go>, `ErrSealed`.
            return Reply::error(503, "Vault is sealed");
        }
        if self.standby {
            // A node that does not pass requests on sends clients to the active one.
            // Source: <https://github.com/openbao/openbao/blob/main/http/handler.go>, `respondStandby`.
            return Reply::elsewhere(format!("https://active.vault.example:8200{}", request.target));
        }
        if self.quota {
            // Source: <https://developer.hashicorp.com/vault/docs/concepts/resource-quotas>.
            let why = format!("request path \"{}\": rate limit quota exceeded", request.path);
            return Reply::error(429, &why);
        }
        if request.path == "auth/approle/login" {
            return self.log_in(request);
        }
        let token = request.token.as_ref();
        match token.and_then(|token| self.storage.tokens.get(token.as_str())).copied() {
            Some(user) => self.allowed(request, user),
            None => Reply::error(403, INVALID),
        }
    }

    /// Source: <https://developer.hashicorp.com/vault/api-docs/system/health>.
    fn health(&self) -> Reply {
        let status = match (self.sealed, self.standby) {
            (true, _) => 503,
            (false, true) => 429,
            (false, false) => 200,
        };
        let body = json!({ "initialized": true, "sealed": self.sealed, "standby": self.standby });
        Reply::json(status, &body)
    }

    /// Source: <https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle>.
    fn log_in(&mut self, request: &Request) -> Reply {
        if !["POST", "PUT"].contains(&request.method.as_str()) {
            return Reply::error(405, "unsupported operation");
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
        let roles = &self.storage.roles;
        let role =
            roles.iter().find(|role| role.role_id == text("role_id") && role.secret_id == text("secret_id"));
        let Some(user) = role.map(|role| role.user) else {
            // Source: <https://github.com/openbao/openbao/blob/main/builtin/credential/approle/path_login.go>.
            return Reply::error(400, "invalid role or secret ID");
        };
        let token = self.token(user);
        let auth = json!({
            "client_token": token, "policies": [named(user)], "lease_duration": LEASE_SECONDS, "renewable": true,
        });
        Reply::json(200, &json!({ "auth": auth, "data": null }))
    }

    /// The answer to somebody who is known.
    fn allowed(&mut self, request: &Request, user: VaultUser) -> Reply {
        if let Some(path) = request.path.strip_prefix("sys/internal/ui/mounts/") {
            return engine_of(path);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("POST" | "PUT", "sys/capabilities-self") => return capabilities_of(request, user),
            // Source: <https://developer.hashicorp.com/vault/api-docs/auth/token#lookup-a-token-self>.
            ("GET", "auth/token/lookup-self") => {
                let data =
                    json!({ "display_name": named(user), "policies": [named(user)], "ttl": LEASE_SECONDS });
                return Reply::json(200, &json!({ "data": data }));
            }
            _ => {}
        }
        if let Some(rest) = request.path.strip_prefix(database::MOUNT) {
            return self.database(request, user, rest);
        }
        let Some((engine, rest)) = Engine::of(&request.path) else {
            return Reply::error(403, DENIED);
        };
        let needed = match request.method.as_str() {
            "GET" => "read",
            "DELETE" => "delete",
            _ if self.exists(engine, rest) => "update",
            _ => "create",
        };
        if !capabilities(user, &request.path).contains(&needed) {
            return Reply::error(403, DENIED);
        }
        match engine.version {
            2 => self.versioned(request, engine, rest),
            _ => self.unversioned(request),
        }
    }

    /// Whether the secret of a path exists, whatever is asked of it.
    fn exists(&self, engine: &Engine, rest: &str) -> bool {
        let secret =
            if engine.version == 2 { rest.split_once('/').map_or("", |(_, secret)| secret) } else { rest };
        self.storage.secrets.contains_key(&format!("{}/{secret}", engine.path))
    }
}

fn named(user: VaultUser) -> &'static str {
    match user {
        VaultUser::Keyroll => "keyroll",
        VaultUser::Reader => "reader",
        VaultUser::Writer => "writer",
    }
}

/// What the policies of a user allow at a path.
fn capabilities(user: VaultUser, path: &str) -> &'static [&'static str] {
    match path {
        // Those of the policy `default`.
        "sys/capabilities-self" => return &["update"],
        "auth/token/lookup-self" => return &["read"],
        _ => {}
    }
    if let Some(rest) = path.strip_prefix(database::MOUNT) {
        return database::capabilities(user, rest);
    }
    let Some((engine, rest)) = Engine::of(path) else { return &[] };
    let part = rest.split('/').next().unwrap_or_default();
    match (user, engine.version, part) {
        (VaultUser::Writer, _, _) => EVERY,
        (VaultUser::Keyroll, 2, "data") => &["create", "read", "update"],
        (VaultUser::Keyroll, 2, "metadata") | (VaultUser::Reader, 2, "data") => &["read"],
        (VaultUser::Keyroll | VaultUser::Reader, 1, _) => &["read"],
        (VaultUser::Keyroll | VaultUser::Reader, _, _) => &[],
    }
}

/// The engine of a path; every user here has a right in every engine. Source:
/// <https://github.com/hashicorp/vault/blob/main/vault/logical_system.go>, `pathInternalUIMountRead`.
fn engine_of(path: &str) -> Reply {
    let Some((engine, _)) = Engine::of(path) else {
        let why =
            "preflight capability check returned 403, please ensure client's policies grant access to path";
        return Reply::error(403, &format!("{why} \"{path}/\""));
    };
    let options = json!({ "version": engine.version.to_string() });
    let data =
        json!({ "path": format!("{}/", engine.path), "type": "kv", "options": options, "local": false });
    Reply::json(200, &json!({ "data": data }))
}

/// Source: <https://developer.hashicorp.com/vault/api-docs/system/capabilities-self>.
fn capabilities_of(request: &Request, user: VaultUser) -> Reply {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let paths = asked.get("paths").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut data = serde_json::Map::new();
    for path in paths.iter().filter_map(Value::as_str) {
        let granted = capabilities(user, path);
        let granted = if granted.is_empty() { json!(["deny"]) } else { json!(granted) };
        if paths.len() == 1 {
            data.insert("capabilities".to_owned(), granted.clone());
        }
        data.insert(path.to_owned(), granted);
    }
    let mut body = data.clone();
    body.insert("data".to_owned(), Value::Object(data));
    Reply::json(200, &Value::Object(body))
}
