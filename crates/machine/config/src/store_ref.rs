use std::fmt;
use std::path::{Path, PathBuf};

use crate::at::At;
use crate::kubernetes::{KUBERNETES, KUBERNETES_HELP, KubernetesShape, place};
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::reference::foreign;
use crate::{Kind, Kubernetes};

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
    /// A secret of a KV engine, version 2, of Vault or OpenBao.
    Vault {
        /// The path that the engine is mounted at, and the secret's path in it.
        path: String,
        /// The key in it.
        key: String,
    },
    /// A key of a Secret of Kubernetes.
    Kubernetes {
        /// The namespace of the Secret.
        namespace: String,
        /// Its name.
        name: String,
        /// The key in its `data`.
        key: String,
        /// How its cluster is reached.
        cluster: Kubernetes,
    },
    /// A file.
    File {
        /// The file, absolute.
        path: PathBuf,
        /// The place in it; none: the whole content is the value.
        at: Option<String>,
        /// The reference as it is written.
        written: String,
    },
    /// A program of the user's own.
    Exec {
        /// The program, absolute.
        program: PathBuf,
        /// What it is asked for; empty where nothing is named.
        item: String,
        /// The folder that it runs in: that of keyroll.toml.
        folder: PathBuf,
        /// The reference as it is written.
        written: String,
    },
}

/// What a reference to AWS Secrets Manager begins with.
const AWS: &str = "aws-sm:";
/// What a reference to Vault or OpenBao begins with.
const VAULT: &str = "vault:";
/// What a reference to a file begins with.
const FILE: &str = "file:";
/// What a reference to a program begins with.
const EXEC: &str = "exec:";
/// The longest name or ARN of a secret there, bytes: `SecretId` of
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>.
const AWS_ID_BYTES_MAX: usize = 2_048;
/// The longest path of a secret at Vault, bytes.
const VAULT_PATH_BYTES_MAX: usize = 1_024;
/// How long a server may take for a request whose connection has ended, milliseconds.
const LATE_REQUEST_MS_MAX: u64 = 5_000;
/// How long a program runs at most, milliseconds: its own limit is 15 seconds (docs/reference/store-program.md).
const LATE_PROGRAM_MS_MAX: u64 = 20_000;
/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 512;

/// As it is written in keyroll.toml.
impl fmt::Display for StoreRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyroll => f.write_str("keyroll"),
            Self::Aws { id, key: None } => write!(f, "{AWS}{id}"),
            Self::Aws { id, key: Some(key) } => write!(f, "{AWS}{id}#{key}"),
            Self::Vault { path, key } => write!(f, "{VAULT}{path}#{key}"),
            Self::Kubernetes { namespace, name, key, .. } => {
                write!(f, "{KUBERNETES}{namespace}/{name}#{key}")
            }
            Self::File { written, .. } | Self::Exec { written, .. } => f.write_str(written),
        }
    }
}

impl StoreRef {
    /// Whether the text is a reference to a store outside of keyroll, of any form but `file:`, with which references of
    /// other kinds begin, too.
    pub fn is_foreign(text: &str) -> bool {
        [AWS, VAULT, KUBERNETES, EXEC].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Whether a version can stand there that is given out to nobody. Elsewhere what was written last is given out.
    pub fn holds_pending(&self) -> bool {
        match self {
            Self::Keyroll | Self::Aws { .. } => true,
            Self::Vault { .. } | Self::Kubernetes { .. } | Self::File { .. } | Self::Exec { .. } => false,
        }
    }

    /// How long a write may still come into effect after keyroll was ended, milliseconds: of a request that the server has
    /// not carried out yet, or of a program that goes on.
    pub fn late_ms_max(&self) -> u64 {
        match self {
            Self::Keyroll | Self::File { .. } => 0,
            Self::Aws { .. } | Self::Vault { .. } | Self::Kubernetes { .. } => LATE_REQUEST_MS_MAX,
            Self::Exec { .. } => LATE_PROGRAM_MS_MAX,
        }
    }

    /// The file that is the store.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Keyroll
            | Self::Aws { .. }
            | Self::Vault { .. }
            | Self::Kubernetes { .. }
            | Self::Exec { .. } => None,
        }
    }

    /// Whether both name one place, however it is written.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path, at, .. }, Self::File { path: others, at: others_at, .. }) => {
                path == others && (at == others_at || at.is_none() || others_at.is_none())
            }
            (Self::Exec { program, item, .. }, Self::Exec { program: others, item: others_item, .. }) => {
                program == others && item == others_item
            }
            _ => self == other,
        }
    }

    /// The same store in the cluster that the secret's table names.
    pub(crate) fn in_cluster(
        self,
        table: Option<&At<KubernetesShape>>,
        folder: &Path,
    ) -> Result<Self, Mistake> {
        let Some(table) = table else { return Ok(self) };
        let Self::Kubernetes { namespace, name, key, .. } = self else {
            let why = "`kubernetes` goes with `store = \"k8s:NAMESPACE/NAME#KEY\"` only";
            return Err(Mistake::new(Kind::BadCombination, why).at(&table.span));
        };
        Ok(Self::Kubernetes { namespace, name, key, cluster: Kubernetes::read(table, folder)? })
    }

    pub(crate) fn read(folder: &Path, text: Option<&At<String>>) -> Result<Self, Mistake> {
        let Some(text) = text else { return Ok(Self::Keyroll) };
        let wrong = |why: String, help: &str| {
            Err(Mistake::new(Kind::WrongForm, format!("`store`: {why}")).at(&text.span).help(help))
        };
        if text.value == "keyroll" {
            return Ok(Self::Keyroll);
        }
        if let Some(reference) = text.value.strip_prefix(AWS) {
            return aws(reference).or_else(|why| wrong(why.to_owned(), AWS_HELP));
        }
        if let Some(reference) = text.value.strip_prefix(VAULT) {
            return vault(reference).or_else(|why| wrong(why.to_owned(), VAULT_HELP));
        }
        if let Some(reference) = text.value.strip_prefix(KUBERNETES) {
            let cluster = Kubernetes::default();
            return match place(reference) {
                Ok([namespace, name, key]) => Ok(Self::Kubernetes { namespace, name, key, cluster }),
                Err(why) => wrong(why.to_owned(), KUBERNETES_HELP),
            };
        }
        let (before, behind) = match text.value.split_once('#') {
            Some((before, behind)) => (before, Some(behind)),
            None => (text.value.as_str(), None),
        };
        let written = text.value.clone();
        let in_folder =
            |path: &str| resolve(folder, "store", &At { value: path.to_owned(), span: text.span.clone() });
        if let Some(path) = before.strip_prefix(FILE) {
            if let Some(why) = behind.and_then(unfit_key) {
                return wrong(why.to_owned(), FILE_HELP);
            }
            return Ok(Self::File { path: in_folder(path)?, at: behind.map(str::to_owned), written });
        }
        if let Some(program) = before.strip_prefix(EXEC) {
            let item = behind.unwrap_or_default();
            if !program.contains('/') {
                return wrong("the program must be a path".to_owned(), EXEC_HELP);
            }
            if item.len() > KEY_BYTES_MAX || item.chars().any(char::is_control) {
                return wrong(ITEM_UNFIT.to_owned(), EXEC_HELP);
            }
            let (program, item, folder) = (in_folder(program)?, item.to_owned(), folder.to_path_buf());
            return Ok(Self::Exec { program, item, folder, written });
        }
        Err(foreign("store", text, HELP).unwrap_or_else(|| {
            Mistake::new(Kind::Unsupported, "`store` names a store that keyroll does not know")
                .at(&text.span)
                .help(HELP)
        }))
    }
}

const HELP: &str = "write `store = \"keyroll\"`, keyroll's own sealed store, or a store of yours: `aws-sm:NAME#KEY`, \
                    `vault:MOUNT/PATH#KEY`, `k8s:NAMESPACE/NAME#KEY`, `file:./PATH`, `exec:./PROGRAM#ITEM`";
const AWS_HELP: &str = "write `aws-sm:NAME#KEY`: the secret's name or ARN, and the key of the JSON object in it; \
                        `aws-sm:NAME` if the whole text is the value";
const VAULT_HELP: &str =
    "write `vault:MOUNT/PATH#KEY`: the path as in `vault kv get MOUNT/PATH`, and the key in it";
const FILE_HELP: &str = "write `file:./PATH` if the whole content is the value, or `file:./PATH#NAME`: a variable, or the place in a \
                         JSON, YAML or TOML file";
const EXEC_HELP: &str = "write `exec:./PROGRAM#ITEM`: the path of the program, and what it is asked for";
const ITEM_UNFIT: &str = "what stands behind `#` must have at most 512 bytes without control characters";
const KEY_UNFIT: &str = "the key behind `#` must have 1 to 512 bytes without control characters";

/// Why a key cannot be one.
fn unfit_key(key: &str) -> Option<&'static str> {
    let unfit = key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control);
    unfit.then_some(KEY_UNFIT)
}

/// `MOUNT/PATH#KEY`. A path of a secret may have a `#`, so the last one begins the key.
fn vault(reference: &str) -> Result<StoreRef, &'static str> {
    let Some((path, key)) = reference.rsplit_once('#') else {
        return Err("it names no key: a secret there is always an object with keys");
    };
    if let Some(why) = unfit_key(key) {
        return Err(why);
    }
    if path.len() > VAULT_PATH_BYTES_MAX || path.chars().any(char::is_control) {
        return Err("the path must have at most 1024 bytes without control characters");
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() < 2 || parts.iter().any(|part| part.is_empty() || [".", ".."].contains(part)) {
        return Err("the path must be the engine's mount and the path in it, without a slash at its ends");
    }
    Ok(StoreRef::Vault { path: path.to_owned(), key: key.to_owned() })
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
    if let Some(why) = unfit_key(key) {
        return Err(why);
    }
    Ok(StoreRef::Aws { id: id.to_owned(), key: Some(key.to_owned()) })
}

/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`.
fn is_arn_of_secret(id: &str) -> bool {
    let parts: Vec<&str> = id.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "secretsmanager", _, _, "secret", name] if !name.is_empty())
}
