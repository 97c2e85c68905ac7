//! What a leaked key can do, who uses it, where it is, and what stops without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keyroll_config::{Config, Secret};
use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Store as _};
use keyroll_secret::SecretBytes;

use super::contain::seen_alive;
use super::exposure::exposure;
use super::file::{Assessed, Files, Incident, Subject, leaked};
use super::foreign::{Foreign, Said};
use super::shown::AssessmentShown;
use super::standing::{Standing, chosen, shown};
use crate::configured::{host_flags, listed, other_hosts};
use crate::installation::Installation;
use crate::inventory::{Inventory, LookLimits, Missed, SOUGHT, look_for, search_memory};
use crate::operator::{CheckShown, CommandShown, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key;
use crate::reports::verify::verify;
use crate::wiring::open::{runtime, store};

/// The most processes, or copies, that are listed.
const SHOWN_MAX: usize = 50;

/// What is assessed, and how far it is looked.
pub struct AssessRequest<'a> {
    /// The incident; none = the only open one.
    pub id: Option<&'a str>,
    /// The folders that are searched; none = the usual settings folders.
    pub roots: &'a [PathBuf],
    /// The limits of the search.
    pub limits: LookLimits,
    /// The journal is searched since then, as `journalctl --since` reads it.
    pub since: &'a str,
}

/// Looks at everything, and writes down what was found for the report.
///
/// # Errors
/// There is no such incident, or this machine cannot be searched.
pub fn assess(
    request: &AssessRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<AssessmentShown, Problem> {
    let began = Instant::now();
    let (config, places) = (installation.config()?, installation.places()?);
    let files = Files::of(&places);
    let incident = chosen(request.id, installation)?;
    let mut found = Assessed::default();
    let configured = incident.secret().and_then(|name| config.secret(name).ok());
    let values = values(&incident, &places)?;
    operator.progress("asking the issuer …");
    found.alive = alive(&incident, installation, &places)?;
    operator.settle();
    let foreign = matches!(incident.subject, Subject::Foreign { .. });
    let sought = values.first().filter(|_| foreign);
    let mut around = request.roots.to_vec();
    match values.is_empty() {
        true => {
            let why = match &incident.subject {
                Subject::Unseen { .. } => "the alert has no value",
                Subject::Stored { .. } | Subject::Foreign { .. } => "the value is not stored any more",
            };
            found.not_visible.push(format!("who uses it, and where it is: {why}"));
        }
        false => {
            let mut seen = look_for(sought, request.roots, &request.limits, installation, operator)?;
            let searched = search_memory(&mut seen, &request.limits, operator);
            if !searched {
                found.not_visible.push("the memory of processes, which was not searched".to_owned());
            }
            let missed = seen.missed().into_iter();
            found.not_visible.extend(missed.map(|Missed { what, why }| format!("{what} ({why})")));
            around.extend(holders(&incident, &seen, &mut found));
        }
    }
    found.not_visible.extend(elsewhere(configured, &config));
    around.extend(configured.into_iter().flat_map(copies));
    around.extend(installation.config_path().canonicalize().ok());
    if !values.is_empty() {
        let exposure = exposure(&values, &around, request.since, operator)?;
        found.exposed = exposure.places;
        found.first_exposed = exposure.first.map(|(at, place)| format!("{at}: {place}"));
        found.not_visible.extend(exposure.not_visible);
    }
    let told = incident.alerts.iter();
    let told: Vec<String> = told.filter_map(|seen| seen.place.as_ref()).cloned().collect();
    found.exposed.splice(0..0, told);
    found.first_exposed = found.first_exposed.into_iter().chain(told_first(&incident)).min();
    found.stops = stops(configured, &found);
    found.unix_ms = SystemClock::new().unix_ms();
    let kept = found.clone();
    let incident = files.change(&incident.id, |incident| incident.assessed = Some(kept))?;
    let incident_shown = shown(&incident, Some(&config), &places)?;
    let ways = ways(&incident, incident_shown.is_over(), configured);
    Ok(AssessmentShown {
        incident: incident_shown,
        alive: found.alive,
        users: found.users,
        copies: found.copies,
        exposed: found.exposed,
        first_exposed: found.first_exposed,
        stops: found.stops,
        not_visible: found.not_visible,
        took_s: began.elapsed().as_secs_f64(),
        next: ways.iter().map(|way| way.command.clone()).collect(),
        ways,
    })
}

/// What is not looked at: the other machines and clusters, first those of its consumers. Each with the command that looks
/// there.
fn elsewhere(configured: Option<&Secret>, config: &Config) -> Vec<String> {
    let mut consumers = configured.map(Secret::ssh_hosts).unwrap_or_default();
    consumers.extend(configured.map(Secret::clusters).unwrap_or_default());
    let others: BTreeSet<&str> = other_hosts(config).difference(&consumers).copied().collect();
    let name = configured.map(|secret| secret.name.as_str());
    let line = |hosts: BTreeSet<&str>| {
        let (all, flags) = (listed(&hosts), host_flags(&hosts));
        let command = match name {
            Some(name) => format!("keyroll trace {name}{flags}"),
            None => format!("keyroll scan{flags}"),
        };
        format!(
            "who uses it, and where it is, on {all} (only this machine was searched; {command} looks there)"
        )
    };
    [consumers, others].into_iter().filter(|hosts| !hosts.is_empty()).map(line).collect()
}

/// The places of alerts whose time their source names, each with it.
pub(super) fn told_first(incident: &Incident) -> impl Iterator<Item = String> {
    incident.alerts.iter().filter_map(|seen| {
        let since = seen.since.as_ref()?;
        let place = seen.place.as_deref().unwrap_or("a place that the source does not name");
        Some(format!("{since}: {place} (as {} says)", seen.source))
    })
}

/// The leaked values, as far as they are stored.
fn values(incident: &Incident, places: &Places) -> Result<Vec<SecretBytes>, Problem> {
    match &incident.subject {
        Subject::Stored { secret, number } => {
            let read = runtime(places)?.block_on(store(places)?.read(secret, *number))?;
            let fields = read.map(|credential| credential.fields);
            let values = fields.iter().flat_map(|fields| fields.secrets());
            Ok(values.map(|(_, value)| value.duplicate()).collect())
        }
        Subject::Foreign { .. } => Ok(leaked(incident, places)?.into_iter().collect()),
        Subject::Unseen { .. } => Ok(Vec::new()),
    }
}

/// What the issuer says, in words.
fn alive(incident: &Incident, installation: &Installation, places: &Places) -> Result<String, Problem> {
    let (secret, number) = match &incident.subject {
        Subject::Stored { secret, number } => (secret, *number),
        Subject::Foreign { issuer, .. } => {
            let Some(value) = leaked(incident, places)? else {
                return Ok("not visible: the value is not stored any more".to_owned());
            };
            return Ok(match Foreign::of(issuer.as_ref(), installation)? {
                Some(foreign) => {
                    let said = foreign.ask(value, incident.seen_alive)?;
                    if matches!(said, Said::Alive(_)) {
                        Files::of(places).change(&incident.id, seen_alive)?;
                    }
                    said.text()
                }
                None => "not visible: no issuer is known that could be asked".to_owned(),
            });
        }
        Subject::Unseen { .. } => return Ok("not visible: the alert has no value".to_owned()),
    };
    let config = installation.config().ok();
    let standing = Standing::of(secret, number, config.as_ref(), places)?;
    if let (Some(dead), Some(ending)) = (standing.dead_unix_ms(), &standing.ending) {
        let at = old_key::clock(dead);
        return Ok(format!("dead: rotation {} saw its issuer refuse it at {at}", ending.row.id));
    }
    let mut answers = Vec::new();
    let prefix = format!("{secret} v{number} ");
    let asked = verify(secret, installation, &mut |check: CheckShown| {
        if check.name.starts_with(&prefix) {
            let at = check.name.rsplit_once(" at ").map(|(_, at)| format!(" at {at}")).unwrap_or_default();
            answers.push(format!("{}{at}", check.detail));
        }
    });
    Ok(match (asked, answers.is_empty()) {
        (Err(problem), _) => format!("not visible: {}", problem.sentence()),
        (Ok(_), true) => "not visible: its value is not stored any more".to_owned(),
        (Ok(_), false) => answers.join("; "),
    })
}

/// Who uses the leaked value, and which files hold it. Returns the files.
fn holders(incident: &Incident, seen: &Inventory, found: &mut Assessed) -> Vec<PathBuf> {
    let (name, number) = match &incident.subject {
        Subject::Stored { secret, number } => (secret.as_str(), *number),
        Subject::Foreign { .. } | Subject::Unseen { .. } => (SOUGHT, 1),
    };
    let mut files = Vec::new();
    for secret in seen.found.iter().filter(|one| one.managed && one.name == name) {
        let ids: Vec<_> = secret
            .versions
            .iter()
            .filter(|(_, version)| version.number == number)
            .map(|(id, _)| *id)
            .collect();
        let labels: Vec<String> = ids.iter().map(|id| seen.label(secret, *id)).collect();
        for (place, sighting) in secret.copies() {
            if ids.contains(&sighting.value) {
                found.copies.push(place.to_string());
                files.extend(place.file().map(Path::to_path_buf));
            }
        }
        for one in seen.instances(secret).into_iter().filter(|one| one.pid.is_none_or(|pid| !is_own(pid))) {
            let has = |all: &[String]| all.iter().any(|label| labels.contains(label));
            let starts = one.start.as_deref().is_some_and(has);
            let how = match (starts, has(&one.memory.values)) {
                (_, true) => "has it in its memory",
                (true, false) => "was started with it",
                (false, false) => continue,
            };
            let since = one.started.as_ref().map(|at| format!(", since {at}")).unwrap_or_default();
            found.users.push(format!("{} {how}{since}", one.who()));
        }
    }
    for all in [&mut found.users, &mut found.copies] {
        let more = all.len().saturating_sub(SHOWN_MAX);
        all.truncate(SHOWN_MAX);
        if more > 0 {
            all.push(format!("and {more} more"));
        }
    }
    files
}

/// A process of keyroll itself: an alert passed through it.
fn is_own(pid: u32) -> bool {
    let program = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    program(&pid.to_string()).is_some_and(|exe| program("self") == Some(exe))
}

/// The files of this machine that the configuration names.
fn copies(secret: &Secret) -> Vec<PathBuf> {
    secret.files().map(Path::to_path_buf).collect()
}

/// What stops without the leaked value: the configured consumers, and what else was seen to use it.
fn stops(configured: Option<&Secret>, found: &Assessed) -> Vec<String> {
    let consumers = configured.into_iter().flat_map(|secret| &secret.consumers);
    let consumers = consumers.map(|consumer| format!("{}, a configured consumer", consumer.name));
    consumers.chain(found.users.iter().cloned()).collect()
}

/// The ways on.
fn ways(incident: &Incident, is_over: bool, configured: Option<&Secret>) -> Vec<CommandShown> {
    let id = &incident.id;
    let shown = |kind, command: String| CommandShown { kind, command, complete: true };
    if is_over {
        return vec![shown("report", format!("keyroll incident report {id}"))];
    }
    match (&incident.subject, configured) {
        (Subject::Stored { secret, .. }, Some(_)) => vec![
            shown("roll_first", format!("keyroll incident contain {id} --roll-first")),
            shown("revoke_now", format!("keyroll incident contain {id} --revoke-now --confirm={secret}")),
        ],
        (Subject::Foreign { issuer: Some(_), .. }, _) => {
            vec![shown("revoke_now", format!("keyroll incident contain {id} --revoke-now --confirm={id}"))]
        }
        (Subject::Stored { .. } | Subject::Foreign { .. } | Subject::Unseen { .. }, _) => {
            let command = format!("keyroll incident close {id} --because REASON");
            vec![CommandShown { complete: false, ..shown("close", command) }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_are_not_searched_are_named_with_the_command_that_looks_there() {
        let host = |name: &str| format!("[hosts.{name}]\nconnect = \"ssh://{name}\"\nfolder = \"/srv\"\n");
        let text = [
            "version = 1\n",
            &host("db-1"),
            &host("web-1"),
            &host("web-2"),
            "[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n\
             hosts = [\"web-*\"]\nruns = { at_rest = true }\nreads = { file = \"./key\" }\n",
        ];
        let config = Config::parse(&text.concat(), "/srv/keyroll.toml").unwrap();
        let said = |name: Option<&str>| elsewhere(name.map(|name| config.secret(name).unwrap()), &config);
        let [consumers, others] = <[String; 2]>::try_from(said(Some("acme"))).unwrap();
        assert!(consumers.contains("on web-1, web-2 "), "{consumers}");
        assert!(
            consumers.contains("keyroll trace acme --host web-1 --host web-2 looks there"),
            "{consumers}"
        );
        assert!(others.contains("on db-1 "), "{others}");
        // Nobody configured the key of an alert: it may be on each of them.
        let [all] = <[String; 1]>::try_from(said(None)).unwrap();
        assert!(all.contains("keyroll scan --host db-1 --host web-1 --host web-2 looks"), "{all}");
    }
}
