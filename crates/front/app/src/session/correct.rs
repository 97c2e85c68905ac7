//! Gives an open rotation the commands that keyroll.toml has for a consumer by now.

use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Config, Consumer, Name, correct_consumer};
use keyroll_port::PendingChange;
use keyroll_rotation::{ConsumerId, Fact};
use keyroll_setup::trust::refuse_missing_of;

use super::adopt::{ADD_CHECK, Edited, Judged, given_part, grant_restart, numbered, refuse_unprovable};
use super::append_offline::{may_follow, opened_own, tell_open_locked};
use super::lock_to_record::{Recording, lock_to_record};
use super::waive::recorded;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::next_words::goes_on_with;
use crate::records::recorded::Opened;
use crate::records::resolve_target::meant;
use crate::records::saved_plan::Saved;
use crate::wiring::hosts::hosts;
use crate::wiring::issuer::issuer;
use crate::wiring::open::{folder_of, runtime};
use crate::wiring::provable::provable;
use crate::wiring::trusted::trusted_consumer;
use crate::wiring::wanted::Wanted;
use crate::{config_file, configured};

/// The commands of a consumer in its open rotation.
pub struct CorrectedShown {
    /// The secret.
    pub secret: String,
    /// The consumers: one, or one on each of its hosts.
    pub consumers: Vec<String>,
    /// The rotation.
    pub rotation: String,
    /// It had these commands already: nothing was recorded.
    pub had_them: bool,
    /// How to continue it, and which driver was ended for this.
    pub next: String,
}

/// Replaces the commands of a consumer in the open rotation with those of keyroll.toml: how its processes are found and take a
/// value, and its checks. They are judged as a plan judges them; then a driver of the rotation is ended for it. The same request
/// again changes nothing.
///
/// # Errors
/// No rotation is open, it has no such consumer, keyroll.toml has other changes of that consumer too, a command could not run,
/// or the lock stays held.
pub fn correct(
    consumer: &str,
    secret: Option<&str>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<CorrectedShown, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let secret = meant(&config, secret, consumer, &places)?.name.to_string();
    let path = installation.config_path();
    let text = config_file::read(&path)?;
    // A consumer of several hosts has one table.
    let table = Name::new(consumer.split('@').next().unwrap_or(consumer)).ok_or_else(|| {
        correcting(consumer)
            .because("this is no consumer's name")
            .help(format!("keyroll secret show {secret}"))
    })?;
    let correction = Correction { table: &table, secret: &secret, text: &text, config: &config };
    let opened = opened_own(&secret, &places)?.ok_or_else(|| correction.unopened())?;
    let change = correction.change(&opened)?;
    if change.had_them {
        let next = format!("to continue: {}", goes_on_with(&opened));
        return Ok(correction.shown(opened, change, next));
    }
    let judged = || correction.judged(&opened, &change, &places).map(|_| vec![opened.id.clone()]);
    let recording = lock_to_record(&places, operator, judged)?;
    recording.or_driver(correction.corrected_in(&recording))
}

/// A consumer's table in keyroll.toml, to be taken over.
struct Correction<'a> {
    table: &'a Name,
    secret: &'a str,
    /// The text of keyroll.toml, and what it says.
    text: &'a str,
    config: &'a Config,
}

/// What a correction changes in the open rotation.
struct Change {
    /// The consumers, by their names and their numbers there.
    names: Vec<String>,
    ids: Vec<ConsumerId>,
    /// The rotation's configuration with their new commands, and what it says.
    text: String,
    config: Config,
    /// It has these commands already.
    had_them: bool,
}

impl Correction<'_> {
    /// Records the correction in the open rotation, under the lock.
    fn corrected_in(&self, recording: &Recording) -> Result<CorrectedShown, Problem> {
        let mut changed = None;
        let told = tell_open_locked(&recording.places, self.secret, |opened| {
            let change = self.change(opened)?;
            let facts = match change.had_them {
                true => Vec::new(),
                false => self.facts(opened, &change, &recording.places)?,
            };
            changed = Some(change);
            Ok(facts)
        })?;
        let (opened, change) = told.zip(changed).ok_or_else(|| self.unopened())?;
        let next = recording.next(&opened);
        Ok(self.shown(opened, change, next))
    }

    fn shown(&self, opened: Opened, change: Change, next: String) -> CorrectedShown {
        let Change { names: consumers, had_them, .. } = change;
        CorrectedShown { secret: self.secret.to_owned(), consumers, rotation: opened.id.0, had_them, next }
    }

    /// Compares the open rotation with keyroll.toml.
    fn change(&self, opened: &Opened) -> Result<Change, Problem> {
        let before = numbered(opened)?;
        let mine = (0..).map(ConsumerId).zip(&before).filter(|(_, it)| self.is_mine(it));
        let (ids, names): (Vec<ConsumerId>, Vec<String>) =
            mine.map(|(id, it)| (id, it.name.to_string())).unzip();
        if ids.is_empty() {
            return Err(self.unknown(opened, &before));
        }
        let text = self.corrected(opened)?;
        let config = Config::parse(&text, &opened.saved.config_file.display().to_string())?;
        let after = &configured::secret(&config, self.secret)?.consumers;
        self.refuse_other_changes(opened, after)?;
        let had_them = *after == before;
        Ok(Change { names, ids, text, config, had_them })
    }

    /// Whether a consumer is the one of the table, on any host.
    fn is_mine(&self, consumer: &Consumer) -> bool {
        consumer.table() == self.table.as_str()
    }

    /// Judges the change as a plan does.
    fn judged(&self, opened: &Opened, change: &Change, places: &Places) -> Result<Judged, Problem> {
        let with = Edited { config: &change.config, file: &opened.saved.config_file, text: &change.text };
        let live = self.live(opened, with, places)?;
        let saved = Saved { config_text: change.text.clone(), ..opened.saved.clone() };
        let told = Fact::Corrected { consumers: change.ids.clone(), names: Arc::from(saved.text()?) };
        may_follow(opened, vec![told.clone()])?;
        Ok(Judged { told, live })
    }

    /// What the open rotation is told.
    fn facts(&self, opened: &Opened, change: &Change, places: &Places) -> Result<Vec<Fact>, Problem> {
        let judged = self.judged(opened, change, places)?;
        recorded("consumer correct", self.secret, &format!("the consumer {}", self.table), places)?;
        for consumer in &change.names {
            grant_restart(consumer, self.secret, places, &judged.live)?;
        }
        judged.facts(opened, places)
    }

    /// The rotation's configuration with the commands of keyroll.toml.
    fn corrected(&self, opened: &Opened) -> Result<String, Problem> {
        let saved = &opened.saved;
        let secret = configured::secret(self.config, self.secret)?;
        let file = saved.config_file.display().to_string();
        correct_consumer(&saved.config_text, self.text, &file, &secret.name, self.table).map_err(|error| {
            Problem::from(error).help(format!(
                "{} must have a [[secrets.{}.consumers]] table named \"{}\"",
                saved.config_file.display(),
                self.secret,
                self.table
            ))
        })
    }

    /// Refuses a table that differs from the rotation's in more than its commands: its copies and hosts have numbers there.
    fn refuse_other_changes(&self, opened: &Opened, after: &[Consumer]) -> Result<(), Problem> {
        let now = configured::secret(self.config, self.secret)?;
        let same = |it: &Consumer| now.consumer(it.name.as_str()) == Some(it);
        let Some(changed) = after.iter().find(|it| self.is_mine(it) && !same(it)) else { return Ok(()) };
        Err(self.refused(
            opened,
            format!("keyroll.toml has other changes of {} too, not of its commands alone", changed.name),
        ))
    }

    /// Judges the commands; returns what restarts with them would make live.
    fn live(
        &self,
        opened: &Opened,
        with: Edited<'_>,
        places: &Places,
    ) -> Result<Vec<PendingChange>, Problem> {
        let (saved, known) = (&opened.saved, opened.state.plan());
        let secret = configured::secret(with.config, self.secret)?;
        let issuer = issuer(secret)?;
        let hosts = hosts(&Wanted {
            rotation: &opened.id.0,
            search: Some(&with.config.search),
            config: Some((with.config, with.text)),
            left_out: &saved.left_out,
            names: &saved.hosts,
            unattributed: &saved.seen.unattributed,
            ..Wanted::of(secret, issuer.as_ref(), places, folder_of(with.file))
        })?;
        if hosts.consumers != known.consumers || hosts.files != known.files {
            let why = "with these commands it is moved in another way: in other instances, with another number of checks, or \
                       with a reload in place of a restart";
            return Err(self.refused(opened, why.to_owned()));
        }
        // One that was waived and is away is not asked: once it is back, it refuses what another user can change there.
        let has_left = |consumer: &Consumer| {
            saved.host_id(consumer.machine()).is_some_and(|host| opened.state.has_left(host))
        };
        let mut live = Vec::new();
        for consumer in secret.consumers.iter().filter(|it| self.is_mine(it)) {
            provable(consumer, issuer.capabilities().attributes)
                .map_err(|problem| problem.help(ADD_CHECK))?;
            refuse_unprovable(consumer, opened)?;
            if consumer.is_here {
                refuse_missing_of(consumer)?;
                trusted_consumer(with.file, consumer)?;
                live.extend(runtime(places)?.block_on(hosts.machine.live()).live);
            } else if consumer.in_cluster.is_none() && !has_left(consumer) {
                live.extend(given_part(consumer.machine(), secret, with, places)?.1);
            }
        }
        Ok(live)
    }

    fn unopened(&self) -> Problem {
        correcting(self.table.as_str())
            .because(format!("no rotation of {} is open", self.secret))
            .help(format!("the next plan takes keyroll.toml as it is: keyroll plan {}", self.secret))
    }

    fn unknown(&self, opened: &Opened, before: &[Consumer]) -> Problem {
        let names: Vec<&str> = before.iter().map(|it| it.name.as_str()).collect();
        correcting(self.table.as_str())
            .because(format!("rotation {} has no such consumer; it has {}", opened.id, names.join(", ")))
            .help(format!("keyroll status {}", opened.id))
    }

    fn refused(&self, opened: &Opened, why: String) -> Problem {
        let (id, table, on) = (&opened.id, self.table, goes_on_with(opened));
        let flag = configured::secret_flag(self.config, self.secret);
        correcting(table.as_str()).because(why).help(format!(
            "undo those changes until the rotation has ended; or keyroll consumer waive {table} --reason WHY{flag}, and {on}; or \
             keyroll abort {id}"
        ))
    }
}

fn correcting(consumer: &str) -> Problem {
    Problem::new(Code::ConsumerNotAdopted, format!("correct the commands of {consumer} in the open rotation"))
}
