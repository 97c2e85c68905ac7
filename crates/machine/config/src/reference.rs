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
