use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_issuer::{Runner, Spec, SpecError};
use keyroll_leak::Rules;
use keyroll_setup::trust::trusted_files;

use crate::problem::Problem;
use crate::wiring::issuer::spec_text;

/// One issuer that can be asked about findings.
pub(super) struct Asker {
    /// The name of a shipped spec, or the file of another one.
    pub name: String,
    /// The host that is asked, `name:port`; `None` if the spec names no real host.
    pub at: Option<String>,
    pub spec: Spec,
    pub runner: Runner,
}

/// Which issuer is asked about the findings of which rule: by the shipped specs and those named on the command line. No
/// scanned file, and no `keyroll.toml` among them, can choose where a value is sent.
pub(super) struct Askers {
    by_rule: BTreeMap<String, Arc<Asker>>,
}

impl Asker {
    fn of(name: String, spec: Spec) -> Self {
        Self { name, at: spec.asked_at(), runner: Runner::new(spec.clone(), None), spec }
    }
}

impl Askers {
    /// The shipped specs; those of these files replace them, rule by rule.
    ///
    /// # Errors
    /// A file is not a spec, can be changed by other users, names no rule, or names a rule that does not exist or that
    /// another file has.
    pub(super) fn of(files: &[PathBuf]) -> Result<Self, Problem> {
        let mut by_rule = BTreeMap::new();
        for name in Spec::names() {
            let spec = Spec::shipped(name).map_err(|error| unread(&error))?;
            join(&mut by_rule, Asker::of(name.to_owned(), spec), |_, _| true)?;
        }
        trusted_files(files.to_vec())?;
        let mut own = BTreeSet::new();
        for file in files {
            let asker = read(file)?;
            join(&mut by_rule, asker, |rule, _| own.insert(rule.to_owned()))?;
        }
        Ok(Self { by_rule })
    }

    /// The rules whose findings an issuer can be asked about.
    pub(super) fn rules(&self) -> BTreeSet<String> {
        self.by_rule.keys().cloned().collect()
    }

    /// The issuer that can be asked about a finding of this rule.
    pub(super) fn of_rule(&self, rule: &str) -> Option<&Arc<Asker>> {
        self.by_rule.get(rule)
    }
}

fn join(
    by_rule: &mut BTreeMap<String, Arc<Asker>>,
    asker: Asker,
    mut may: impl FnMut(&str, &Asker) -> bool,
) -> Result<(), Problem> {
    let asker = Arc::new(asker);
    for rule in asker.spec.rules() {
        if !may(rule, &asker) {
            return Err(problem(&asker.name)
                .because(format!("another --issuer already covers the rule '{rule}'"))
                .help("name only one of them"));
        }
        by_rule.insert(rule.clone(), asker.clone());
    }
    Ok(())
}

fn read(file: &Path) -> Result<Asker, Problem> {
    let name = format!("file:{}", keyroll_observe::shown(file));
    let spec = Spec::parse(&spec_text(file)?, &name).map_err(|error| unread(&error))?;
    let rules = Rules::shipped().map_err(|error| problem(&name).because_of(&error))?;
    let unknown = spec.rules().iter().find(|id| !rules.iter().any(|rule| rule.id == **id));
    match (unknown, spec.rules().is_empty()) {
        (Some(_), _) => Err(problem(&name)
            .because("its op.verify names an unknown rule")
            .help("keyroll leaks prints the id of a rule with each finding, such as gitlab-token")),
        (None, true) => Err(problem(&name)
            .because("it does not say which findings it covers")
            .help("add to [op.verify]: rules = [\"gitlab-token\"], with the ids that keyroll leaks prints")),
        (None, false) => Ok(Asker::of(name, spec)),
    }
}

fn problem(name: &str) -> Problem {
    Problem::new(Code::IssuerSettingsInvalid, format!("verify findings with the spec {name}"))
}

fn unread(error: &SpecError) -> Problem {
    let problem = Problem::new(error.code, "verify findings with an issuer's spec");
    let problem = problem.because(error.to_string());
    problem.help(error.help.clone().unwrap_or_else(|| "keyroll issuers list".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_names_a_rule_that_there_is_and_needs_nothing_but_the_value() {
        let rules = Rules::shipped().unwrap();
        let mut linked = BTreeSet::new();
        for name in Spec::names() {
            let spec = Spec::shipped(name).unwrap();
            for id in spec.rules() {
                assert!(rules.iter().any(|rule| rule.id == *id), "{name}: there is no rule {id}");
                assert!(linked.insert(id.clone()), "{name}: another spec asks about {id}, too");
            }
            assert_eq!(spec.asked_at().is_none(), spec.host_to_name().is_some(), "{name}");
        }
        let askers = Askers::of(&[]).unwrap();
        assert_eq!(askers.rules(), linked);
    }
}
