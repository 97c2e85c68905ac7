//! Consumers that ask keyroll's socket for the value: the file that says which version each is given, and what the host
//! must know of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_config::{Consumer, Secret};
use keyroll_copy::{Format, Slot};
use keyroll_host::{CopySetup, CopySource, FileSetup, ServedSetup, Write};
use keyroll_secret::FingerprintKey;
use keyroll_served::{MAIN, version_file};

/// The folder of the ledger and of the files, in a state folder.
pub fn served_folder(state: &Path) -> PathBuf {
    state.join("served")
}

/// The path of the file of what a consumer is given.
pub(crate) fn served_path(secret: &Secret, consumer: &Consumer, state: &Path) -> PathBuf {
    state.join(version_file(secret.name.as_str(), consumer.name.as_str()))
}

/// The file of what a consumer is given. `planned`: where its path led when the plan was made.
pub(crate) fn served_file(
    secret: &Secret,
    consumer: &Consumer,
    state: &Path,
    key: &Arc<FingerprintKey>,
    planned: impl FnOnce(&Path) -> Option<PathBuf>,
) -> FileSetup {
    let path = served_path(secret, consumer, state);
    let planned = planned(&path);
    let source = CopySource::Version(key.clone());
    let copies = vec![CopySetup::Value { format: Format::Whole, slot: Slot::Whole, source }];
    FileSetup { path, planned, write: Write::Rename, copies, generated: false, generator: None, own: None }
}

/// What the machine must know of a consumer that is served.
pub(crate) fn served_setup(
    secret: &Secret,
    consumer: &Consumer,
    state: &Path,
    key: &Arc<FingerprintKey>,
) -> Option<ServedSetup> {
    consumer.serves.as_ref()?;
    Some(ServedSetup {
        secret: secret.name.to_string(),
        folder: served_folder(state),
        others: others(secret, consumer),
        paths: std::iter::once(MAIN.to_owned())
            .chain(consumer.paths.iter().map(|path| path.name.to_string()))
            .collect(),
        key: key.clone(),
        trusted: consumer.trusts_word,
    })
}

/// The names of the secret's other consumers.
pub(crate) fn others(secret: &Secret, consumer: &Consumer) -> Vec<String> {
    let others = secret.consumers.iter().filter(|other| other.name != consumer.name);
    others.map(|other| other.name.to_string()).collect()
}
