//! A secret at a fake of Vault, and adapters for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyroll_port::{Class, Failure, Truth};
use keyroll_secret::Credential;
use keyroll_testkit::{FakeVault, TempDir, VaultUser, tag};
use keyroll_truth::{VaultLogin, VaultSecret, VaultSettings, vault};

use crate::sample::{KEY, credential, document, failed, shown};

/// A secret whose JSON object has this value and a second key.
pub(crate) struct VaultScene {
    pub(crate) vault: FakeVault,
    /// With the path of its engine.
    pub(crate) path: String,
    pub(crate) old: Credential,
    /// The value of the second key.
    pub(crate) beside: String,
    home: TempDir,
}

impl VaultScene {
    pub(crate) fn start() -> Self {
        let (old, beside, path) = (credential(), tag(), format!("kv/agents/{}", tag()));
        let (vault, home) = (FakeVault::start(), tempfile::tempdir().unwrap());
        vault.put(&path, &document(&old, &beside));
        Self { vault, path, old, beside, home }
    }

    /// A file that only its owner may read.
    pub(crate) fn file(&self, text: &str) -> PathBuf {
        private_file(self.home.path(), text)
    }

    /// A file in a folder of its own.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// With a token of this user, through the server itself or what stands before it.
    pub(crate) fn settings(&self, user: VaultUser, port: u16) -> VaultSettings {
        VaultSettings {
            address: Some(format!("http://127.0.0.1:{port}")),
            login: Some(VaultLogin::Token(self.file(&self.vault.token(user)))),
            ..VaultSettings::default()
        }
    }

    /// With AppRole.
    pub(crate) fn approle(&self) -> VaultSettings {
        let (role_id, secret_id) = self.vault.approle(VaultUser::Keyroll);
        let secret_id = self.file(&format!("{secret_id}\n"));
        let login = VaultLogin::AppRole { mount: "approle".to_owned(), role_id, secret_id };
        VaultSettings { login: Some(login), ..self.settings(VaultUser::Keyroll, self.vault.port()) }
    }

    pub(crate) fn through(&self, port: u16) -> Box<dyn Truth> {
        open(&self.path, &self.settings(VaultUser::Keyroll, port))
    }

    pub(crate) fn direct(&self) -> Box<dyn Truth> {
        self.through(self.vault.port())
    }

    pub(crate) fn of(&self, user: VaultUser) -> Box<dyn Truth> {
        open(&self.path, &self.settings(user, self.vault.port()))
    }

    /// Whether the document that is given out is this value with what stands beside it.
    pub(crate) fn gives(&self, credential: &Credential) -> bool {
        self.vault.text(&self.path) == document(credential, &self.beside).trim()
    }

    /// How many requests began so and were answered so.
    pub(crate) fn asked(&self, begins: &str, status: &str) -> usize {
        let log = self.vault.log();
        log.lines().filter(|line| line.starts_with(begins) && line.ends_with(status)).count()
    }
}

/// A file that only its owner may read.
pub(crate) fn private_file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join(tag());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

pub(crate) fn try_open(path: &str, settings: &VaultSettings) -> Result<Box<dyn Truth>, Failure> {
    let secret = VaultSecret {
        path: path.to_owned(),
        key: KEY.to_owned(),
        field: "value".to_owned(),
        reference: format!("vault:{path}#{KEY}"),
    };
    Ok(Box::new(vault(secret, settings)?))
}

pub(crate) fn open(path: &str, settings: &VaultSettings) -> Box<dyn Truth> {
    try_open(path, settings).unwrap_or_else(|failure| panic!("{}", shown(&failure)))
}

/// The failure has this class and this code, says these words, and helps.
#[track_caller]
pub(crate) fn is(failure: &Failure, class: Class, code: &str, words: &[&str]) {
    let text = shown(failure);
    assert_eq!((failure.class, failure.code.as_str()), (class, code), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not said: {text}");
    }
    assert!(failure.help.is_some(), "no help: {text}");
}

/// What is given out cannot be read, for this reason.
pub(crate) async fn unread(truth: &dyn Truth, old: &Credential, class: Class, code: &str, words: &[&str]) {
    is(&failed(truth.current().await, &[old]), class, code, words);
}
