use std::fmt;
use std::path::{Path, PathBuf};

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;

/// The location of a value that keyroll reads but does not rotate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The whole content of a file, without its last line end.
    File(PathBuf),
}

/// The source of truth for a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreRef {
    /// keyroll's own sealed store.
    Keyroll,
    /// A secret of AWS Secrets Manager.
    Aws {
        /// Its name or ARN.
        id: String,
        /// The key of the JSON object in it; none: the whole text is the value.
        key: Option<String>,
    },
}

/// What a reference to AWS Secrets Manager begins with.
const AWS: &str = "aws-sm:";
/// The longest name or ARN of a secret there, bytes: `SecretId` of
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>.
const AWS_ID_BYTES_MAX: usize = 2_048;
/// The longest key in a secret there, bytes.
const AWS_KEY_BYTES_MAX: usize = 512;

/// Common schemes that this version does not support, and names when it refuses them.
const FOREIGN: [(&str, &str); 7] = [
    ("vault", "OpenBao or Vault"),
    ("op", "1Password"),
    ("aws-sm", "AWS Secrets Manager"),
    ("env", "environment variables"),
    ("k8s", "Kubernetes Secrets"),
    ("gcp-sm", "Google Secret Manager"),
    ("azure-kv", "Azure Key Vault"),
];

/// The fault for an unsupported scheme, if the text has one.
pub(crate) fn foreign(key: &str, text: &At<String>, help: &str) -> Option<Mistake> {
    let scheme = text.value.split_once(':').map_or(text.value.as_str(), |(scheme, _)| scheme);
    let (scheme, what) = FOREIGN.iter().find(|(known, _)| *known == scheme)?;
    let message = format!("`{key}`: {what} (`{scheme}:`) is not supported by this version");
    Some(Mistake::new(Kind::Unsupported, message).at(&text.span).help(help))
}

impl Reference {
    pub(crate) fn read(folder: &Path, key: &str, text: &At<String>) -> Result<Self, Mistake> {
        let help = "put the value into a file of mode 0600 and write `file:./name`";
        if let Some(path) = text.value.strip_prefix("file:") {
            let path = At { value: path.to_owned(), span: text.span.clone() };
            return resolve(folder, key, &path).map(Self::File);
        }
        Err(foreign(key, text, help).unwrap_or_else(|| {
            // Do not repeat the text: it may be the value itself.
            Mistake::new(Kind::WrongForm, format!("`{key}` must be a reference, never a value"))
                .at(&text.span)
                .help(help)
        }))
    }
}

/// As it is written in keyroll.toml.
impl fmt::Display for StoreRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyroll => f.write_str("keyroll"),
            Self::Aws { id, key: None } => write!(f, "{AWS}{id}"),
            Self::Aws { id, key: Some(key) } => write!(f, "{AWS}{id}#{key}"),
        }
    }
}

impl StoreRef {
    /// Whether the text is a reference to a store outside of keyroll, of any form.
    pub fn is_foreign(text: &str) -> bool {
        text.starts_with(AWS)
    }

    pub(crate) fn read(text: Option<&At<String>>) -> Result<Self, Mistake> {
        let Some(text) = text else { return Ok(Self::Keyroll) };
        let help = "write `store = \"keyroll\"`, keyroll's own sealed store, or `store = \"aws-sm:NAME#KEY\"`, AWS \
                    Secrets Manager";
        if text.value == "keyroll" {
            return Ok(Self::Keyroll);
        }
        if let Some(reference) = text.value.strip_prefix(AWS) {
            return aws(reference).map_err(|why| {
                Mistake::new(Kind::WrongForm, format!("`store`: {why}")).at(&text.span).help(
                    "write `aws-sm:NAME#KEY`: the secret's name or ARN, and the key of the JSON object in it; \
                     `aws-sm:NAME` if the whole text is the value",
                )
            });
        }
        if text.value.starts_with("file:") {
            let message = "`store`: a file (`file:`) is not supported as a source of truth by this version";
            return Err(Mistake::new(Kind::Unsupported, message).at(&text.span).help(help));
        }
        Err(foreign("store", text, help).unwrap_or_else(|| {
            Mistake::new(Kind::Unsupported, "`store` names a store that keyroll does not know")
                .at(&text.span)
                .help(help)
        }))
    }
}

/// `NAME`, `NAME#KEY`, or the same with an ARN. No name of a secret has a `#`
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>), so it begins the key.
fn aws(reference: &str) -> Result<StoreRef, &'static str> {
    let (id, key) = match reference.split_once('#') {
        Some((id, key)) => (id, Some(key)),
        None => (reference, None),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
    let is_arn = id.starts_with("arn:");
    if id.is_empty() || id.len() > AWS_ID_BYTES_MAX {
        return Err("the name of the secret must have 1 to 2048 bytes");
    }
    if is_arn && !is_arn_of_secret(id) {
        return Err("this is not the ARN of a secret of AWS Secrets Manager");
    }
    if !id.bytes().all(|byte| named(byte) || (is_arn && byte == b':')) {
        return Err("the name of the secret may have letters, digits and /_+=.@- only");
    }
    let Some(key) = key else { return Ok(StoreRef::Aws { id: id.to_owned(), key: None }) };
    if key.is_empty() || key.len() > AWS_KEY_BYTES_MAX || key.chars().any(char::is_control) {
        return Err("the key behind `#` must have 1 to 512 bytes without control characters");
    }
    Ok(StoreRef::Aws { id: id.to_owned(), key: Some(key.to_owned()) })
}

/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`.
fn is_arn_of_secret(id: &str) -> bool {
    let parts: Vec<&str> = id.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "secretsmanager", _, _, "secret", name] if !name.is_empty())
}
