//! Exports the fingerprints of the stored values, so that another machine can scan for the values without knowing them.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_needle::{FingerprintLabel, FingerprintSet, FingerprintState};
use keyroll_port::Label;

use crate::fingerprint_file;
use crate::installation::Installation;
use crate::operator::{Event, Operator, PrintsShown};
use crate::problem::Problem;
use crate::stored_values::{StoredValues, stored_values};

/// Writes the fingerprints of these secrets, or of all, to a file. Returns whether a value is not in it.
///
/// # Errors
/// There is no store, a secret is not in it, no value can be exported, or the file cannot be written.
pub fn export(
    secrets: &[String],
    out: &Path,
    replace: bool,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<bool, Problem> {
    let Some(kept) = stored_values(installation, true)? else {
        return Err(making().because("there is no store here, so there is nothing to export").help(
            "name the folder of the store with --state, or add a secret first: keyroll secret add --help",
        ));
    };
    let kept = chosen(kept, secrets)?;
    let (prints, shown) = prints(&kept, out, operator)?;
    fingerprint_file::write(out, &prints, replace)?;
    let left_out = shown.left_out > 0;
    let what = "give the file only to the scanner: whoever has it can test whether a text contains one of these values";
    operator.event(Event::Prints(shown));
    operator.event(Event::Undo { what: what.to_owned(), with: "remove the file".to_owned() });
    Ok(left_out)
}

/// The named secrets, or all.
fn chosen(kept: StoredValues, names: &[String]) -> Result<StoredValues, Problem> {
    let missing = names.iter().find(|name| !kept.secrets.iter().any(|secret| secret.name == **name));
    if missing.is_some() {
        // Errors do not repeat the typed name: it may be a value.
        let all: Vec<&str> = kept.secrets.iter().map(|secret| secret.name.as_str()).collect();
        return Err(making()
            .because("a named secret is not in this store")
            .help(format!("the store has: {}", all.join(", "))));
    }
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    let secrets = kept.secrets.into_iter().filter(|secret| wanted(&secret.name)).collect();
    Ok(StoredValues { secrets, ..kept })
}

/// The fingerprints of all values that can have one; other values are named.
fn prints(
    kept: &StoredValues,
    out: &Path,
    operator: &mut dyn Operator,
) -> Result<(FingerprintSet, PrintsShown), Problem> {
    let mut builder = FingerprintSet::builder().map_err(|error| making().because_of(&error))?;
    let (mut secrets, mut versions) = (BTreeSet::new(), BTreeSet::new());
    let (mut left_out, mut ended) = (0, 0);
    for secret in &kept.secrets {
        for version in &secret.versions {
            ended += usize::from(version.values.is_empty());
            for value in &version.values {
                let label = FingerprintLabel {
                    name: secret.name.clone(),
                    version: u64::from(version.number),
                    state: state(version.label),
                };
                match builder.add(label, value) {
                    Ok(()) => {
                        secrets.insert(&secret.name);
                        versions.insert((&secret.name, version.number));
                    }
                    Err(why) => {
                        left_out += 1;
                        let what = format!("{} v{}", secret.name, version.number);
                        operator.event(Event::NotVisible { what, why: format!("not exported: {why}") });
                    }
                }
            }
        }
    }
    let values = builder.values();
    if values == 0 {
        return Err(making()
            .because("no stored value can be exported")
            .help("scan for these values on this machine, where the store is: keyroll leaks --known"));
    }
    let path = keyroll_observe::shown(out);
    let shown =
        PrintsShown { path, secrets: secrets.len(), versions: versions.len(), values, left_out, ended };
    Ok((builder.build(), shown))
}

fn state(label: Label) -> FingerprintState {
    match label {
        Label::Pending => FingerprintState::Pending,
        Label::Current => FingerprintState::Current,
        Label::Previous => FingerprintState::Previous,
        Label::Retired => FingerprintState::Retired,
    }
}

fn making() -> Problem {
    Problem::new(Code::FingerprintsNotExported, "make the fingerprints")
}
