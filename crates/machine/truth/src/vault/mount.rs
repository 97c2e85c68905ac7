use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_http::{Method, strict_json};
use keyroll_port::{Class, Failure};
use keyroll_vault::{Call, Client, Nature, Needs, foreign, refused, says};
use serde::Deserialize;
use zeroize::Zeroizing;

/// A secret by the secrets engine that it is in.
pub(super) struct Mount {
    /// Of the engine, without slashes around it.
    engine: String,
    /// Of the secret, below the engine.
    secret: String,
}

#[derive(Deserialize)]
struct MountAnswer {
    data: Engine,
}

#[derive(Deserialize)]
struct Engine {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<BTreeMap<String, String>>,
}

impl Mount {
    /// The path of the versions, also for a policy.
    pub(super) fn data(&self) -> String {
        format!("{}/data/{}", self.engine, self.secret)
    }

    /// The path of their list, also for a policy.
    pub(super) fn metadata(&self) -> String {
        format!("{}/metadata/{}", self.engine, self.secret)
    }

    /// The path that was probably meant, where it was copied from an address of the API.
    pub(super) fn path_without_data(&self) -> Option<String> {
        self.secret.strip_prefix("data/").map(|rest| format!("vault:{}/{rest}#KEY", self.engine))
    }

    /// As the command line tools name it.
    pub(super) fn arguments(&self) -> String {
        format!("-mount={} {}", self.engine, self.secret)
    }
}

/// Finds the engine of a path, as the command line tools do. Nothing is guessed where the server does not tell: with another
/// version of the engine the same paths mean other secrets. Whoever may do anything below the engine is answered.
/// Sources: <https://developer.hashicorp.com/vault/api-docs/system/internal-ui-mounts>;
/// <https://github.com/openbao/openbao/blob/main/command/kv_helpers.go>, `kvPreflightVersionRequest`.
pub(super) async fn find(client: &Client, path: &str) -> Result<Mount, Failure> {
    let attempt = client.attempt("find the secrets engine of", Nature::Read);
    let asked = format!("sys/internal/ui/mounts/{path}");
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let likely = format!("{first}/data/{rest}");
    let needs = Needs {
        why: "there is no secrets engine at this path, or no right to anything in it (403)",
        ..Needs::new(&likely, "\"create\", \"read\", \"update\"")
    };
    let call = Call { attempt, method: Method::GET, path: &asked, body: Zeroizing::default(), needs };
    let answer = client.call(call).await?;
    let unsuitable = |why: String, help: String| {
        Err(attempt.fail(Class::Permanent, Code::TruthUnsuitable).because(why).help(help))
    };
    match answer.status {
        200 => {}
        // Source: <https://github.com/openbao/openbao/blob/main/vault/request_handling.go>.
        404 if says(&answer, "namespace not found") => {
            let help =
                "correct `namespace` in keyroll.toml, or VAULT_NAMESPACE: `vault namespace list`".to_owned();
            return unsuitable("there is no such namespace".to_owned(), help);
        }
        404 => {
            let why = "it does not tell the secrets engine of a path (404)".to_owned();
            return unsuitable(
                why,
                "look whether `address` is that of Vault or OpenBao: `vault status`".to_owned(),
            );
        }
        _ => return Err(refused(&attempt, &answer)),
    }
    let read: Result<MountAnswer, _> = strict_json::read(&answer.body);
    let engine = read.map_err(|_| foreign(&attempt, &answer))?.data;
    if engine.kind != "kv" {
        let help = "name a secret of a key/value engine: `vault secrets list -detailed`".to_owned();
        return unsuitable("the secrets engine at this path is no key/value engine".to_owned(), help);
    }
    let version = engine.options.as_ref().and_then(|options| options.get("version"));
    if version.is_none_or(|version| version != "2") {
        // It keeps no version, and has nothing to compare a write with.
        let why = "the key/value engine at this path is of version 1, which keeps no versions".to_owned();
        let engine = engine.path.trim_matches('/');
        return unsuitable(
            why,
            format!("`vault kv enable-versioning {engine}`, or move the secret to an engine of version 2"),
        );
    }
    let Some(mount) = split(&engine.path, path) else {
        let help = "name engine and secret in `store`: vault:kv/agents/openai#key".to_owned();
        return unsuitable("it is the path of a secrets engine, not that of a secret".to_owned(), help);
    };
    Ok(mount)
}

/// The path of the engine may begin with namespaces that the configured path does not have.
/// Source: <https://github.com/openbao/openbao/blob/main/command/kv_helpers.go>, `addPrefixToKVPath`.
fn split(engine: &str, path: &str) -> Option<Mount> {
    let mut engine = engine.trim_matches('/');
    while !engine.is_empty() {
        let below = path.strip_prefix(engine).and_then(|rest| rest.strip_prefix('/'));
        if let Some(secret) = below.filter(|secret| !secret.is_empty()) {
            return Some(Mount { engine: engine.to_owned(), secret: secret.to_owned() });
        }
        engine = engine.split_once('/')?.1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_its_engine() {
        let data = |engine: &str, path: &str| split(engine, path).map(|mount| mount.data());
        assert_eq!(data("kv/", "kv/agents/openai").as_deref(), Some("kv/data/agents/openai"));
        assert_eq!(data("team/kv/", "team/kv/openai").as_deref(), Some("team/kv/data/openai"));
        assert_eq!(data("team-a/kv/", "kv/openai").as_deref(), Some("kv/data/openai"));
        for (engine, path) in
            [("kv/", "kv"), ("kv/", "kv/"), ("kv/", "kvx/a"), ("other/", "kv/a"), ("", "kv/a")]
        {
            assert_eq!(data(engine, path), None, "{engine} {path}");
        }
    }
}
