//! `apply`, `resume` and `retry`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Config, Search, Secret};
use keyroll_engine::{OtherKeys, Ports};
use keyroll_host::SystemClock;
use keyroll_journal::{LockError, StateLock, Work, try_lock};
use keyroll_port::{Clock as _, Opening, RotationId};
use keyroll_rotation::{Emergency, Fact, Phase, Plan, State, Waived, is_unmoved};
use keyroll_secret::Credential;

use super::acquire_lock::{Disturbed, acquire_lock};
use super::append_offline::now;
use super::drive::drive;
use super::finish::finish;
use super::follow_up::Attempt;
use super::manual_mint;
use super::manual_revoke::see_dead;
use super::manual_steps::{Steps, way_back};
use super::options::{ApplyOptions, DriveOptions};
use super::preconditions::{
    check_consent, consent_to_outage, not_opened, refuse_emergency, refuse_outage, refuse_overtaken,
    refuse_stale,
};
use super::refuse_other_view::{drive_from_here, refuse_other_view};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::interrupt;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::plans::egress::reject_new_hosts;
use crate::plans::make::look_at;
use crate::plans::{Inspection, Subject, pending_changes};
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::downtimes::Downtimes;
use crate::records::open_rotation_guard::{refuse_begun, refuse_other, refuse_shared};
use crate::records::recorded::{Opened, only_open, opened, unread};
use crate::records::saved_plan::Saved;
use crate::records::store_freshness::agree;
use crate::records::waivers::{Waivers, host_waiver};
use crate::wiring::family;
use crate::wiring::family::store_of;
use crate::wiring::hosts::{Machine, hosts};
use crate::wiring::issuer::{Described, described};
use crate::wiring::open::{folder_of, journal, lock, not_locked, other_keys, ports, runtime};
use crate::wiring::trusted::trusted_of;
use crate::wiring::truth;
use crate::wiring::wanted::{Planned, Wanted};

/// Applies a plan; refuses a stale one.
pub fn apply(
    saved: &Saved,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    operator.pause_on_stop();
    let id = RotationId(saved.id.clone());
    let attempt = Attempt { id: &id, verb: "apply", asked };
    applied(saved, &attempt, installation, operator)
        .map_err(|problem| attempt.followed(problem, installation))
}

fn applied(
    saved: &Saved,
    attempt: &Attempt<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let places = installation.places()?;
    let (id, asked) = (saved.id.as_str(), attempt.asked);
    refuse_begun(&places, id, &saved.secret)?;
    check_consent(asked, &saved.secret)?;
    refuse_emergency(asked, saved)?;
    let config = saved.config()?;
    let secret = crate::configured::secret(&config, &saved.secret)?;
    let described = described(secret)?;
    refuse_outage(asked, secret, &described, true, &format!("apply {id}"))?;
    consent_to_outage(asked, &saved.secret, &format!("apply {id}"), operator)?;
    reject_new_hosts(saved, secret, &described, None)?;
    // An emergency pauses other drivers, so what refuses it is looked at before that.
    if asked.emergency.is_some() {
        refuse_open(&places, saved, asked)?;
    }
    let (lock, places) = match asked.emergency {
        Some(_) => acquire_lock(&places, attempt.id, Disturbed::All, attempt.again(), operator)?,
        None => lock(&places)?,
    };
    let runtime = runtime(&places)?;
    works_on(&lock, id, &saved.secret);
    refuse_open(&places, saved, asked)?;
    let again = Subject::again(saved, &config, secret, &places, &described);
    let revokes_first = asked.emergency == Some(Emergency::RevokeNow);
    let found = looked_again(&Subject { revokes_first, ..again }, (saved, asked), operator)?;
    let mut accepted =
        pending_changes::accepted(saved, &found.live, &asked.accept, asked.emergency.is_some())?;
    accepted.extend(found.granted.into_iter().map(|one| one.difference));
    let id = RotationId(id.to_owned());
    let issuer = described.issuer(secret, found.saved.settings.as_deref())?;
    runtime.block_on(family::found(&places, saved))?;
    let store = runtime.block_on(store_of(&places, saved, secret.keep_retired))?;
    let truth = if revokes_first {
        runtime.block_on(truth::to_revoke_first(&places, &saved.config_file, secret, saved.truth.as_deref()))
    } else {
        runtime.block_on(truth::of(&places, &saved.config_file, secret))?
    };
    let opened = Ports { truth, ..ports(&places, store, issuer, found.host, other_keys(&config, secret))? };
    let opening = opening(saved, asked, found.plan)?;
    interrupt::refuse_more("apply the plan", &attempt.again())?;
    runtime.block_on(ready_to_drive(&opened, &places, &saved.secret))?;
    // Which rotation came of what was asked for: an emergency, for one, is asked for without its id.
    let (secret_name, about) = (Some(saved.secret.clone()), Some(id.0.clone()));
    acts::record(&Act { secret: secret_name, about, ..acts::asked("begin", &places) }, &places)?;
    runtime.block_on(opened.journal.open(&id, &opening)).map_err(|error| not_opened(&error, &id))?;
    operator.event(Event::Rotation { id: id.to_string(), secret: saved.secret.clone() });
    if let Some(brought) = &asked.brought {
        manual_mint::keep(&id, brought, (secret, &described), &places)?;
        operator.event(Event::Sealed { id: id.to_string() });
    }
    let left_out = waived_from_the_beginning(saved, &places)?;
    let waivers = Waivers::load(&places)?;
    let mut first: Vec<Fact> =
        waivers.of(&saved.secret, saved.from_version).into_iter().chain(left_out).map(Fact::Waived).collect();
    first.extend(accepted.into_iter().map(Fact::Accepted));
    first.extend(asked.emergency.map(|mode| Fact::Escalated { mode, pending_compromised: false }));
    let steps = Steps::of(described.spec.as_ref());
    let ready = Ready { ports: opened, id: &id, saved, secret, first, waivers, steps };
    let exit = runtime.block_on(ready.drive(asked, &places, operator));
    drop(lock);
    exit
}

/// Inspects everything once more, and refuses a stale plan.
fn looked_again(
    subject: &Subject<'_>,
    (saved, asked): (&Saved, &ApplyOptions),
    operator: &mut dyn Operator,
) -> Result<Inspection, Problem> {
    let mut found = look_at(subject, operator)?;
    refuse_stale(saved, &found)?;
    if let Some(on_failure) = asked.on_failure {
        found.plan.policy.on_failure = on_failure;
    }
    Ok(found)
}

/// Refuses a plan while another rotation holds its secret.
fn refuse_open(places: &Places, saved: &Saved, asked: &ApplyOptions) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    runtime.block_on(refuse_other(&journal, saved, asked.emergency.is_some()))?;
    runtime.block_on(refuse_shared(&journal, saved))
}

/// A rotation and what it is driven with.
struct Ready<'a> {
    ports: Ports,
    id: &'a RotationId,
    saved: &'a Saved,
    secret: &'a Secret,
    /// The first events.
    first: Vec<Fact>,
    waivers: Waivers,
    steps: Steps,
}

impl Ready<'_> {
    /// Drives the rotation until it ends, pauses or is stopped, and closes it if it has ended.
    async fn drive(
        self,
        asked: &ApplyOptions,
        places: &Places,
        operator: &mut dyn Operator,
    ) -> Result<Exit, Problem> {
        let Self { ports, id, saved, secret, first, waivers, steps } = self;
        let prompted = asked.sealed || (asked.prompts && operator.may_ask());
        let options = DriveOptions {
            confirmed: asked.confirm.is_some(),
            until: asked.until,
            first,
            waivers,
            steps: Steps { prompted, ..steps },
            downtimes: Downtimes::of(places, &id.0, secret),
        };
        let journal = ports.journal.clone();
        let exit = drive(ports, id, &saved.secret, names(secret), options, operator).await?;
        if exit == Exit::Done {
            family::forget(places, saved).await?;
        }
        finish(journal.as_ref(), places).await?;
        Ok(exit)
    }
}

/// Cleans up after a killed driver, and refuses a store that is older than the journal.
async fn ready_to_drive(ports: &Ports, places: &Places, secret: &str) -> Result<(), Problem> {
    // The next driver removes the scratch files of a killed one: the wrong copy of a control has other lines of its
    // file.
    finish(ports.journal.as_ref(), places).await?;
    agree(ports.journal.as_ref(), ports.store.as_ref(), ports.staging.as_ref(), secret).await
}

fn opening(saved: &Saved, asked: &ApplyOptions, plan: Plan) -> Result<Opening, Problem> {
    let (accepted, alerted_unix_ms) = (asked.accept.clone(), asked.alerted_unix_ms);
    Ok(Opening {
        secret: saved.secret.clone(),
        from_version: saved.from_version,
        plan,
        names: Saved { accepted, alerted_unix_ms, view: keyroll_observe::view(), ..saved.clone() }.text()?,
        at: now(0),
        unix_ms: SystemClock::new().unix_ms(),
    })
}

/// Stores the reasons for which the plan leaves hosts out, and returns their waivers.
fn waived_from_the_beginning(saved: &Saved, places: &Places) -> Result<Vec<Waived>, Problem> {
    let mut all = Vec::new();
    for one in &saved.left_out {
        let Some(host) = saved.host_id(&one.host) else {
            return Err(Problem::new(Code::PlanStale, format!("leave out {}", one.host))
                .because("it has no number in the plan")
                .help(format!("keyroll plan {}", saved.secret)));
        };
        let waiver = host_waiver(&saved.secret, &saved.id, (&one.host, host), &one.reason);
        Waivers::load(places)?.add(places, waiver)?;
        all.push(Waived::Host(host));
    }
    Ok(all)
}

/// The name of each consumer, and of its instances if it has several.
fn names(secret: &Secret) -> Vec<Vec<String>> {
    let instances = |consumer: &keyroll_config::Consumer| -> Vec<String> {
        let all = consumer.runs.instances();
        let several = all.len() > 1;
        all.iter().filter(|_| several).map(|instance| instance.name.to_string()).collect()
    };
    let named = |consumer: &keyroll_config::Consumer| {
        std::iter::once(consumer.name.to_string()).chain(instances(consumer)).collect()
    };
    secret.consumers.iter().map(named).collect()
}

/// What an open rotation takes from the present file, so that it continues once that was corrected: the limits of its search,
/// and which keys another keyroll made. What cannot be read changes nothing.
fn corrected(config: &Config, saved: &Saved, operator: &mut dyn Operator) -> (Search, OtherKeys) {
    let roots = config.search.roots.clone();
    let others = |config: &Config| {
        config.secret(&saved.secret).map(|secret| other_keys(config, secret)).unwrap_or_default()
    };
    match Config::load(&saved.config_file) {
        Ok(now) => {
            let others = others(&now);
            (Search { roots, ..now.search }, others)
        }
        Err(_) => {
            let file = saved.config_file.display();
            operator.note(format!(
                "{file} cannot be read: `search` and `other_keys` are those from when the rotation began"
            ));
            (config.search.clone(), others(config))
        }
    }
}

/// The hosts by the configuration in the rotation's journal, not by the present one.
fn host_of(
    opened: &Opened,
    (config, search): (&Config, &Search),
    described: &Described,
    places: &Places,
) -> Result<Arc<dyn Machine>, Problem> {
    let secret = crate::configured::secret(config, &opened.saved.secret)?;
    let planned: BTreeMap<PathBuf, PathBuf> =
        opened.saved.seen.files.iter().map(|(path, seen)| (path.clone(), seen.real.clone())).collect();
    let folder = folder_of(&opened.saved.config_file);
    let issuer = described.issuer(secret, None)?;
    let own = runtime(places)?.block_on(family::own_of(places, opened.saved.family.as_ref()))?;
    let hosts = hosts(&Wanted {
        rotation: &opened.id.0,
        search: Some(search),
        planned: Planned::Known(&planned),
        own: Some(&own),
        config: Some((config, &opened.saved.config_text)),
        names: &opened.saved.hosts,
        unattributed: &opened.saved.seen.unattributed,
        changes: true,
        left_out: &opened.saved.left_out,
        waits_for_none: opened.state.emergency() == Some(Emergency::RevokeNow),
        ..Wanted::of(secret, issuer.as_ref(), places, folder)
    })?;
    if hosts.consumers.len() != opened.state.plan().consumers.len() {
        return Err(Problem::new(Code::PlanStale, "resume the rotation")
            .because("its configuration has another number of consumers than its journal"));
    }
    if opened.state.emergency() != Some(Emergency::RevokeNow) {
        runtime(places)?.block_on(hosts.refuse_overtaken())?;
    }
    Ok(hosts.machine)
}

/// Resumes an open rotation with the events of `first`.
pub fn resume(
    id: Option<&str>,
    asked: &ApplyOptions,
    first: impl FnOnce(&State) -> Vec<Fact>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    operator.pause_on_stop();
    let places = installation.places()?;
    let id = resolved(&places, id)?;
    let attempt = Attempt { id: &id, verb: if asked.back { "abort" } else { "resume" }, asked };
    let driven = had_before(&id, asked, installation, operator).and_then(|had| {
        let disturbed = Disturbed::in_an(asked.emergency.is_some());
        let locked = acquire_lock(&places, &id, disturbed, attempt.again(), operator)?;
        drive_on(locked, &id, asked, had, first, operator)
    });
    driven.map_err(|problem| attempt.followed(problem, installation))
}

/// Retries the step at which a rotation is stuck or paused. One that is being driven is neither, and is not interrupted.
pub fn retry(
    id: Option<&str>,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    operator.pause_on_stop();
    let places = installation.places()?;
    let id = resolved(&places, id)?;
    if let Err(error) = try_lock(&places.state)
        && let LockError::Held { work: Some(work), .. } = &error
        && work.rotation == id
    {
        return Err(not_locked("retry the rotation", &error));
    }
    let attempt = Attempt { id: &id, verb: "retry", asked };
    let stands = |state: &State| if state.hold().is_some() { vec![Fact::Retried] } else { Vec::new() };
    let driven = had_before(&id, asked, installation, operator).and_then(|had| {
        // A driver may have begun since.
        let locked = acquire_lock(&places, &id, Disturbed::Nobody, attempt.again(), operator)?;
        drive_on(locked, &id, asked, had, stands, operator)
    });
    driven.map_err(|problem| attempt.followed(problem, installation))
}

/// The id of the named rotation, before the operator is asked anything.
pub(super) fn resolved(places: &Places, id: Option<&str>) -> Result<RotationId, Problem> {
    places.ensure()?;
    let journal = journal(places)?;
    runtime(places)?.block_on(only_open(&journal, id))
}

/// Resumes an open rotation without a driver; a driver is not disturbed.
pub fn take_up(
    id: &str,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    operator.pause_on_stop();
    let id = RotationId(id.to_owned());
    let driven = had_before(&id, asked, installation, operator).and_then(|had| {
        let locked = lock(&installation.places()?)?;
        drive_on(locked, &id, asked, had, |_| Vec::new(), operator)
    });
    driven.map_err(|problem| Attempt { id: &id, verb: "resume", asked }.followed(problem, installation))
}

/// What is prepared before a rotation is resumed.
struct Prepared {
    described: Described,
    /// A key that the operator made.
    typed: Option<Credential>,
}

/// Checks whether the rotation may be resumed with these options, and asks the operator what is needed. No lock is
/// held meanwhile, so an unanswered question blocks nobody.
fn had_before(
    id: &RotationId,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Prepared, Problem> {
    let places = installation.places()?;
    let opened = {
        let journal = journal(&places)?;
        runtime(&places)?.block_on(opened(&journal, Some(&id.0)))?
    };
    check_consent(asked, &opened.saved.secret)?;
    refuse_emergency(asked, &opened.saved)?;
    refuse_overtaken(&opened, asked, &places)?;
    refuse_other_view(&opened, asked, &places)?;
    let config = opened.saved.config()?;
    let secret = crate::configured::secret(&config, &opened.saved.secret)?;
    trusted_commands(&opened, asked, secret)?;
    let kept = opened.saved.settings.is_some() || opened.state.minted().is_some();
    let described = described(secret)?;
    refuse_outage(asked, secret, &described, kept, &format!("resume {id}"))?;
    consent_to_outage(asked, &opened.saved.secret, &format!("resume {id}"), operator)?;
    reject_new_hosts(&opened.saved, secret, &described, Some((&id.0, operator)))?;
    if asked.back {
        manual_mint::tell_of_given(&opened, (secret, &described), &places, operator)?;
    }
    let typed = match !asked.back && (asked.emergency.is_none() || asked.given.is_some()) {
        true => manual_mint::read(&opened, asked.given.as_ref(), (secret, &described), &places, operator)?,
        false => None,
    };
    Ok(Prepared { described, typed })
}

/// Refuses commands that another user can change. On the way back, those of a consumer that was never moved are not run:
/// they hold up nobody.
fn trusted_commands(opened: &Opened, asked: &ApplyOptions, secret: &Secret) -> Result<(), Problem> {
    let back = asked.back || opened.state.phase() == Phase::RollingBack;
    trusted_of(&opened.saved.config_file, secret, |at| !back || !is_unmoved(&opened.state, at))
}

fn drive_on(
    (lock, places): (StateLock, Places),
    id: &RotationId,
    asked: &ApplyOptions,
    had: Prepared,
    first: impl FnOnce(&State) -> Vec<Fact>,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let runtime = runtime(&places)?;
    let journal = journal(&places)?;
    let mut opened = runtime.block_on(opened(&journal, Some(&id.0)))?;
    drop(journal);
    works_on(&lock, &id.0, &opened.saved.secret);
    drive_from_here(&opened, asked, &places)?;
    refuse_emergency(asked, &opened.saved)?;
    let config = opened.saved.config()?;
    let secret = crate::configured::secret(&config, &opened.saved.secret)?;
    trusted_commands(&opened, asked, secret)?;
    let Prepared { described, typed } = had;
    let issuer = (secret, &described);
    // An emergency does not wait for the issuer's answer about a key, unless that is what it goes on with.
    if !asked.back && (asked.emergency.is_none() || typed.is_some() || asked.sealed) {
        manual_mint::take(&mut opened, typed, asked.given.as_ref(), issuer, &places, operator)?;
    }
    if asked.revoked_by_hand {
        see_dead(&opened, issuer, &places, operator)?;
    }
    let (search, others) = corrected(&config, &opened.saved, operator);
    let host = host_of(&opened, (&config, &search), &described, &places)?;
    let issuer = described.issuer(secret, opened.saved.settings.as_deref())?;
    let store = runtime.block_on(store_of(&places, &opened.saved, secret.keep_retired))?;
    let planned = opened.saved.truth.as_deref();
    let file = &opened.saved.config_file;
    let truth = runtime.block_on(truth::of_plan(&places, file, secret, planned, asked.emergency))?;
    let ports = Ports { truth, ..ports(&places, store, issuer, host, others)? };
    runtime.block_on(ready_to_drive(&ports, &places, &opened.saved.secret))?;
    operator.event(Event::Rotation { id: opened.id.to_string(), secret: opened.saved.secret.clone() });
    let accepted = pending_changes::accepted_later(&opened, &asked.accept)?;
    let mut facts: Vec<Fact> = accepted.into_iter().map(Fact::Accepted).collect();
    // The driver that opened it may have ended before it wrote these down.
    if opened.state.look().is_none() {
        let all = waived_from_the_beginning(&opened.saved, &places)?.into_iter();
        facts.extend(all.filter(|one| !opened.state.waived().contains(one)).map(Fact::Waived));
    }
    facts.extend(first(&opened.state));
    let waivers = Waivers::load(&places)?;
    let recorded = runtime.block_on(ports.journal.load(&opened.id)).map_err(|error| unread(&error))?;
    let back = way_back(&recorded, &opened.state, &described, &places);
    let steps = Steps { back, ..Steps::of(described.spec.as_ref()) };
    let Opened { id, saved, .. } = &opened;
    let ready = Ready { ports, id, saved, secret, first: facts, waivers, steps };
    let exit = runtime.block_on(ready.drive(asked, &places, operator));
    drop(lock);
    exit
}

/// The first event of a resume: only a paused rotation or one with a debt needs one.
pub fn resumed(state: &State) -> Vec<Fact> {
    let debt = state.phase() == Phase::Done && state.debt().is_some();
    if state.hold().is_some() || debt { vec![Fact::Resumed] } else { Vec::new() }
}

/// Records in the lock which rotation it is held for.
fn works_on(lock: &StateLock, id: &str, secret: &str) {
    lock.works_on(&Work {
        rotation: RotationId(id.to_owned()),
        secret: secret.to_owned(),
        since_unix_ms: SystemClock::new().unix_ms(),
    });
}
