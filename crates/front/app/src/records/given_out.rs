//! What the source of truth of a secret gives out, beside the versions in keyroll's own store.

use keyroll_codes::Code;
use keyroll_config::{Secret, StoreRef};
use keyroll_port::{GivenOut, Label, Truth, TruthVersion, VersionInfo};
use keyroll_secret::Fingerprint;
use keyroll_truth::PENDING;

use super::old_key::clock;
use super::versions::{kept, label};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::shell_words::quoted;
use crate::wiring::open::{fingerprint_key, store};

/// Which stored version the source of truth gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The current one.
    Current(u32),
    /// Another one, and its label.
    Other(u32, Label),
    /// None: keyroll did not write the value, or has no value yet.
    Foreign,
}

/// What the source of truth gives out now.
pub(crate) struct GivenOutNow {
    /// Where it is, for people.
    pub(crate) name: String,
    pub(crate) given: GivenOut,
    /// Of its secret field; none without a store.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) known: Known,
    /// The current version in the store.
    pub(crate) current: Option<u32>,
}

/// Asks the source of truth what it gives out, and compares that with the stored versions. Makes nothing.
///
/// # Errors
/// The source of truth does not say, or the store cannot be read.
pub(crate) async fn given_out_now(
    places: &Places,
    secret: &Secret,
    truth: &dyn Truth,
) -> Result<GivenOutNow, Problem> {
    let given = truth.current().await?;
    let name = truth.name();
    if !places.sealed().exists() {
        return Ok(GivenOutNow { name, given, fingerprint: None, known: Known::Foreign, current: None });
    }
    let key = fingerprint_key(places)?;
    let prints: Vec<(String, Fingerprint)> =
        given.fields.secrets().map(|(name, value)| (name.to_owned(), key.fingerprint(value))).collect();
    let versions = kept(store(places)?.as_ref(), secret.name.as_str()).await?;
    let (known, current) = (known(&versions, &prints), current(&versions));
    let fingerprint = prints.into_iter().next().map(|(_, print)| print);
    Ok(GivenOutNow { name, given, fingerprint, known, current })
}

fn known(versions: &[VersionInfo], prints: &[(String, Fingerprint)]) -> Known {
    match versions.iter().find(|version| version.fingerprints == prints) {
        Some(same) if same.label == Label::Current => Known::Current(same.number),
        Some(same) => Known::Other(same.number, same.label),
        None => Known::Foreign,
    }
}

fn current(versions: &[VersionInfo]) -> Option<u32> {
    versions.iter().find(|version| version.label == Label::Current).map(|version| version.number)
}

impl GivenOutNow {
    /// `v3 (version 0c3f…, made 2026-11-20 16:02:11Z)`, or the same of a value that keyroll did not write.
    pub(crate) fn what(&self) -> String {
        let there = there(&self.given.id, self.given.unix_ms);
        match self.known {
            Known::Current(number) => format!("v{number} ({there})"),
            Known::Other(number, its) => format!("v{number}, which is {} ({there})", label(its)),
            Known::Foreign => format!("a value that keyroll did not write ({there})"),
        }
    }

    /// Why a rotation cannot begin from what is given out; none if it is the current version.
    pub(crate) fn refusal(&self, secret: &Secret, attempted: &str) -> Option<Problem> {
        let (name, what) = (&secret.name, format!("{} gives out {}", self.name, self.what()));
        let problem = |code| Problem::new(code, attempted).exits(Exit::NeedsPerson);
        Some(match (self.known, self.current) {
            (Known::Current(_), _) => return None,
            (_, None) => problem(Code::NoCurrentValue)
                .because("keyroll has no value of it yet")
                .help(format!("keyroll secret import {name} --id ID_AT_THE_ISSUER")),
            (Known::Foreign, Some(current)) => {
                let back =
                    format!("give out keyroll's v{current} there again, which keyroll secret drift {name} shows");
                problem(Code::ChangedElsewhere).because(what).help(format!(
                    "to take the value over: keyroll secret import {name}; to undo the change: {back}"
                ))
            }
            (Known::Other(_, Label::Previous), Some(current)) => problem(Code::ChangedElsewhere)
                .because(what)
                .because(format!("the current version is v{current}"))
                .help(format!(
                    "if its key still works: keyroll secret import {name} makes it current again; else give out keyroll's v{current} \
                     there again, then: keyroll plan {name}"
                )),
            (Known::Other(..), Some(current)) => problem(Code::ChangedElsewhere)
                .because(what)
                .because(format!("the current version is v{current}"))
                .help(format!("give out keyroll's v{current} there again, then: keyroll plan {name}")),
        })
    }

    /// The refusal of a version that somebody else is about to give out: keyroll would have to overwrite it.
    pub(crate) fn pending_elsewhere(
        &self,
        secret: &Secret,
        all: &[TruthVersion],
        attempted: &str,
    ) -> Option<Problem> {
        let pending =
            |one: &&TruthVersion| one.labels.iter().any(|it| it == PENDING) && one.id != self.given.id;
        let other = all.iter().find(pending)?;
        let StoreRef::Aws { id, .. } = &secret.store else { return None };
        let (name, version) = (&secret.name, quoted(&other.id));
        Some(
            Problem::new(Code::PendingElsewhere, attempted)
                .because(format!(
                    "{} has a pending version that is not of a rotation of {name}: {}",
                    self.name,
                    there(&other.id, other.unix_ms)
                ))
                .help(format!(
                    "finish what made it (a rotation function of AWS, or keyroll with another key of the same secret: \
                     keyroll status), or take its label off: aws secretsmanager update-secret-version-stage --secret-id \
                     {id} --version-stage {PENDING} --remove-from-version-id {version}; then: keyroll plan {name}"
                ))
                .exits(Exit::NeedsPerson),
        )
    }
}

/// A version at the source of truth: `version 0c3f…, made 2026-11-20 16:02:11Z`.
pub(crate) fn there(id: &str, unix_ms: Option<u64>) -> String {
    let made = unix_ms.map(|ms| format!(", made {}", clock(ms))).unwrap_or_default();
    format!("version {id}{made}")
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_secret::Fields;

    use super::*;

    fn config() -> Config {
        let text =
            "version = 1\n[secrets.vonage]\nissuer = \"openrouter\"\nstore = \"aws-sm:prod/vonage#KEY\"\n";
        Config::parse(text, "/srv/keyroll.toml").unwrap()
    }

    fn now(known: Known, current: Option<u32>) -> GivenOutNow {
        let given = GivenOut { id: "6f1b".to_owned(), unix_ms: Some(0), fields: Fields::new() };
        let name = "aws-sm:prod/vonage#KEY (eu-west-1)".to_owned();
        GivenOutNow { name, given, fingerprint: None, known, current }
    }

    #[test]
    fn a_rotation_begins_only_from_the_current_version() {
        let config = config();
        let refused = |known, current| {
            let problem = now(known, current).refusal(config.secret("vonage").unwrap(), "plan it")?;
            assert_eq!(problem.exit(), Exit::NeedsPerson);
            Some((problem.code, problem.sentence(), problem.help.unwrap()))
        };
        assert!(refused(Known::Current(2), Some(2)).is_none());
        let (code, _, help) = refused(Known::Foreign, None).unwrap();
        assert!(code == "K0816" && help.contains("keyroll secret import vonage"), "{code} {help}");
        let (code, why, help) = refused(Known::Foreign, Some(2)).unwrap();
        assert!(code == "K0643" && help.contains("keyroll secret import vonage"), "{code} {help}");
        assert!(why.contains("version 6f1b, made 1970-01-01 00:00:00Z"), "{why}");
        // The key of a version that was replaced may be dead: it is not taken over.
        let (code, why, help) = refused(Known::Other(1, Label::Retired), Some(2)).unwrap();
        assert!(
            code == "K0643" && !help.contains("import") && help.contains("give out keyroll's v2"),
            "{code} {help}"
        );
        assert!(why.contains("gives out v1, which is retired"), "{why}");
    }

    #[test]
    fn a_pending_version_of_somebody_else_refuses_a_plan() {
        let config = config();
        let version = |id: &str, labels: &[&str]| TruthVersion {
            id: id.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            unix_ms: None,
        };
        let refused = |all: &[TruthVersion]| {
            let secret = config.secret("vonage").unwrap();
            now(Known::Current(2), Some(2)).pending_elsewhere(secret, all, "plan it")
        };
        let given = version("6f1b", &["AWSCURRENT", "AWSPENDING"]);
        let before = version("0d44", &["AWSPREVIOUS"]);
        assert!(refused(&[given.clone(), before.clone()]).is_none(), "a finished rotation left its label");
        let problem = refused(&[given, before, version("77aa", &["AWSPENDING"])]).unwrap();
        let help = problem.help.clone().unwrap();
        assert!(problem.code == "K0644" && problem.sentence().contains("version 77aa"), "{problem:?}");
        assert!(help.contains("--remove-from-version-id 77aa"), "{help}");
    }
}
