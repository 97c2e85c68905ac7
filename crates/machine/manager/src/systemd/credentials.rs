//! The credentials of systemd's services: `systemctl show` does not print them, but the bus has them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use keyroll_secret::SecretBytes;
use serde::Deserialize;

use super::text::{UnitSays, unit_lines};
use crate::Unit;

/// Where the credentials of running services are. Source: systemd.exec(5), "Credentials".
const GIVEN: &str = "/run/credentials";

/// The search path for credentials without a folder; the first counts. Source: systemd.exec(5), `LoadCredential=`.
const STORES: [&str; 5] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
    "/usr/local/lib/credstore",
    "/usr/lib/credstore",
];

/// The queried properties; the last one exists since version 254.
const QUESTIONS: [&str; 5] = [
    "LoadCredential",
    "LoadCredentialEncrypted",
    "SetCredential",
    "SetCredentialEncrypted",
    "ImportCredential",
];

/// The most files of a store that an import takes.
const IMPORTED_MAX: usize = 256;

/// One credential of a service, as its manager has loaded it. Of several with one name the first in the list wins.
pub struct UnitCredential {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub from: CredentialFrom,
}

/// Where a credential comes from.
pub enum CredentialFrom {
    /// A file that is read at each start.
    File(PathBuf),
    /// Encrypted: a file, or a text in the unit.
    Encrypted(Option<PathBuf>),
    /// A value in the unit itself; a file of this name wins over it.
    Set(SecretBytes),
    /// A file of a credential store that an import pattern matches.
    Imported(PathBuf),
}

/// `{"type":"a(ss)","data":[…]}`, as `busctl --json=short` prints it.
#[derive(Deserialize)]
struct BusProperty<T> {
    data: Vec<T>,
}

impl Unit {
    /// The credentials of this service's next start. Services without any sign of credentials are not queried.
    pub(crate) fn given(&self, unit: &str, files: &[PathBuf], deadline: Instant) -> Vec<UnitCredential> {
        let says = |path: &PathBuf| {
            let lines = unit_lines(path).unwrap_or_default();
            lines.iter().any(|line| !matches!(line.says, UnitSays::Variable(..) | UnitSays::Reset))
        };
        let has = Path::new(GIVEN).join(unit).is_dir();
        if !has && !files.iter().any(says) {
            return Vec::new();
        }
        let answer = self.properties(unit, &QUESTIONS, deadline);
        answer.map(|answer| credentials(answer.expose())).unwrap_or_default()
    }
}

/// In the order in which systemd takes them: from files, from stores, from the unit.
fn credentials(answer: &[u8]) -> Vec<UnitCredential> {
    let mut lines = answer.split(|byte| *byte == b'\n');
    let mut pairs = || -> Vec<(String, PathBuf)> {
        let line = lines.next().unwrap_or_default();
        serde_json::from_slice(line).map_or_else(|_| Vec::new(), |answer: BusProperty<_>| answer.data)
    };
    let (plain, sealed) = (pairs(), pairs());
    let mut texts = || -> Vec<(String, SecretBytes)> {
        let line = lines.next().unwrap_or_default();
        let all: Vec<(String, Vec<u8>)> =
            serde_json::from_slice(line).map_or_else(|_| Vec::new(), |answer: BusProperty<_>| answer.data);
        all.into_iter().map(|(name, value)| (name, SecretBytes::new(value))).collect()
    };
    let (set, sealed_texts) = (texts(), texts());
    let patterns: BusProperty<String> =
        serde_json::from_slice(lines.next().unwrap_or_default()).unwrap_or(BusProperty { data: Vec::new() });
    let is_set = |name: &str| set.iter().chain(&sealed_texts).any(|(known, _)| known == name);
    let mut all = Vec::new();
    for (name, path) in plain {
        let path = stored(&path);
        // If the file is missing, the unit's own value counts; without one the service does not start.
        if path.exists() || !is_set(&name) {
            all.push(UnitCredential { name, from: CredentialFrom::File(path) });
        }
    }
    for (name, path) in sealed {
        all.push(UnitCredential { name, from: CredentialFrom::Encrypted(Some(path)) });
    }
    for pattern in &patterns.data {
        for path in STORES
            .iter()
            .flat_map(|store| crate::files_of(&Path::new(store).join(pattern)))
            .take(IMPORTED_MAX)
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push(UnitCredential { name, from: CredentialFrom::Imported(path) });
        }
    }
    all.extend(
        set.into_iter().map(|(name, value)| UnitCredential { name, from: CredentialFrom::Set(value) }),
    );
    let sealed = sealed_texts.into_iter();
    all.extend(sealed.map(|(name, _)| UnitCredential { name, from: CredentialFrom::Encrypted(None) }));
    all
}

/// The file of a path that may be a name in a store.
fn stored(path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_owned();
    }
    let places = STORES.iter().map(|store| Path::new(store).join(path));
    places.into_iter().find(|place| place.exists()).unwrap_or_else(|| Path::new("/etc/credstore").join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bus_tells_of_credentials_is_read_in_the_order_of_a_start() {
        let answer = "{\"type\":\"a(ss)\",\"data\":[[\"db\",\"/nowhere/db\"],[\"own\",\"/nowhere/own\"]]}\n\
                      {\"type\":\"a(ss)\",\"data\":[[\"x\",\"/etc/x.cred\"]]}\n\
                      {\"type\":\"a(say)\",\"data\":[[\"db\",[104,105]]]}\n{\"type\":\"a(say)\",\"data\":[]}\n";
        let told: Vec<String> = credentials(answer.as_bytes())
            .iter()
            .map(|one| match &one.from {
                CredentialFrom::File(path) => format!("{} {}", one.name, path.display()),
                CredentialFrom::Encrypted(path) => format!("{} encrypted {}", one.name, path.is_some()),
                CredentialFrom::Set(value) => format!("{} set {}", one.name, value.len()),
                CredentialFrom::Imported(path) => format!("{} imported {}", one.name, path.display()),
            })
            .collect();
        assert_eq!(told, ["own /nowhere/own", "x encrypted true", "db set 2"]);
        assert!(credentials(b"Failed to get property").is_empty());
    }
}
