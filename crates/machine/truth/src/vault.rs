mod answers;
mod mount;

use std::sync::OnceLock;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::{Method, joined};
use keyroll_port::{Class, Failure, MadeBy, Truth, TruthVersion};
use keyroll_secret::SecretBytes;
use keyroll_vault::{Attempt, Call, Client, Codes, Nature, Needs, VaultSettings, foreign, refused, says};
use zeroize::Zeroizing;

use self::mount::Mount;
use crate::cell::{Cell, CellTruth, Held, Written};
use crate::document::Document;

/// The longest text of a version, bytes: the storage of Vault takes 1 MiB for an entry.
/// Source: <https://developer.hashicorp.com/vault/docs/internals/limits>.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What is said where another version was written since. Sources:
/// <https://github.com/openbao/openbao/blob/main/builtin/logical/kv/path_data.go> and
/// <https://github.com/hashicorp/vault-plugin-secrets-kv/blob/main/path_data.go>, `validateCheckAndSetOption`.
const OVERTAKEN: &str = "check-and-set parameter did not match the current version";

/// The capabilities on the path of the versions. Source: <https://developer.hashicorp.com/vault/docs/concepts/policies>.
const DATA: &str = "\"create\", \"read\", \"update\"";

/// One value of a secret in a key/value engine of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSecret {
    /// Its path with that of the engine: `kv/agents/openai`.
    pub path: String,
    /// The key of the value.
    pub key: String,
    /// The name of keyroll's field for this value.
    pub field: String,
    /// As the configuration names it, for people: `vault:kv/agents/openai#key`.
    pub reference: String,
}

/// Opens a secret of Vault or OpenBao as the source of truth. A token is read now, the secret id of AppRole at each login; no
/// request is sent yet.
///
/// Its name holds the reference, the address and the namespace.
///
/// # Errors
/// No address or no login is configured, the address is not encrypted and not of this machine, or the login's file is
/// missing, or open to other users.
pub fn vault(secret: VaultSecret, settings: &VaultSettings) -> Result<impl Truth + use<>, Failure> {
    if !is_path(&secret.path) {
        let (place, codes) = (secret.reference.as_str(), &Codes::TRUTH);
        let attempt = Attempt { what: "open", place, nature: Nature::Read, codes };
        let failure = attempt.fail(Class::Permanent, Code::TruthUnsuitable);
        let failure = failure.because("its path is not that of an engine and a secret");
        return Err(failure.help("name both in `store`, without empty parts: vault:kv/agents/openai#key"));
    }
    let client = Client::open(&secret.reference, settings, &Codes::TRUTH)?;
    let cell = VaultCell { client, path: secret.path, key: secret.key, found: OnceLock::new() };
    Ok(CellTruth { cell, field: secret.field })
}

/// An engine and a secret. Vault refuses parts that lead elsewhere, and paths that end in a dot.
/// Source: <https://developer.hashicorp.com/vault/api-docs#parameter-restrictions>.
fn is_path(path: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.contains('/') && path.split('/').all(is_part) && !path.ends_with('.')
}

/// A secret in a key/value engine of version 2. What is written last is given out; a write names the version that it was
/// made from.
struct VaultCell {
    client: Client,
    /// With that of the engine.
    path: String,
    key: String,
    /// The engine, asked for once.
    found: OnceLock<Mount>,
}

impl VaultCell {
    async fn found(&self) -> Result<&Mount, Failure> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = mount::find(&self.client, &self.path).await?;
        Ok(self.found.get_or_init(|| found))
    }
}

#[async_trait]
impl Cell for VaultCell {
    fn place(&self) -> &str {
        self.client.place()
    }

    async fn read(&self) -> Result<Held, Failure> {
        let found = self.found().await?;
        let attempt = self.client.attempt("read the last version of", Nature::Read);
        let path = found.data();
        let needs = Needs::new(&path, DATA);
        let call = Call { attempt, method: Method::GET, path: &path, body: Zeroizing::default(), needs };
        let answer = self.client.call(call).await?;
        answers::held(&attempt, found, &answer, &self.key)
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        let found = self.found().await?;
        let attempt = self.client.attempt("list the versions of", Nature::Read);
        let path = found.metadata();
        let needs = Needs::new(&path, "\"read\"");
        let call = Call { attempt, method: Method::GET, path: &path, body: Zeroizing::default(), needs };
        let answer = self.client.call(call).await?;
        answers::versions(&attempt, found, &answer)
    }

    /// Asks for the rights of the token. One that may not even ask is refused: only a write could tell.
    async fn writable(&self, _: &Held) -> Result<(), Failure> {
        let found = self.found().await?;
        let attempt = self.client.attempt("look for the right to write", Nature::Read);
        let asked = "sys/capabilities-self";
        let path = found.data();
        let body = Zeroizing::new(serde_json::json!({ "paths": [path] }).to_string().into_bytes());
        let needs = Needs::new(asked, "\"update\"");
        let call = Call { attempt, method: Method::POST, path: asked, body, needs };
        let answer = self.client.call(call).await?;
        if answer.status != 200 {
            return Err(refused(&attempt, &answer));
        }
        match answers::may_update(&answer) {
            Some(true) => Ok(()),
            Some(false) => {
                let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
                let why = format!("keyroll's token may not update {path}");
                Err(failure.because(why).help(Needs::new(&path, DATA).help()))
            }
            None => Err(foreign(&attempt, &answer)),
        }
    }

    /// Source: <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#create-update-secret>, `cas`.
    async fn write(&self, _: &MadeBy, over: &Held, next: &Document) -> Result<Written, Failure> {
        let found = self.found().await?;
        let attempt = self.client.attempt("write a version of", Nature::ChangeWithValue);
        let text = next.text();
        if text.len() > TEXT_BYTES_MAX {
            let failure = attempt.fail(Class::Permanent, Code::ValueNotWritable);
            let why = format!("the secret would have more than the {TEXT_BYTES_MAX} bytes that Vault takes");
            return Err(failure.because(why).help("keep this value in a secret of its own"));
        }
        let path = found.data();
        let needs = Needs::new(&path, DATA);
        let call = Call { attempt, method: Method::POST, path: &path, body: body(&over.id, text), needs };
        let answer = self.client.call(call).await?;
        match answer.status {
            200..=299 => Ok(Written::Accepted),
            400 if says(&answer, OVERTAKEN) => Ok(Written::Overtaken),
            _ => Err(refused(&attempt, &answer)),
        }
    }
}

/// The request to write a text over this version.
fn body(over: &str, text: &SecretBytes) -> Zeroizing<Vec<u8>> {
    joined(&[b"{\"options\":{\"cas\":", over.as_bytes(), b"},\"data\":", text.expose(), b"}"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_engine_and_a_secret() {
        for good in ["kv/a", "kv/agents/openai", "team/kv/a.b"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["kv", "", "kv/", "/kv/a", "kv//a", "kv/../a", "kv/./a", "kv/a."] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_write_names_the_version_that_it_was_made_from() {
        let text = SecretBytes::from("{\"K\":\"v\"}".to_owned());
        assert_eq!(*body("7", &text), *b"{\"options\":{\"cas\":7},\"data\":{\"K\":\"v\"}}");
    }
}
