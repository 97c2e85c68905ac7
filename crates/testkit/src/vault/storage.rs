use std::collections::BTreeMap;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::database::StaticRole;

/// How many versions of a secret are kept where nothing else is configured.
/// Source: <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#max_versions>.
const VERSIONS_MAX: usize = 10;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultUser {
    /// With the rights that keyroll needs: to read and write versions, to read their list, to read static roles and their
    /// credentials, and to rotate them.
    Keyroll,
    /// With the right to read versions, static roles and their credentials alone.
    Reader,
    /// Another party, with every right.
    Writer,
}

/// A key/value engine.
pub(super) struct Engine {
    /// Without slashes around it.
    pub(super) path: &'static str,
    pub(super) version: u8,
}

static ENGINES: [Engine; 3] = [
    Engine { path: "team/kv", version: 2 },
    Engine { path: "kv", version: 2 },
    Engine { path: "old", version: 1 },
];

impl Engine {
    /// The engine of a path, and what follows.
    pub(super) fn of(path: &str) -> Option<(&'static Self, &str)> {
        ENGINES.iter().find_map(|engine| match path.strip_prefix(engine.path)? {
            "" => Some((engine, "")),
            rest => rest.strip_prefix('/').map(|rest| (engine, rest)),
        })
    }
}

/// One version.
#[derive(Clone)]
pub(super) struct Version {
    /// Masked: a search of the test's own process finds no value here.
    masked: Vec<u8>,
    pub(super) made: Timestamp,
    pub(super) deleted: Option<Timestamp>,
    pub(super) destroyed: bool,
}

impl Version {
    /// The document, byte by byte as it was written.
    pub(super) fn document(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(masked(&self.masked))
    }

    pub(super) fn destroy(&mut self) {
        self.masked.clear();
        self.destroyed = true;
    }
}

/// The versions of one secret.
#[derive(Clone, Default)]
pub(super) struct Secret {
    pub(super) versions: BTreeMap<u64, Version>,
    /// The number of the last one.
    pub(super) current: u64,
}

impl Secret {
    /// The version of this number, or the last one.
    pub(super) fn version(&self, number: Option<u64>) -> Option<(u64, &Version)> {
        let number = number.unwrap_or(self.current);
        self.versions.get(&number).map(|version| (number, version))
    }
}

/// A login that somebody was given.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) role_id: String,
    pub(super) secret_id: String,
    pub(super) user: VaultUser,
}

/// Everything that a snapshot holds.
#[derive(Clone, Default)]
pub(super) struct Storage {
    /// By their paths, with that of the engine.
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) tokens: BTreeMap<String, VaultUser>,
    pub(super) roles: Vec<Role>,
    /// Those of the database engine, by their names.
    pub(super) static_roles: BTreeMap<String, StaticRole>,
}

impl Storage {
    /// Writes a version; its number. An engine of version 1 has one version only.
    pub(super) fn put(&mut self, path: &str, document: &[u8]) -> u64 {
        let keeps = Engine::of(path).is_some_and(|(engine, _)| engine.version == 2);
        let secret = self.secrets.entry(path.to_owned()).or_default();
        if !keeps {
            *secret = Secret::default();
        }
        secret.current += 1;
        let (masked, made) = (masked(document), Timestamp::now());
        secret.versions.insert(secret.current, Version { masked, made, deleted: None, destroyed: false });
        while secret.versions.len() > VERSIONS_MAX {
            drop(secret.versions.pop_first());
        }
        secret.current
    }

    /// Changes versions of a secret, as far as they are there.
    pub(super) fn change(&mut self, path: &str, numbers: &[u64], change: fn(&mut Version)) {
        let Some(secret) = self.secrets.get_mut(path) else { return };
        for number in numbers {
            if let Some(version) = secret.versions.get_mut(number) {
                change(version);
            }
        }
    }
}

/// Masked twice it is itself.
pub(super) fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x5a).collect()
}
