//! What the source of truth of each secret gives out, beside the stored versions and beside what runs. Changes nothing.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Secret, StoreRef};
use keyroll_port::{Failure, TruthVersion};
use keyroll_secret::SecretBytes;
use keyroll_trace::{Memory, Row, SurveyedSecret, ValueId, rows};

use crate::configured::secret;
use crate::installation::Installation;
use crate::inventory::{Inventory, LookLimits, Sought, look_with, search_memory};
use crate::operator::{
    BOTH, CURRENT, DriftProcess, DriftShown, Event, GIVEN, GivenOutShown, OTHER, Operator, ThereShown,
};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::given_out::{GivenOutNow, Known, given_out_now};
use crate::records::old_key::clock;
use crate::records::versions;
use crate::wiring::{open, truth};

/// The number of a value that is given out and that keyroll did not write: no stored version has it.
const FOREIGN: u32 = 0;

/// The answer of one source of truth.
type Answer = Result<(GivenOutNow, Result<Vec<TruthVersion>, Failure>), Problem>;

/// Asks every source of truth outside of keyroll, or that of the named secret, and looks which version each process holds.
///
/// # Errors
/// The secret is not configured, its store cannot be read, or this machine cannot be searched.
pub fn drift(
    name: Option<&str>,
    limits: &LookLimits,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Vec<DriftShown>, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    let wanted: Vec<&Secret> = match name {
        Some(name) => vec![secret(&config, name)?],
        None => config.secrets.values().collect(),
    };
    let wanted: Vec<&Secret> =
        wanted.into_iter().filter(|secret| secret.store != StoreRef::Keyroll).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    operator.progress("asking the sources of truth …");
    let mut all = Vec::new();
    let file = installation.config_file();
    for secret in wanted {
        all.push((secret, asked(secret, &places, &file)?));
    }
    operator.settle();
    for (secret, _) in &all {
        for host in secret.other_hosts() {
            operator.event(Event::NotVisible {
                what: format!("which value of {} the processes on {host} use", secret.name),
                why: format!(
                    "only this machine was searched; keyroll why {} --host {host} looks there",
                    secret.name
                ),
            });
        }
    }
    let sought: Vec<Sought<'_>> = all.iter().filter_map(|(secret, answer)| foreign(secret, answer)).collect();
    let mut seen = look_with(&sought, &[], limits, installation, operator)?;
    search_memory(&mut seen, limits, operator);
    let shown = |(secret, answer): &(&Secret, Answer)| shown(secret, answer, &seen, &places);
    all.iter().map(shown).collect()
}

/// What it says. That it says nothing is an answer too.
fn asked(secret: &Secret, places: &Places, file: &Path) -> Result<Answer, Problem> {
    Ok(open::runtime(places)?.block_on(async {
        let truth = truth::of(places, file, secret).await?;
        let truth = truth.ok_or_else(|| unasked(secret))?;
        let now = given_out_now(places, secret, truth.as_ref()).await?;
        Ok::<_, Problem>((now, truth.versions().await))
    }))
}

fn unasked(secret: &Secret) -> Problem {
    Problem::new(Code::InternalError, format!("ask the source of truth of {}", secret.name))
}

/// The value that is given out, if keyroll did not write it: without it no process would be seen to use it.
fn foreign<'a>(secret: &'a Secret, answer: &'a Answer) -> Option<Sought<'a>> {
    let (now, _) = answer.as_ref().ok()?;
    let value: &SecretBytes = now.given.fields.secrets().next().map(|(_, value)| value)?;
    (now.known == Known::Foreign).then_some(Sought {
        name: secret.name.as_str(),
        number: FOREIGN,
        state: "given out",
        value,
    })
}

fn shown(secret: &Secret, answer: &Answer, seen: &Inventory, places: &Places) -> Result<DriftShown, Problem> {
    let name = secret.name.as_str();
    let found = seen.found.iter().find(|found| found.managed && found.name == name);
    let versions = versions::versions(places, secret)?;
    let empty = DriftShown {
        secret: name.to_owned(),
        store: secret.store.to_string(),
        gives_out: "unknown",
        given_out: None,
        there: Vec::new(),
        versions,
        processes: found.map(|found| processes(seen, found, None)).unwrap_or_default(),
        hosts_not_visible: secret.other_hosts().into_iter().map(str::to_owned).collect(),
        why: None,
        help: None,
    };
    let (now, there) = match answer {
        Ok(answer) => answer,
        Err(problem) => {
            let why = format!("{} ({})", problem.sentence(), problem.code);
            return Ok(DriftShown { why: Some(why), help: problem.help.clone(), ..empty });
        }
    };
    let (gives_out, version) = match now.known {
        Known::Current(number) => (CURRENT, Some(number)),
        Known::Other(number, _) => (OTHER, Some(number)),
        Known::Foreign => ("changed elsewhere", None),
    };
    let refusal = now.refusal(secret, "use what it gives out");
    let not_listed = there.as_ref().err().map(|failure| format!("its versions are not visible: {failure}"));
    let given = found.and_then(|found| value_of(found, version.unwrap_or(FOREIGN)));
    Ok(DriftShown {
        store: now.name.clone(),
        gives_out,
        given_out: Some(GivenOutShown {
            id: now.given.id.clone(),
            made: now.given.unix_ms.map(clock),
            fingerprint: now.fingerprint.as_ref().map(ToString::to_string),
            version,
        }),
        there: there.iter().flatten().map(there_shown).collect(),
        processes: found.map(|found| processes(seen, found, given)).unwrap_or_default(),
        why: refusal.as_ref().map(|problem| problem.causes.join("; ")).or(not_listed),
        help: refusal.and_then(|problem| problem.help),
        ..empty
    })
}

fn there_shown(version: &TruthVersion) -> ThereShown {
    let TruthVersion { id, labels, unix_ms } = version;
    ThereShown { id: id.clone(), labels: labels.clone(), made: unix_ms.map(clock) }
}

/// The value of a version, if it was found on this machine.
fn value_of(found: &SurveyedSecret, number: u32) -> Option<ValueId> {
    found.versions.iter().find(|(_, version)| version.number == number).map(|(id, _)| *id)
}

/// Each process that uses a value of the secret. `given`: the value that is given out.
fn processes(seen: &Inventory, found: &SurveyedSecret, given: Option<ValueId>) -> Vec<DriftProcess> {
    let mut all: Vec<DriftProcess> = Vec::new();
    for row in rows(&seen.survey, found) {
        let (pid, name) = (row.process.pid, seen.program(row.user, Some(&row.process)));
        if !all.iter().any(|one| one.pid == pid) {
            all.push(DriftProcess { pid, name, holds: holds(&row, given) });
        }
    }
    all
}

/// Which version a process holds, in its start or in its memory. A file that it opened need not have been read.
fn holds(row: &Row<'_>, given: Option<ValueId>) -> &'static str {
    let mut held: BTreeSet<ValueId> = row.held.start.iter().flatten().copied().collect();
    match &row.held.memory {
        Memory::Whole(all) | Memory::InPart(all) => held.extend(all),
        Memory::NotSearched | Memory::Closed | Memory::Common => {}
    }
    let new = given.is_some_and(|given| held.contains(&given));
    let other = held.iter().any(|value| Some(*value) != given);
    match (new, other) {
        (true, true) => BOTH,
        (true, false) => GIVEN,
        (false, true) => OTHER,
        (false, false) => "not visible",
    }
}

#[cfg(test)]
mod tests {
    use keyroll_truth::PENDING;

    use super::*;

    fn shown(gives_out: &'static str, holds: &[&'static str]) -> DriftShown {
        let process =
            |(pid, &holds): (u32, &&'static str)| DriftProcess { pid, name: "api".to_owned(), holds };
        DriftShown {
            secret: "vonage".to_owned(),
            store: "aws-sm:prod/vonage#KEY".to_owned(),
            gives_out,
            given_out: None,
            there: Vec::new(),
            versions: Vec::new(),
            processes: (1..).zip(holds).map(process).collect(),
            hosts_not_visible: Vec::new(),
            why: None,
            help: None,
        }
    }

    #[test]
    fn what_is_not_the_current_version_is_a_finding() {
        let right = shown(CURRENT, &[GIVEN]);
        assert!(!right.is_finding());
        let unlisted = DriftShown { why: Some("its versions are not visible".to_owned()), ..right };
        assert!(unlisted.is_finding());
        // Nothing differs as far as it was looked: that must not read as complete.
        let unlooked = DriftShown { hosts_not_visible: vec!["web-1".to_owned()], ..shown(CURRENT, &[GIVEN]) };
        assert!(unlooked.is_finding());
        let version = |labels: &[&str]| ThereShown {
            id: "0c3f".to_owned(),
            labels: labels.iter().map(ToString::to_string).collect(),
            made: None,
        };
        for (labels, finding) in [(["AWSPREVIOUS"], false), ([PENDING], true)] {
            let there = DriftShown { there: vec![version(&labels)], ..shown(CURRENT, &[GIVEN]) };
            assert_eq!(there.is_finding(), finding, "{labels:?}");
        }
        for wrong in ["another version", "changed elsewhere", "unknown"] {
            assert!(shown(wrong, &[]).is_finding(), "{wrong}");
        }
        for behind in [OTHER, BOTH, "not visible"] {
            assert!(shown(CURRENT, &[GIVEN, behind]).is_finding(), "{behind}");
        }
    }
}
