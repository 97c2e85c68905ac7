//! `plan`: inspects everything and saves a rotation plan.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Config, Consumer, Secret};
use keyroll_port::JournalError;
use keyroll_rotation::State;

use super::in_clusters::refuse_unsynced;
use super::inspect::look;
use super::inspection::Inspection;
use super::left_out::{Without, text_without};
use super::move_consumer::moved;
use super::outline::{announced, downtimes, least_s, rolls_back, show_findings, steps};
use super::pace::pace;
use super::pending_changes;
use super::rehearsed::refuse_unready;
use super::source_of_truth::agreeing_truth;
use super::subject::{ConfiguredSecret, Subject};
use super::unsearched::also_searched;
use crate::config_file;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator, RollsBack};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::adopt_command::adopt_copy;
use crate::records::index::Index;
use crate::records::open_rotation_guard::{apart, ends_with};
use crate::records::saved_plan::{Apart, Family, Saved, Share};
use crate::records::store_freshness::agree;
use crate::shell_words::quoted;
use crate::wiring::fields::refuse_unfit_fields;
use crate::wiring::issuer::described;
use crate::wiring::open::{fingerprint_key, journal, runtime, store};
use crate::wiring::provable::provable;

/// The most hosts that are named while they are inspected.
const HOSTS_SHOWN_MAX: usize = 8;

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A rotation that an operator reads before it is applied.
    Rotation,
    /// An emergency that begins at once. `brought`: somebody brings the new key.
    Emergency {
        /// Somebody brings the new key, also where the issuer's API could make one.
        brought: bool,
        /// The old key is revoked first.
        revokes_first: bool,
    },
}

/// Inspects everything and saves a rotation plan; returns its id.
pub fn plan(
    without: &Without,
    of: (&Secret, &Config),
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<String, Problem> {
    let again = again(without, of.0.name.as_str());
    plan_for(Purpose::Rotation, without, of, installation, operator).map_err(|problem| problem.then(&again))
}

/// Refuses a secret without a declared consumer.
fn refuse_unused(secret: &Secret, config_file: &Path) -> Result<(), Problem> {
    if !secret.consumers.is_empty() {
        return Ok(());
    }
    let (path, name) = (config_file.display(), &secret.name);
    Err(Problem::new(Code::NotPlannable, format!("plan a rotation of {name}"))
        .because("it has no declared consumer: nothing could prove that the new value works")
        .help(format!(
            "declare its consumers as [[secrets.{name}.consumers]] in {path}; if it leaked and nothing uses it, \
             revoke it at its issuer (keyroll issuers show {name} says where), then keyroll verify {name}"
        )))
}

/// The command that asks for the same plan again.
fn again(without: &Without, secret: &str) -> String {
    format!("keyroll plan {secret}{}", without.flags())
}

/// As [`plan`]. In an emergency an undeclared copy does not hold up the consumers: it is named. Whoever plans for one names the
/// command that comes after a failure.
pub fn plan_for(
    purpose: Purpose,
    without_hosts: &Without,
    (secret, config): (&Secret, &Config),
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<String, Problem> {
    refuse_unsynced(secret)?;
    refuse_unused(secret, &installation.config_path())?;
    let places = installation.places()?;
    let config_file = config_file::absolute(&installation.config_path())?;
    let config_text = config_file::read(&config_file)?;
    let apart = refuse_open(&places, secret.name.as_str())?;
    let (config_text, family) = without(config_text, &config_file, secret.name.as_str(), apart)?;
    let left_out = without_hosts.of(config, secret)?;
    let config_text = text_without(config_text, &config_file, secret.name.as_str(), &left_out)?;
    let without = Config::parse(&config_text, &config_file.display().to_string())?;
    let (config, secret) = match (&family, left_out.as_slice()) {
        (None, []) => (config, secret),
        (Some(_), _) | (None, [_, ..]) => {
            (&without, crate::configured::secret(&without, secret.name.as_str())?)
        }
    };
    refuse_unused(secret, &config_file)?;
    let described = described(secret)?;
    let first = Subject::new(
        ConfiguredSecret { config, secret, config_file: &config_file, config_text: &config_text },
        &places,
        &described,
    );
    let brought = matches!(purpose, Purpose::Emergency { brought: true, .. });
    let revokes_first = matches!(purpose, Purpose::Emergency { revokes_first: true, .. });
    let subject = Subject { family: family.as_ref(), brought, revokes_first, left_out: &left_out, ..first };
    let found = look_at(&subject, operator)?;
    note_apart(&found, operator);
    show_findings(&found, operator);
    match purpose {
        Purpose::Rotation if !found.saved.seen.unexplained.is_empty() => return Err(unexplained(&found)),
        Purpose::Rotation => {
            refuse_unprovable(&found, secret)?;
            refuse_unready(&found)?;
        }
        // It is applied at once: nobody reads its steps.
        Purpose::Emergency { .. } => {
            note_unexplained(&found, operator);
            found.bar.iter().for_each(|problem| operator.note(problem.sentence()));
            found.saved.write(&places)?;
            return Ok(found.saved.id.clone());
        }
    }
    save(&found.saved, &places, (&found, secret), steps(&found, secret), operator)
}

/// Saves the plan and shows it; returns its id.
pub(crate) fn save(
    saved: &Saved,
    places: &Places,
    (found, secret): (&Inspection, &Secret),
    steps: Vec<String>,
    operator: &mut dyn Operator,
) -> Result<String, Problem> {
    saved.write(places)?;
    let id = saved.id.clone();
    pending_changes::show(&found.live, operator);
    let (downtimes, away, least_s) = (downtimes(found, secret), announced(secret), least_s(found));
    let accept = pending_changes::names(&found.live);
    let apply_with = pending_changes::apply_with("", &id, &accept);
    let name = secret.name.to_string();
    // Each consumer that gets a key of its own is moved alone, by a rotation of its own.
    let overlap = found.plan.capabilities.overlap;
    let pace = if saved.shares.is_empty() { pace(overlap, secret) } else { Vec::new() };
    // It ends with the end of the shared key.
    let back = if saved.shares.is_empty() { rolls_back(&found.plan) } else { RollsBack::UntilIrreversible };
    operator.event(Event::Plan {
        id: id.clone(),
        secret: name,
        steps,
        pace,
        downtimes,
        away,
        least_s,
        rolls_back: Some(back),
        accept,
        apply_with,
    });
    Ok(id)
}

/// The plan of a shared key while open rotations give some consumers keys of their own: those consumers are left out.
fn without(
    mut text: String,
    file: &Path,
    name: &str,
    apart: Vec<Apart>,
) -> Result<(String, Option<Family>), Problem> {
    if apart.is_empty() {
        return Ok((text, None));
    }
    for one in &apart {
        let config = Config::parse(&text, &file.display().to_string())?;
        let shared = crate::configured::secret(&config, name)?;
        // A consumer that was adopted later never used the shared key.
        if shared.consumer(&one.consumer).is_some() {
            let share = Share { consumer: one.consumer.clone(), secret: one.secret.clone() };
            text = moved(&text, file, name, &share)?;
        }
    }
    Ok((text, Some(Family::Leaked { apart })))
}

/// Shows the consumers that other rotations move.
fn note_apart(found: &Inspection, operator: &mut dyn Operator) {
    let Some(Family::Leaked { apart }) = &found.saved.family else { return };
    for one in apart {
        operator.note(format!(
            "{} is not moved by this: the open rotation {} gives it its own key",
            one.consumer, one.rotation
        ));
    }
    operator.note(
        "this plan can be applied only with --emergency; otherwise finish the open rotation first".to_owned(),
    );
}

/// Names the undeclared copies, which keep the old value.
fn note_unexplained(found: &Inspection, operator: &mut dyn Operator) {
    for place in &found.saved.seen.unexplained {
        operator.note(format!("not declared, so this emergency does not change it: {place}"));
    }
}

/// Refuses a plan while a rotation of the secret is open, because its files would look like mistakes. Returns the
/// consumers that open rotations give keys of their own.
pub fn refuse_open(places: &Places, name: &str) -> Result<Vec<Apart>, Problem> {
    if !places.journal().exists() {
        return Ok(Vec::new());
    }
    let attempted = || Problem::new(Code::NotPossibleNow, format!("plan a rotation of {name}"));
    let journal = journal(places)?;
    let failed = |error: JournalError| attempted().because_of(&error);
    runtime(places)?.block_on(async {
        let index = Index::read(&journal).await.map_err(failed)?;
        if let Some(own) = index.own(name) {
            let id = own.id();
            let decided = own.state.as_ref().is_some_and(State::decided);
            let why = if decided { ", past its point of no return" } else { "" };
            return Err(attempted()
                .because(format!("its rotation {id} is open{why}"))
                .help(ends_with(&id.0, name, own.state.as_ref()))
                .exits(Exit::Held));
        }
        let sealed = store(places)?;
        agree(journal.as_ref(), sealed.as_ref(), sealed.as_ref(), name).await?;
        apart(&index, name)
    })
}

/// Inspects everything that a plan depends on, on all machines.
pub(crate) fn look_at(subject: &Subject<'_>, operator: &mut dyn Operator) -> Result<Inspection, Problem> {
    refuse_unsynced(subject.secret)?;
    let searched = also_searched(subject);
    let mut hosts = subject.secret.ssh_hosts();
    hosts.extend(searched.iter().map(String::as_str));
    if let Some(text) = reaching(&hosts, &subject.secret.clusters()) {
        operator.progress(&text);
    }
    let found = inspected(subject);
    operator.settle();
    found
}

/// What is shown while hosts and clusters are reached: each may take some seconds, and keyroll-host may have to be sent first.
fn reaching(hosts: &BTreeSet<&str>, clusters: &BTreeSet<&str>) -> Option<String> {
    let shown: Vec<&str> = hosts.iter().copied().take(HOSTS_SHOWN_MAX).collect();
    let more = match hosts.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let by_ssh = (!shown.is_empty()).then(|| format!("{}{more} by ssh", shown.join(", ")));
    let all: Vec<String> = by_ssh.into_iter().chain(clusters.iter().map(|name| (*name).to_owned())).collect();
    (!all.is_empty()).then(|| format!("inspecting {} …", all.join(", ")))
}

/// The inspection itself.
fn inspected(subject: &Subject<'_>) -> Result<Inspection, Problem> {
    refuse_unfit_fields(subject.described, subject.secret)?;
    let key = fingerprint_key(subject.places)?;
    let issuer = subject.described.issuer(subject.secret, None)?;
    let attributes = issuer.capabilities().attributes;
    subject.secret.consumers.iter().try_for_each(|consumer| provable_yet(consumer, attributes))?;
    runtime(subject.places)?.block_on(async {
        let agreeing = agreeing_truth(subject).await;
        if let Err(problem) = &agreeing
            && !subject.revokes_first
        {
            return Err(problem.clone());
        }
        let mut found = look(subject, &key, issuer).await?;
        match agreeing {
            Ok(None) => {}
            Ok(Some(truth)) => {
                found.notes.insert(0, truth.note);
                found.saved.truth = Some(truth.name);
            }
            // A leaked key lives no longer because of what is given out. Nothing is overwritten there all the same.
            Err(problem) => {
                found.notes.insert(0, format!("the key is revoked all the same: {}", problem.sentence()))
            }
        }
        Ok(found)
    })
}

/// As [`provable`], before it is tried whether the issuer shows the calls of other hosts.
fn provable_yet(consumer: &Consumer, attributes: bool) -> Result<(), Problem> {
    provable(consumer, attributes).or_else(|problem| {
        match consumer.is_by_ssh() && attributes && provable(consumer, false).is_ok() {
            true => Ok(()),
            false => Err(problem),
        }
    })
}

/// Refuses a consumer on another host that has no way to show the new value, now that it was tried whether the issuer shows
/// the calls of that host.
pub(crate) fn refuse_unprovable(found: &Inspection, secret: &Secret) -> Result<(), Problem> {
    let attributes = found.plan.capabilities.attributes;
    provable_elsewhere(secret, attributes, &found.saved.seen.unattributed)
}

/// `unattributed`: the hosts of which the issuer does not show which process made a call.
fn provable_elsewhere(secret: &Secret, attributes: bool, unattributed: &[String]) -> Result<(), Problem> {
    for consumer in secret.consumers.iter().filter(|consumer| consumer.is_by_ssh()) {
        let host = consumer.machine();
        match unattributed.iter().any(|name| name == host) {
            true => provable(consumer, false).map_err(|problem| {
                problem.because(format!("the issuer does not show which process of {host} made a call"))
            })?,
            false => provable(consumer, attributes)?,
        }
    }
    Ok(())
}

/// Refuses a plan that an undeclared process blocks.
pub fn unexplained(found: &Inspection) -> Problem {
    let all = &found.saved.seen.unexplained;
    let places = all.join(", ");
    let first = all.first().map_or_else(|| "PATH".to_owned(), |path| quoted(path));
    let each = if all.len() > 1 { "; the same for each other copy" } else { "" };
    let flag = found.saved.secret_flag();
    Problem::new(Code::UndeclaredCopies, "plan the rotation")
        .because(format!("undeclared copies of the value: {places}"))
        .help(format!(
            "{}{flag}, or keyroll consumer waive {first} --reason WHY{flag}{each}",
            adopt_copy(&first)
        ))
        .exits(Exit::NeedsPerson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_whose_calls_are_not_attributed_needs_a_check_and_the_same_one_elsewhere_does_not() {
        let text = |check: &str| {
            format!(
                "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv\"\n[hosts.web-2]\n\
                 connect = \"ssh://web-2\"\nfolder = \"/srv\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                 [[secrets.acme.consumers]]\nname = \"api\"\nhosts = [\"web-1\", \"web-2\"]\n\
                 runs = {{ rereads = true, process = \"/opt/api\" }}\nreads = {{ file = \"./key\" }}\n{check}"
            )
        };
        let config = |check: &str| Config::parse(&text(check), "/srv/keyroll.toml").unwrap();
        let (without, with) = (config(""), config("check = { exec = [\"./c.sh\", \"{copy}\"] }\n"));
        let (without, with) = (without.secret("acme").unwrap(), with.secret("acme").unwrap());
        let hidden = ["web-2".to_owned()];
        assert!(without.consumers.iter().all(|consumer| provable_yet(consumer, true).is_ok()));
        assert!(provable_elsewhere(without, true, &[]).is_ok());
        let problem = provable_elsewhere(without, true, &hidden).unwrap_err();
        assert!(problem.attempted.contains("api@web-2"), "{}", problem.attempted);
        assert!(problem.causes.iter().any(|why| why.contains("process of web-2")), "{:?}", problem.causes);
        assert!(provable_elsewhere(with, true, &hidden).is_ok());
        assert!(without.consumers.iter().all(|consumer| provable_yet(consumer, false).is_err()));
    }

    /// Red where the command that is named again plans for the hosts that were to be left out.
    #[test]
    fn a_plan_that_is_asked_for_again_leaves_out_the_same_hosts() {
        let hosts = ["web-2", "db-1"].map(str::to_owned).to_vec();
        let without = Without { hosts, reason: "its disk is dead".to_owned() };
        let flags = "--without web-2 --without db-1 --reason 'its disk is dead'";
        assert_eq!(again(&without, "acme"), format!("keyroll plan acme {flags}"));
        assert_eq!(again(&Without::default(), "acme"), "keyroll plan acme");
    }

    #[test]
    fn hosts_that_are_inspected_are_named_and_many_are_counted() {
        let names: Vec<String> = (0..30).map(|at| format!("web-{at:02}")).collect();
        let in_clusters = |count: usize, all: BTreeSet<&str>| {
            reaching(&names.iter().take(count).map(String::as_str).collect(), &all)
        };
        let of = |count: usize| in_clusters(count, BTreeSet::new());
        assert_eq!(of(0), None);
        assert_eq!(of(2).unwrap(), "inspecting web-00, web-01 by ssh …");
        assert!(of(30).unwrap().ends_with(", web-07 and 22 more by ssh …"), "{:?}", of(30));
        assert_eq!(in_clusters(1, BTreeSet::from(["prod"])).unwrap(), "inspecting web-00 by ssh, prod …");
        assert_eq!(in_clusters(0, BTreeSet::from(["prod"])).unwrap(), "inspecting prod …");
    }
}
