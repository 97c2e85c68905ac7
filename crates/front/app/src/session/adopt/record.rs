use std::path::Path;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Config, Consumer, Name, NewConsumer, Secret};
use keyroll_host::{LOCAL, incarnation};
use keyroll_port::PendingChange;
use keyroll_rotation::{Adoptee, Difference, Fact, Phase, State};

use super::executable::ADD_CHECK;
use super::on_host::{Edited, OnHost};
use crate::configured;
use crate::operator::Operator;
use crate::places::Places;
use crate::plans::granted::Granted;
use crate::plans::left_out::text_without;
use crate::problem::Problem;
use crate::records::next_words::{goes_on_with, goes_on_without_consent};
use crate::records::open_rotation_guard::open_of;
use crate::records::recorded::{Opened, rotations_unread};
use crate::records::saved_plan::Saved;
use crate::session::append_offline::{digest_of, may_follow, opened_own, tell_open_locked};
use crate::session::lock_to_record::{Recording, lock_to_record};
use crate::wiring::hosts::{files_seen, hosts};
use crate::wiring::issuer::issuer;
use crate::wiring::open::{fingerprint_key, folder_of, journal, runtime};
use crate::wiring::provable::provable;
use crate::wiring::wanted::Wanted;

/// A consumer that is adopted into the configuration, and into the secret's open rotation.
pub(super) struct Adoption<'a> {
    pub(super) new: &'a NewConsumer,
    /// A process id, or a path; on another host with the name of the host.
    pub(super) holder: &'a str,
    /// The configuration with the consumer.
    pub(super) edited: Edited<'a>,
    /// What was seen of it, if it is on another host.
    pub(super) there: Option<&'a OnHost>,
}

/// Writes the consumer into the configuration, and shows that.
pub(super) type Write<'a> = dyn FnMut(&mut dyn Operator) -> Result<(), Problem> + 'a;

/// What the open rotation may take: a consumer, or its commands.
pub(in crate::session) struct Judged {
    pub(in crate::session) told: Fact,
    /// What restarts would make live.
    pub(in crate::session) live: Vec<PendingChange>,
}

impl Judged {
    /// What the open rotation is told, with the pending changes that are accepted by now. What was asked for comes last: once the
    /// rotation has it, the same request again adds nothing.
    pub(in crate::session) fn facts(&self, opened: &Opened, places: &Places) -> Result<Vec<Fact>, Problem> {
        let granted = Granted::load(places)?;
        let accepted = self.live.iter().filter(|one| granted.has(&opened.saved.secret, one));
        let accepted = accepted.map(|one| Fact::Accepted(one.difference.clone()));
        Ok(accepted.chain(std::iter::once(self.told.clone())).collect())
    }
}

impl Adoption<'_> {
    /// Writes the consumer into the configuration and records it in the secret's open rotation; returns how to continue that.
    /// Nothing is written, and no driver is ended, if the open rotation refuses the consumer.
    pub(super) fn carry_out(
        &self,
        places: &Places,
        operator: &mut dyn Operator,
        write: &mut Write<'_>,
    ) -> Result<Option<String>, Problem> {
        let secret = self.new.secret.as_str();
        if !places.journal().exists() {
            return self.write_alone(places, operator, write).map(|()| None);
        }
        if let Some(opened) = opened_own(secret, places)?
            && self.is_recorded(&opened)?
        {
            write(operator)?;
            return Ok(Some(format!("to continue: {}", goes_on_with(&opened))));
        }
        let recording = lock_to_record(places, operator, || {
            let Some(opened) = opened_own(secret, places)? else { return Ok(Vec::new()) };
            self.judged(&opened, places).map(|_| vec![opened.id])
        })?;
        let told = recording.or_driver(self.recorded_in(&recording, operator, write))?;
        if told.is_none() {
            self.write_alone(&recording.places, operator, write)?;
        }
        Ok(told.map(|opened| recording.next(&opened)))
    }

    /// Writes it and records it in the open rotation, under the lock; none if none is open.
    fn recorded_in(
        &self,
        recording: &Recording,
        operator: &mut dyn Operator,
        write: &mut Write<'_>,
    ) -> Result<Option<Opened>, Problem> {
        let places = &recording.places;
        tell_open_locked(places, self.new.secret.as_str(), |opened| {
            if self.is_recorded(opened)? {
                write(operator)?;
                return Ok(Vec::new());
            }
            let judged = self.judged(opened, places)?;
            write(operator)?;
            grant_restart(self.new.name.as_str(), self.new.secret.as_str(), places, &judged.live)?;
            judged.facts(opened, places)
        })
    }

    /// Looks at the consumer; refuses one that the open rotation cannot take.
    fn judged(&self, opened: &Opened, places: &Places) -> Result<Judged, Problem> {
        self.refuse_backward(opened)?;
        let (told, live) = self.look(opened, places)?;
        let judged = Judged { told, live };
        may_follow(opened, judged.facts(opened, places)?)?;
        Ok(judged)
    }

    /// Writes the consumer into the configuration where no rotation is open. Nothing is written where the consumer cannot
    /// be looked at.
    pub(super) fn write_alone(
        &self,
        places: &Places,
        operator: &mut dyn Operator,
        write: &mut Write<'_>,
    ) -> Result<(), Problem> {
        let live = self.live(places)?;
        write(operator)?;
        grant_restart(self.new.name.as_str(), self.new.secret.as_str(), places, &live)
    }

    /// Whether the open rotation has this very consumer.
    fn is_recorded(&self, opened: &Opened) -> Result<bool, Problem> {
        let now = self.secret()?.consumer(self.new.name.as_str());
        Ok(numbered(opened)?.iter().any(|before| Some(before) == now))
    }

    /// Nothing is moved to the new key while the rotation rolls back.
    fn refuse_backward(&self, opened: &Opened) -> Result<(), Problem> {
        if opened.state.phase() != Phase::RollingBack {
            return Ok(());
        }
        let (id, holder, flag) = (&opened.id, self.holder, opened.saved.secret_flag());
        let waive = format!("keyroll consumer waive {holder} --reason WHY{flag}");
        Err(not_adopted()
            .because(format!("rotation {id} rolls back, and moves nothing to the new key"))
            .help(after_rollback(&waive, (&id.0, &opened.saved.secret), &opened.state)))
    }

    fn secret(&self) -> Result<&Secret, Problem> {
        configured::secret(self.edited.config, self.new.secret.as_str())
    }

    /// What restarts would make live with the new configuration.
    fn live(&self, places: &Places) -> Result<Vec<PendingChange>, Problem> {
        if let Some(there) = self.there {
            return Ok(there.live.clone());
        }
        let secret = self.secret()?;
        // `plan` reports an issuer that cannot be built.
        let Ok(issuer) = issuer(secret) else { return Ok(Vec::new()) };
        places.ensure()?;
        let folder = folder_of(self.edited.file);
        let hosts = hosts(&Wanted {
            config: Some((self.edited.config, self.edited.text)),
            ..Wanted::of(secret, issuer.as_ref(), places, folder)
        })?;
        Ok(runtime(places)?.block_on(hosts.machine.live()).live)
    }

    /// The consumer as the open rotation would take it, and what restarts would make live with it.
    fn look(&self, opened: &Opened, places: &Places) -> Result<(Fact, Vec<PendingChange>), Problem> {
        self.refuse_left_out(opened)?;
        let (file, left_out) = (self.edited.file, &opened.saved.left_out);
        let text = text_without(self.edited.text.to_owned(), file, &opened.saved.secret, left_out)?;
        let config = Config::parse(&text, &file.display().to_string())?;
        let secret = configured::secret(&config, &opened.saved.secret)?;
        let known = opened.state.plan();
        if !known.aim.makes_new() {
            return Err(not_adopted()
                .because("it only revokes the shared key, and moves no consumer")
                .help(format!("keyroll abort {}, then: keyroll split {}", opened.id, opened.saved.secret)));
        }
        let there = self.there.map(|there| there.explains(opened)).transpose()?;
        if let Some(consumer) = secret.consumer(self.new.name.as_str()) {
            refuse_unprovable(consumer, opened)?;
        }
        let folder = folder_of(self.edited.file);
        let issuer = issuer(secret)?;
        let hosts = hosts(&Wanted {
            rotation: &opened.id.0,
            search: Some(&config.search),
            config: Some((&config, &text)),
            left_out,
            names: &opened.saved.hosts,
            unattributed: &opened.saved.seen.unattributed,
            ..Wanted::of(secret, issuer.as_ref(), places, folder)
        })?;
        // The rotation refers to consumers and files by number: those that it has must be unchanged and in the same order.
        let before = numbered(opened)?;
        let same = secret.consumers.starts_with(&before)
            && hosts.consumers.iter().zip(&known.consumers).all(|(now, before)| now == before);
        let (count, files) = (known.consumers.len(), known.files.len());
        let consumer = hosts.consumers.get(count).filter(|_| same && hosts.consumers.len() == count + 1);
        let consumer = consumer.cloned().ok_or_else(|| {
            not_adopted()
                .because("the configuration has other changes too")
                .help("undo those until the rotation has ended")
        })?;
        let new = hosts.paths.get(files..).unwrap_or_default();
        let seen = match self.there {
            Some(there) => there.files(new)?,
            None => files_seen(new, &fingerprint_key(places)?)?,
        };
        let live = match self.there {
            Some(there) => there.live.clone(),
            None => runtime(places)?.block_on(hosts.machine.live()).live,
        };
        let explains = there.map_or_else(|| self.explains_here(), Ok)?;
        let mut saved = Saved { config_text: text.clone(), ..opened.saved.clone() };
        // Each file must resolve to the same path when it is written.
        saved.seen.files.extend(seen);
        let names: Arc<str> = Arc::from(saved.text()?);
        let brought = hosts.files.get(files..).unwrap_or_default().to_vec();
        Ok((Fact::Adopted { consumer, files: brought, explains, names }, live))
    }

    /// Refuses a consumer on a host that the rotation leaves out.
    fn refuse_left_out(&self, opened: &Opened) -> Result<(), Problem> {
        let on = self.new.host.as_ref().map(Name::as_str);
        let Some(host) = on.filter(|on| opened.saved.left_out.iter().any(|one| one.host == *on)) else {
            return Ok(());
        };
        let (id, holder, flag) = (&opened.id, self.holder, opened.saved.secret_flag());
        Err(not_adopted()
            .because(format!("rotation {id} was planned without {host}, and moves nothing there"))
            .help(format!(
                "end what holds the key, or accept that it breaks: keyroll consumer waive {holder} --reason WHY{flag}; or \
                 keyroll abort {id}, and plan again with {host}"
            )))
    }

    /// What the adoption explains on this machine.
    fn explains_here(&self) -> Result<Adoptee, Problem> {
        let Ok(pid) = self.holder.parse::<u32>() else {
            return Ok(Adoptee::Copy(digest_of(Path::new(self.holder))));
        };
        let process = keyroll_observe::process(pid).map_err(|reason| {
            Problem::new(Code::ConsumerNotAdopted, format!("adopt process {pid}")).because(reason.to_string())
        })?;
        Ok(Adoptee::Holder(incarnation(LOCAL, &process.id)))
    }
}

/// Accepts the restart script of a consumer as it is now, even if it is newer than the running process: the operator asked to
/// run it.
pub(in crate::session) fn grant_restart(
    name: &str,
    secret: &str,
    places: &Places,
    live: &[PendingChange],
) -> Result<(), Problem> {
    let restart = format!("{name}/restart:");
    let live = live.iter().map(|one| &one.difference);
    let mine: Vec<Difference> = live.filter(|one| one.name.starts_with(&restart)).cloned().collect();
    match mine.is_empty() {
        true => Ok(()),
        false => Granted::load(places)?.add(places, secret, &mine),
    }
}

/// Refuses a consumer without a check on a host of which the issuer does not show the open rotation which process made a call.
pub(in crate::session) fn refuse_unprovable(consumer: &Consumer, opened: &Opened) -> Result<(), Problem> {
    if !opened.saved.seen.unattributed.iter().any(|host| host == consumer.machine()) {
        return Ok(());
    }
    provable(consumer, false).map_err(|problem| {
        let why = format!("the issuer does not show which process of {} made a call", consumer.machine());
        problem.because(why).help(ADD_CHECK)
    })
}

/// Refuses to change a consumer of an open rotation.
pub(super) fn refuse_open(places: &Places, new: &NewConsumer, config: &Config) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let Some(id) = runtime.block_on(open_of(&journal, new.secret.as_str())).map_err(rotations_unread)? else {
        return Ok(());
    };
    Err(Problem::new(Code::ConsumerNotAdopted, format!("replace the consumer {}", new.name))
        .because(format!("rotation {id} is open, and uses the commands with which it was started"))
        .help(format!(
            "other commands alone: change them in keyroll.toml, then keyroll consumer correct {0}{1}; else keyroll consumer waive \
             {0} --reason WHY{1} and adopt it under another name, or: keyroll abort {id}",
            new.name,
            configured::secret_flag(config, new.secret.as_str())
        )))
}

/// The consumers of an open rotation, in the order of their numbers; the configuration may have changed since.
pub(crate) fn numbered(opened: &Opened) -> Result<Vec<Consumer>, Problem> {
    let saved = &opened.saved;
    let config = saved.config()?;
    Ok(configured::secret(&config, &saved.secret)?.consumers.clone())
}

fn not_adopted() -> Problem {
    Problem::new(Code::ConsumerNotAdopted, "adopt the consumer into the open rotation")
}

/// What comes before an adoption while a rotation rolls back. `waive`: the command that accepts that the holder breaks.
fn after_rollback(waive: &str, (id, secret): (&str, &str), state: &State) -> String {
    let goes_on = goes_on_without_consent(id, secret, state);
    format!(
        "end what holds the new key, or accept that it breaks: {waive}; then {goes_on}, and adopt it when the rollback has ended"
    )
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::Hold;

    use super::*;
    use crate::records::walk::Walk;

    /// Red where a rollback that is stuck is to be continued by `resume`, which it refuses.
    #[test]
    fn an_adoption_during_a_rollback_names_the_command_that_the_rollback_takes() {
        let said = |walk: &Walk| {
            after_rollback("keyroll consumer waive 4711 --reason WHY", ("0192", "acme"), &walk.state)
        };
        let mut walk = Walk::to(Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        assert!(said(&walk).contains("; then keyroll resume 0192, and adopt it"), "{}", said(&walk));
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        assert!(said(&walk).contains("; then keyroll retry 0192, and adopt it"), "{}", said(&walk));
    }
}
