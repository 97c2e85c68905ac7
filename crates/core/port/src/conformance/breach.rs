use std::error::Error;
use std::fmt;

use keyroll_secret::{Credential, Fields};

use crate::{Class, Failure, Probe};

/// A rule of the port that the adapter broke, as a sentence.
#[derive(PartialEq, Eq)]
pub struct Breach(String);

impl Breach {
    /// A breach of this rule.
    pub(super) fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

/// The sentence alone, so that a test's `unwrap` reads well.
impl fmt::Debug for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Breach {}

/// The rule holds, or it is a breach.
pub(super) fn require(holds: bool, rule: impl Into<String>) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach::new(rule)) }
}

/// The call must succeed.
pub(super) fn succeeds<T>(what: &str, outcome: Result<T, Failure>) -> Result<T, Breach> {
    outcome.map_err(|failure| Breach::new(format!("{what} must succeed, but {}", chain(&failure))))
}

/// The call must fail, with a class other than those refused and no secret; the class is handed back.
pub(super) fn fails<T>(
    what: &str,
    outcome: Result<T, Failure>,
    refused: &[Class],
    known: &[&Fields],
) -> Result<Class, Breach> {
    let Err(failure) = outcome else {
        return Err(Breach::new(format!("{what} must fail")));
    };
    let said = chain(&failure);
    require(!refused.contains(&failure.class), format!("{what} failed as {:?}: {said}", failure.class))?;
    tells_nothing(what, &format!("{said} {failure:?}"), known)?;
    Ok(failure.class)
}

/// The probe must be `Unknown`, and say why without a secret.
pub(super) fn unknown(what: &str, probe: &Probe, known: &[&Fields]) -> Result<(), Breach> {
    let Probe::Unknown(why) = probe else {
        return Err(Breach::new(format!("{what} must be unknown, but was {probe:?}")));
    };
    tells_nothing(what, why, known)
}

/// The text must contain none of the secrets.
pub(super) fn tells_nothing(what: &str, text: &str, known: &[&Fields]) -> Result<(), Breach> {
    let mut secrets = known.iter().flat_map(|fields| fields.secrets());
    let told = secrets.any(|(_, secret)| {
        !secret.is_empty() && text.as_bytes().windows(secret.len()).any(|window| window == secret.expose())
    });
    require(!told, format!("{what} told a secret"))
}

/// The id, which a credential from a harness must carry.
pub(super) fn id_of(credential: &Credential) -> Result<keyroll_secret::CredentialId, Breach> {
    credential.id.clone().ok_or_else(|| Breach::new("the harness's credential must be bound to its id"))
}

fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(help) = &failure.help {
        text.push_str(" · ");
        text.push_str(help);
    }
    text
}
