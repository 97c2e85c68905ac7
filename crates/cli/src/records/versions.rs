//! What the store has of a secret.

use keyroll_config::Secret;
use keyroll_port::{Failure, Label, Store, VersionInfo};
use keyroll_secret::Credential;

use crate::places::Places;
use crate::problem::Problem;
use crate::ui::Version;

/// Seals the first version of a secret into the store as `current`.
pub(crate) fn keep(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    let store = crate::wiring::open::store(places)?;
    let kept = crate::wiring::open::runtime()?.block_on(store.add(secret.name.as_str(), credential));
    kept.map_err(|failure| {
        let exists = failure.code == "K0613";
        let problem = Problem::from(failure);
        match exists {
            true => problem.help(format!(
                "change its value by rotating it: keyroll plan {}; one that was taken in wrongly: keyroll secret add {} --replace",
                secret.name, secret.name
            )),
            false => problem,
        }
    })?;
    Ok(())
}

/// Puts another value in place of one that was taken in wrongly. Refused once a rotation began with it.
pub(crate) fn correct(places: &Places, secret: &Secret, credential: &Credential) -> Result<(), Problem> {
    let name = secret.name.as_str();
    let lock = crate::wiring::open::lock(places)?;
    if places.journal().exists() {
        let journal = crate::wiring::open::journal(places)?;
        let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
        let open = crate::wiring::open::runtime()?
            .block_on(super::begun::open_of(&journal, name))
            .map_err(reading)?;
        if let Some(id) = open {
            return Err(Problem::new("K0848", format!("replace the value of {name}"))
                .because(format!("rotation {id} works with it"))
                .help(format!("keyroll abort {id}, then replace it"))
                .exits(crate::exit::Exit::Held));
        }
    }
    let store = crate::wiring::open::store(places)?;
    crate::wiring::open::runtime()?.block_on(store.0.correct(name, credential))?;
    drop(lock);
    Ok(())
}

/// The versions that the store has of a secret, the newest first; none where there is no store yet.
pub(crate) fn versions(places: &Places, secret: &Secret) -> Result<Vec<Version>, Problem> {
    if !places.state.join("secrets.db").exists() {
        return Ok(Vec::new());
    }
    let store = crate::wiring::open::store(places)?;
    let mut versions =
        crate::wiring::open::runtime()?.block_on(kept(store.as_ref(), secret.name.as_str()))?;
    versions.reverse();
    let shown = versions.into_iter().map(|version| Version {
        version: u64::from(version.number),
        label: label(version.label).to_owned(),
        id: version.credential.map(|id| id.to_string()),
        fingerprint: version.fingerprints.first().map(|(_, print)| print.to_string()).unwrap_or_default(),
    });
    Ok(shown.collect())
}

/// The versions of a secret, oldest first; none of one that was never taken in.
pub(crate) async fn kept(store: &dyn Store, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
    match store.secrets().await?.iter().any(|known| known == secret) {
        true => store.versions(secret).await,
        false => Ok(Vec::new()),
    }
}

/// The word for a version.
pub(crate) fn label(label: Label) -> &'static str {
    match label {
        Label::Pending => "pending",
        Label::Current => "current",
        Label::Previous => "previous",
        Label::Retired => "retired",
    }
}
