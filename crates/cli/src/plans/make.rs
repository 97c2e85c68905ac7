//! `plan`: looks at everything, and saves what a rotation would do.

use std::path::{Path, PathBuf};

use keyroll_config::{Config, Secret};
use keyroll_port::JournalError;
use keyroll_rotation::State;

use super::live;
use super::look::{Found, look};
use super::outline::{announced, gaps, least_s, show_findings, steps};
use super::split::moved;
use super::subject::Subject;
use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::agree::agree;
use crate::records::begun::apart;
use crate::records::index::Index;
use crate::records::saved::{Apart, Family, Share};
use crate::ui::Event;
use crate::wiring::fields::refuse_unfit_fields;
use crate::wiring::issuer::described;
use crate::wiring::open::{fingerprint_key, journal, runtime, store};
use crate::wiring::provable::provable;

/// Looks at everything and saves what a rotation would do; the plan's id.
pub(crate) fn plan(secret: &Secret, config: &Config, context: &mut Context) -> Result<String, Problem> {
    let places = context.places()?;
    let config_file = absolute(&context.config_path())?;
    let config_text = config_file::read(&config_file)?;
    let apart = refuse_open(&places, secret.name.as_str())?;
    let (config_text, family) = without(config_text, &config_file, secret.name.as_str(), apart)?;
    let without = Config::parse(&config_text, &config_file.display().to_string())?;
    let (config, secret) = match family {
        Some(_) => (&without, crate::context::secret(&without, secret.name.as_str())?),
        None => (config, secret),
    };
    let described = described(secret)?;
    let first = Subject::new((config, secret), (&config_file, &config_text), &places, &described);
    let subject = Subject { family: family.as_ref(), ..first };
    let found = look_at(&subject)?;
    note_apart(&found, context);
    show_findings(&found, &mut context.ui);
    if !found.saved.seen.unexplained.is_empty() {
        return Err(unexplained(&found));
    }
    found.saved.write(&places)?;
    let id = found.saved.id.clone();
    live::show(&found.live, &mut context.ui);
    let (steps, gaps, least_s) = (steps(&found, secret), gaps(&found, secret), least_s(&found));
    let away = announced(secret);
    let apply_with = live::apply_with(&found.live, &id);
    let name = secret.name.to_string();
    context.ui.event(Event::Plan { id: id.clone(), secret: name, steps, gaps, away, least_s, apply_with });
    Ok(id)
}

/// A shared key while open rotations give consumers of it one of their own: its plan goes by the configuration without
/// those.
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
        let shared = crate::context::secret(&config, name)?;
        // A consumer that was adopted later was never one of the shared key.
        if shared.consumer(&one.consumer).is_some() {
            let share = Share { consumer: one.consumer.clone(), secret: one.secret.clone() };
            text = moved(&text, file, name, &share)?;
        }
    }
    Ok((text, Some(Family::Leaked { apart })))
}

/// Who is not moved by it, and by whom.
fn note_apart(found: &Found, context: &mut Context) {
    let Some(Family::Leaked { apart }) = &found.saved.family else { return };
    for one in apart {
        context.ui.note(format!(
            "{} is not moved by this: rotation {} gives it a key of its own, and is open",
            one.consumer, one.rotation
        ));
    }
    context
        .ui
        .note("it is carried out only with --emergency; without one, end what is open first".to_owned());
}

/// While a rotation is open the files hold what it put there: a plan would take that for somebody's mistake. Those that
/// give single consumers a key of their own are returned.
pub(super) fn refuse_open(places: &Places, name: &str) -> Result<Vec<Apart>, Problem> {
    if !places.journal().exists() {
        return Ok(Vec::new());
    }
    let attempted = || Problem::new("K0846", format!("plan a rotation of {name}"));
    let journal = journal(places)?;
    let failed = |error: JournalError| attempted().because_of(&error);
    runtime()?.block_on(async {
        let index = Index::read(&journal).await.map_err(failed)?;
        if let Some(own) = index.own(name) {
            let id = own.id();
            let (why, help) = match own.state.as_ref().is_some_and(State::decided) {
                true => (", past its point of no return", format!("keyroll resume {id}")),
                false => ("", format!("keyroll resume {id}, or keyroll abort {id}")),
            };
            return Err(attempted()
                .because(format!("rotation {id} of it is open{why}"))
                .help(help)
                .exits(Exit::Held));
        }
        agree(journal.as_ref(), store(places)?.as_ref(), name).await?;
        apart(&index, name)
    })
}

pub(crate) fn look_at(subject: &Subject<'_>) -> Result<Found, Problem> {
    refuse_unfit_fields(subject.described, subject.secret)?;
    let key = fingerprint_key(subject.places)?;
    let issuer = subject.described.issuer(subject.secret, None)?;
    let attributes = issuer.capabilities().attributes;
    subject.secret.consumers.iter().try_for_each(|consumer| provable(consumer, attributes))?;
    runtime()?.block_on(look(subject, &key, issuer))
}

pub(super) fn unexplained(found: &Found) -> Problem {
    let places = found.saved.seen.unexplained.join(", ");
    Problem::new("K0836", "plan the rotation")
        .because(format!("copies of the value that no consumer names: {places}"))
        .help("keyroll consumer adopt PATH --name NAME …, or keyroll consumer waive PATH --reason WHY")
        .exits(Exit::NeedsPerson)
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path)
        .map_err(|error| Problem::new("K0805", format!("resolve {}", path.display())).because_of(&error))
}
