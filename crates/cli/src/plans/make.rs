//! `plan`: looks at everything, and saves what a rotation would do.

use std::path::{Path, PathBuf};

use keyroll_config::{Config, Secret};
use keyroll_port::{Journal as _, JournalError};

use super::live;
use super::look::{Found, look};
use super::outline::{announced, gaps, least_s, show_findings, steps};
use super::subject::Subject;
use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::agree::agree;
use crate::records::begun::open_of;
use crate::records::recorded::state_of;
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
    refuse_open(&places, secret.name.as_str())?;
    let described = described(secret)?;
    let subject = Subject::new((config, secret), (&config_file, &config_text), &places, &described);
    let found = look_at(&subject)?;
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

/// While a rotation is open the files hold what it put there: a plan would take that for somebody's mistake.
pub(super) fn refuse_open(places: &Places, name: &str) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let attempted = || Problem::new("K0846", format!("plan a rotation of {name}"));
    let journal = journal(places)?;
    let failed = |error: JournalError| attempted().because_of(&error);
    runtime()?.block_on(async {
        if let Some(id) = open_of(&journal, name).await.map_err(failed)? {
            let state = state_of(&journal.load(&id).await.map_err(failed)?)?;
            let (why, help) = match state.decided() {
                true => (", past its point of no return", format!("keyroll resume {id}")),
                false => ("", format!("keyroll resume {id}, or keyroll abort {id}")),
            };
            return Err(attempted()
                .because(format!("rotation {id} of it is open{why}"))
                .help(help)
                .exits(Exit::Held));
        }
        agree(journal.as_ref(), store(places)?.as_ref(), name).await
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
