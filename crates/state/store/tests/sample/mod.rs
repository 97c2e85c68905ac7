//! Values made for each test, and a folder for their store.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use keyroll_port::{Failure, RotationId, Staging as _, Store};
use keyroll_secret::{Credential, CredentialId, Fields, SealingKey, SecretBytes};
use keyroll_store::SealedStore;
use zeroize::Zeroizing;

/// A folder, and the key that its store is sealed with.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    key: [u8; SealingKey::BYTES],
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: [7; SealingKey::BYTES] }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder().join("secrets.db")
    }

    pub(crate) fn key(&self) -> SealingKey {
        SealingKey::from_bytes(Zeroizing::new(self.key))
    }

    pub(crate) fn try_open(&self) -> Result<SealedStore, Failure> {
        SealedStore::open(&self.folder(), self.key())
    }

    pub(crate) fn open(&self) -> SealedStore {
        self.try_open().unwrap()
    }
}

/// A value that no other test has.
pub(crate) fn value() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("canary-{at:x}-{}-{number}-yranac", std::process::id())
}

pub(crate) fn credential(value: &str) -> Credential {
    let mut fields = Fields::single(SecretBytes::from(value.to_owned()));
    fields.insert("host", SecretBytes::from("db.internal".to_owned()), false);
    Credential { id: None, fields }
}

pub(crate) fn with_id(id: &str, value: &str) -> Credential {
    Credential { id: Some(CredentialId::new(id)), ..credential(value) }
}

pub(crate) fn without_secret() -> Credential {
    let mut fields = Fields::new();
    fields.insert("host", SecretBytes::from("db.internal".to_owned()), false);
    Credential { id: None, fields }
}

/// The value of a version.
pub(crate) async fn text(store: &SealedStore, secret: &str, number: u32) -> Option<String> {
    let credential = Store::read(store, secret, number).await.unwrap()?;
    let field = credential.fields.get("value").unwrap();
    Some(String::from_utf8(field.value.expose().to_vec()).unwrap())
}

/// Makes what is kept under this intent the pending version; something else where nothing is.
pub(crate) async fn stage(
    store: &SealedStore,
    secret: &str,
    rotation: &RotationId,
    intent: u64,
) -> Result<u32, Failure> {
    let kept = store.kept(secret, rotation, intent).await?.unwrap_or_else(|| credential(&value()));
    store.put_pending(secret, rotation, intent, &kept).await
}
