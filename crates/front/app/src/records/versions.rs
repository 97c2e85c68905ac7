//! The stored versions of a secret.

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_port::{Failure, FailureKind, Journal as _, Label, RotationId, Store, VersionInfo};
use keyroll_rotation::Phase;
use keyroll_secret::Credential;

use super::open_rotation_guard::{open_of, owing_rotation};
use super::recorded::{rotations_unread, state_of};
use crate::exit::Exit;
use crate::operator::Version;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::{journal, lock, runtime, store};

/// Refuses, before anything is written, what [`keep`] would refuse, or with `replaces` what [`correct`] would.
pub fn check(
    places: &Places,
    secret: &Secret,
    credential: &Credential,
    replaces: bool,
) -> Result<(), Problem> {
    let lock = replaces.then(|| lock(places)).transpose()?;
    if replaces {
        no_rotation_is_open(places, secret)?;
    }
    let checked =
        runtime(places)?.block_on(store(places)?.0.check(secret.name.as_str(), credential, replaces));
    drop(lock);
    match replaces {
        true => checked.map_err(Problem::from),
        false => checked.map_err(|failure| not_kept(failure, secret)),
    }
}

/// Seals the first version of a secret into the store as `current`.
pub fn keep(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    let kept = runtime(places)?.block_on(store(places)?.add(secret.name.as_str(), credential));
    kept.map_err(|failure| not_kept(failure, secret))?;
    Ok(())
}

/// Whether Vault changes the value too, by itself: what it made can be taken over at any time.
pub fn is_changed_by_vault(secret: &Secret) -> bool {
    secret.server.as_ref().is_some_and(|table| table.static_roles().is_some())
}

/// Seals the value that the copies hold: as the first version, or in place of the one that Vault replaced.
pub fn import(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    match is_changed_by_vault(secret) && !versions(places, secret)?.is_empty() {
        true => accept(places, secret, credential),
        false => keep(places, secret, credential),
    }
}

fn not_kept(failure: Failure, secret: &Secret) -> Problem {
    let exists = failure.kind == FailureKind::SecretExists;
    let problem = Problem::from(failure);
    match exists {
        true => problem.help(format!(
            "to change its value, rotate it: keyroll plan {}; to correct a wrong one: keyroll secret \
             add {} --replace",
            secret.name, secret.name
        )),
        false => problem,
    }
}

/// Replaces a wrong first value. Refused after a rotation used it, unless Vault changes the value too: then what it made is
/// taken over.
pub fn correct(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    if is_changed_by_vault(secret) {
        return accept(places, secret, credential);
    }
    let lock = lock(places)?;
    no_rotation_is_open(places, secret)?;
    runtime(places)?.block_on(store(places)?.0.correct(secret.name.as_str(), credential))?;
    drop(lock);
    Ok(())
}

/// Makes a value that the source of truth gives out, and that keyroll did not write, the current version.
pub fn accept(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    let lock = lock(places)?;
    no_rotation_is_open(places, secret)?;
    nothing_is_owed(places, secret)?;
    runtime(places)?.block_on(store(places)?.0.accept(secret.name.as_str(), credential))?;
    drop(lock);
    Ok(())
}

/// The values of a version; none if it was retired.
pub fn read(places: &Places, secret: &Secret, number: u32) -> Result<Option<Credential>, Problem> {
    Ok(runtime(places)?.block_on(store(places)?.read(secret.name.as_str(), number))?)
}

fn no_rotation_is_open(places: &Places, secret: &Secret) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let name = secret.name.as_str();
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let open = runtime.block_on(open_of(journal.as_ref(), name)).map_err(rotations_unread)?;
    let Some(id) = open else { return Ok(()) };
    let recorded = runtime.block_on(journal.load(&id)).ok();
    let back = recorded.and_then(|recorded| state_of(&recorded).ok()).map(|state| state.phase());
    Err(Problem::new(Code::ValueRefused, format!("replace the value of {name}"))
        .because(format!("rotation {id} uses it"))
        .help(ends_it(&id, back == Some(Phase::RollingBack)))
        .exits(Exit::Held))
}

/// The command that ends an open rotation. One that is being rolled back is not aborted once more.
fn ends_it(id: &RotationId, back: bool) -> String {
    match back {
        true => {
            format!("it is being rolled back, and keyroll status {id} says what ends that; then replace it")
        }
        false => format!("keyroll abort {id}, then replace it"),
    }
}

/// Refuses while a rotation still has to revoke a key: that may be the key of the value, and the rotation would not find its
/// own value in use any more.
fn nothing_is_owed(places: &Places, secret: &Secret) -> Result<(), Problem> {
    let name = secret.name.as_str();
    let Some(id) = owing_rotation(name, places)? else { return Ok(()) };
    Err(Problem::new(Code::ValueRefused, format!("take over the value of {name}"))
        .because(format!("rotation {id} still has to revoke a key of it"))
        .help(format!(
            "give out the current version there again, which keyroll secret drift {name} names; then keyroll resume {id}; then \
             give out the other value and take it over"
        ))
        .exits(Exit::NeedsPerson))
}

/// The versions of a secret, the newest first; none if there is no store yet.
pub fn versions(places: &Places, secret: &Secret) -> Result<Vec<Version>, Problem> {
    if !places.state.join("secrets.db").exists() {
        return Ok(Vec::new());
    }
    let mut versions = runtime(places)?.block_on(kept(store(places)?.as_ref(), secret.name.as_str()))?;
    versions.reverse();
    let shown = versions.into_iter().map(|version| Version {
        version: u64::from(version.number),
        label: label(version.label).to_owned(),
        id: version.credential.map(|id| id.to_string()),
        fingerprint: version.fingerprints.first().map(|(_, print)| print.to_string()).unwrap_or_default(),
    });
    Ok(shown.collect())
}

/// The versions of a secret, the oldest first; none if it was never added.
pub async fn kept(store: &dyn Store, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
    match store.secrets().await?.iter().any(|known| known == secret) {
        true => store.versions(secret).await,
        false => Ok(Vec::new()),
    }
}

/// The word for a version.
pub fn label(label: Label) -> &'static str {
    match label {
        Label::Pending => "pending",
        Label::Current => "current",
        Label::Previous => "previous",
        Label::Retired => "retired",
    }
}
