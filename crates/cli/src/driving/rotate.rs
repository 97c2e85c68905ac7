//! `plan`, `apply`, `resume` and the words to an open rotation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_config::{Config, Secret};
use keyroll_host::{Local, SystemClock};
use keyroll_journal::{StateLock, Work};
use keyroll_port::{Clock as _, Opening, RotationId};
use keyroll_rotation::{Fact, Phase, Plan, Stamp, State};
use keyroll_secret::Credential;

use super::allowed::{check_consent, consent_to_outage, not_opened, refuse_outage, refuse_stale};
use super::by_hand::{self, Given};
use super::dead_by_hand::see_dead;
use super::drive::{Wishes, drive};
use super::finish::finish;
use super::let_go::let_go;
use super::split::refuse_emergency;
use super::steps::{Steps, way_back};
use super::told::tell;
use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt;
use crate::places::Places;
use crate::plans::Subject;
use crate::plans::live;
use crate::plans::make::look_at;
use crate::plans::reach::refuse_grown;
use crate::problem::Problem;
use crate::records::agree::agree;
use crate::records::begun::{refuse_begun, refuse_other, refuse_shared};
use crate::records::gaps::Gaps;
use crate::records::old_key;
use crate::records::recorded::{Opened, only_open, opened, unread};
use crate::records::saved::Saved;
use crate::records::waivers::Waivers;
use crate::ui::Event;
use crate::wiring::compose::compose_own;
use crate::wiring::family::{self, store_of};
use crate::wiring::issuer::{Described, described};
use crate::wiring::open::{fingerprint_key, folder_of, journal, lock, ports, runtime};
use crate::wiring::trusted::trusted;

/// What `apply` and `resume` are asked for.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) confirm: Option<String>,
    pub(crate) until: Option<Phase>,
    pub(crate) emergency: Option<keyroll_rotation::Emergency>,
    /// When the alert came, milliseconds since the Unix epoch; none = with the command.
    pub(crate) alerted_unix_ms: Option<u64>,
    /// What restarts may make live beside the value, by name.
    pub(crate) accept: Vec<String>,
    /// Where the value of a key comes from that was made by hand.
    pub(crate) given: Option<Given>,
    /// The old key was ended by hand.
    pub(crate) revoked_by_hand: bool,
    /// Whoever sits there is asked for a key that is made by hand as soon as it is waited for.
    pub(crate) prompts: bool,
    /// It goes back: nobody is asked for a new key.
    pub(crate) back: bool,
}

/// Carries out a plan: refused if what it saw is not true any more.
pub(crate) fn apply(saved: &Saved, asked: &Asked, context: &mut Context) -> Result<Exit, Problem> {
    interrupt::pause_from_now_on(context.ui.look);
    let places = context.places()?;
    let id = saved.id.as_str();
    refuse_begun(&places, id, &saved.secret)?;
    check_consent(asked, &saved.secret)?;
    refuse_emergency(asked, saved)?;
    let config = parse_config(saved)?;
    let secret = crate::context::secret(&config, &saved.secret)?;
    let described = described(secret)?;
    refuse_outage(asked, secret, &described, true, &format!("apply {id}"))?;
    consent_to_outage(asked, &saved.secret, &format!("apply {id}"), context)?;
    refuse_grown(saved, secret, &described, None)?;
    let lock = match asked.emergency {
        Some(_) => let_go(&places, &RotationId(id.to_owned()), true, &mut context.ui)?,
        None => lock(&places)?,
    };
    works_on(&lock, id, &saved.secret);
    if places.journal().exists() {
        let journal = journal(&places)?;
        refuse_other(&journal, saved, asked.emergency.is_some())?;
        refuse_shared(&journal, saved)?;
    }
    let found = look_at(&Subject::again(saved, (&config, secret), &places, &described))?;
    refuse_stale(saved, &found)?;
    let mut accepted = live::accepted(saved, &found.live, &asked.accept, asked.emergency.is_some())?;
    accepted.extend(found.granted.into_iter().map(|one| one.difference));
    let runtime = runtime()?;
    let id = RotationId(id.to_owned());
    let complaints = found.host.complaints();
    let issuer = described.issuer(secret, found.saved.settings.as_deref())?;
    runtime.block_on(family::found(&places, saved))?;
    let store = runtime.block_on(store_of(&places, saved, secret.keep_retired))?;
    let opened = ports(&places, store, issuer, found.host)?;
    let opening = opening(saved, asked, found.plan)?;
    interrupt::refuse_more("carry out the plan", &format!("keyroll apply {id}"))?;
    runtime.block_on(finish(opened.journal.as_ref(), &places))?;
    runtime.block_on(agree(opened.journal.as_ref(), opened.store.as_ref(), &saved.secret))?;
    runtime.block_on(opened.journal.open(&id, &opening)).map_err(|error| not_opened(&error, &id))?;
    context.ui.event(Event::Rotation { id: id.to_string(), secret: saved.secret.clone() });
    let waivers = Waivers::load(&places)?;
    let mut first: Vec<Fact> =
        waivers.of(&saved.secret, saved.from_version).into_iter().map(Fact::Waived).collect();
    first.extend(accepted.into_iter().map(Fact::Accepted));
    first.extend(asked.emergency.map(|mode| Fact::Escalated { mode, pending_compromised: false }));
    let prompted = asked.prompts && context.ui.may_ask();
    let steps = Steps { prompted, ..Steps::of(described.spec.as_ref()) };
    let gaps = Gaps::of(&places, &id.0, secret);
    let (confirmed, until) = (asked.confirm.is_some(), asked.until);
    let wishes = Wishes { confirmed, until, first, waivers, complaints, steps, gaps };
    let names = names(secret);
    let journal = opened.journal.clone();
    let exit = runtime.block_on(drive(opened, &id, &saved.secret, names, wishes, &mut context.ui));
    let exit = exit.and_then(|exit| runtime.block_on(finish(journal.as_ref(), &places)).map(|()| exit));
    drop(lock);
    exit
}

fn opening(saved: &Saved, asked: &Asked, plan: Plan) -> Result<Opening, Problem> {
    let clock = SystemClock::new();
    let (accepted, alerted_unix_ms) = (asked.accept.clone(), asked.alerted_unix_ms);
    Ok(Opening {
        secret: saved.secret.clone(),
        from_version: saved.from_version,
        plan,
        names: Saved { accepted, alerted_unix_ms, ..saved.clone() }.text()?,
        at: Stamp { ms: clock.monotonic_ms(), boot: clock.boot(), epoch: 0 },
        unix_ms: clock.unix_ms(),
    })
}

fn parse_config(saved: &Saved) -> Result<Config, Problem> {
    Ok(Config::parse(&saved.config_text, &saved.config_file.display().to_string())?)
}

/// Per consumer its name, then those of its instances where there are several.
fn names(secret: &Secret) -> Vec<Vec<String>> {
    let instances = |consumer: &keyroll_config::Consumer| -> Vec<String> {
        let all = consumer.runs.instances();
        let several = all.len() > 1;
        all.into_iter().filter(|_| several).map(|instance| instance.name.to_string()).collect()
    };
    let named = |consumer: &keyroll_config::Consumer| {
        std::iter::once(consumer.name.to_string()).chain(instances(consumer)).collect()
    };
    secret.consumers.iter().map(named).collect()
}

/// This machine as an open rotation knows it: by the configuration that stands in its journal, not by today's.
fn host_of(
    opened: &Opened,
    config: &Config,
    described: &Described,
    places: &Places,
) -> Result<Local, Problem> {
    let secret = crate::context::secret(config, &opened.saved.secret)?;
    let planned: BTreeMap<PathBuf, PathBuf> =
        opened.saved.seen.files.iter().map(|(path, seen)| (path.clone(), seen.real.clone())).collect();
    let folder = folder_of(&opened.saved.config_file);
    let issuer = described.issuer(secret, None)?;
    let roots = &config.search_roots;
    let own = runtime()?.block_on(family::own_of(places, opened.saved.family.as_ref()))?;
    let composed =
        compose_own(secret, issuer.as_ref(), places, &opened.id.0, (folder, roots), &planned, &own)?;
    if composed.consumers.len() != opened.state.plan().consumers.len() {
        return Err(Problem::new("K0839", "take the rotation up")
            .because("its configuration names another number of consumers than its journal"));
    }
    Ok(Local::new(composed.setup, fingerprint_key(places)?))
}

/// Takes an open rotation up, tells it `first`, and drives it on.
pub(crate) fn resume(
    id: Option<&str>,
    asked: &Asked,
    first: impl FnOnce(&State) -> Vec<Fact>,
    context: &mut Context,
) -> Result<Exit, Problem> {
    interrupt::pause_from_now_on(context.ui.look);
    let places = context.places()?;
    let id = resolved(&places, id)?;
    let had = had_before(&id, asked, context)?;
    let lock = let_go(&places, &id, asked.emergency.is_some(), &mut context.ui)?;
    drive_on(lock, &id, asked, had, first, context)
}

/// The id of the rotation that is meant, before anything is asked of anybody.
fn resolved(places: &Places, id: Option<&str>) -> Result<RotationId, Problem> {
    places.ensure()?;
    let journal = journal(places)?;
    runtime()?.block_on(only_open(&journal, id))
}

/// Takes up an open rotation that nobody drives; a driver is not disturbed.
pub(crate) fn take_up(id: &str, asked: &Asked, context: &mut Context) -> Result<Exit, Problem> {
    interrupt::pause_from_now_on(context.ui.look);
    let id = RotationId(id.to_owned());
    let had = had_before(&id, asked, context)?;
    let lock = lock(&context.places()?)?;
    drive_on(lock, &id, asked, had, |_| Vec::new(), context)
}

/// What is had before a rotation is taken up.
struct Had {
    described: Described,
    /// A key that was made by hand.
    typed: Option<Credential>,
}

/// Looks whether the rotation may be taken up as asked, and has what a person gives and is asked for that. No lock is
/// held meanwhile: whoever forgets a question keeps nobody out.
fn had_before(id: &RotationId, asked: &Asked, context: &mut Context) -> Result<Had, Problem> {
    let places = context.places()?;
    let opened = {
        let journal = journal(&places)?;
        runtime()?.block_on(opened(&journal, Some(&id.0)))?
    };
    check_consent(asked, &opened.saved.secret)?;
    refuse_emergency(asked, &opened.saved)?;
    let config = parse_config(&opened.saved)?;
    let secret = crate::context::secret(&config, &opened.saved.secret)?;
    trusted(&opened.saved.config_file, secret)?;
    let kept = opened.saved.settings.is_some() || opened.state.minted().is_some();
    let described = described(secret)?;
    refuse_outage(asked, secret, &described, kept, &format!("resume {id}"))?;
    consent_to_outage(asked, &opened.saved.secret, &format!("resume {id}"), context)?;
    refuse_grown(&opened.saved, secret, &described, Some((&id.0, &mut context.ui)))?;
    if asked.back {
        by_hand::tell_of_given(&opened, (secret, &described), &places, &mut context.ui)?;
    }
    let typed = match !asked.back && (asked.emergency.is_none() || asked.given.is_some()) {
        true => by_hand::read(&opened, asked.given.as_ref(), (secret, &described), &places, &mut context.ui)?,
        false => None,
    };
    Ok(Had { described, typed })
}

fn drive_on(
    lock: StateLock,
    id: &RotationId,
    asked: &Asked,
    had: Had,
    first: impl FnOnce(&State) -> Vec<Fact>,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let places = context.places()?;
    let runtime = runtime()?;
    let journal = journal(&places)?;
    let mut opened = runtime.block_on(opened(&journal, Some(&id.0)))?;
    drop(journal);
    works_on(&lock, &id.0, &opened.saved.secret);
    refuse_emergency(asked, &opened.saved)?;
    let config = parse_config(&opened.saved)?;
    let secret = crate::context::secret(&config, &opened.saved.secret)?;
    trusted(&opened.saved.config_file, secret)?;
    let Had { described, typed } = had;
    let issuer = (secret, &described);
    if !asked.back && (asked.emergency.is_none() || typed.is_some()) {
        by_hand::take(&mut opened, typed, asked.given.as_ref(), issuer, &places, &mut context.ui)?;
    }
    if asked.revoked_by_hand {
        see_dead(&opened, issuer, &places, &mut context.ui)?;
    }
    let host = host_of(&opened, &config, &described, &places)?;
    let complaints = host.complaints();
    let issuer = described.issuer(secret, opened.saved.settings.as_deref())?;
    let store = runtime.block_on(store_of(&places, &opened.saved, secret.keep_retired))?;
    let ports = ports(&places, store, issuer, host)?;
    // What a killed driver left lies there no longer than until the next one: a control's wrong copy holds the other
    // lines of its file.
    runtime.block_on(finish(ports.journal.as_ref(), &places))?;
    runtime.block_on(agree(ports.journal.as_ref(), ports.store.as_ref(), &opened.saved.secret))?;
    context.ui.event(Event::Rotation { id: opened.id.to_string(), secret: opened.saved.secret.clone() });
    let accepted = live::accepted_later(&opened, &asked.accept)?;
    let mut facts: Vec<Fact> = accepted.into_iter().map(Fact::Accepted).collect();
    facts.extend(first(&opened.state));
    let waivers = Waivers::load(&places)?;
    let recorded = runtime.block_on(ports.journal.load(&opened.id)).map_err(|error| unread(&error))?;
    let back = way_back(&recorded, &opened.state, &described, &places);
    let prompted = asked.prompts && context.ui.may_ask();
    let steps = Steps { back, prompted, ..Steps::of(described.spec.as_ref()) };
    let wishes = Wishes {
        confirmed: asked.confirm.is_some(),
        until: asked.until,
        first: facts,
        waivers,
        complaints,
        steps,
        gaps: Gaps::of(&places, &opened.id.0, secret),
    };
    let (journal, name) = (ports.journal.clone(), &opened.saved.secret);
    let exit = runtime.block_on(drive(ports, &opened.id, name, names(secret), wishes, &mut context.ui));
    if let Ok(Exit::Done) = exit {
        runtime.block_on(family::forget(&places, &opened.saved))?;
    }
    let exit = exit.and_then(|exit| runtime.block_on(finish(journal.as_ref(), &places)).map(|()| exit));
    drop(lock);
    exit
}

/// What resuming tells: a hold or a debt is what it takes up; a rotation without a driver is simply driven.
pub(crate) fn resumed(state: &State) -> Vec<Fact> {
    let debt = state.phase() == Phase::Done && state.debt().is_some();
    if state.hold().is_some() || debt { vec![Fact::Resumed] } else { Vec::new() }
}

/// Says in the lock what it is held for.
fn works_on(lock: &StateLock, id: &str, secret: &str) {
    lock.works_on(&Work {
        rotation: RotationId(id.to_owned()),
        secret: secret.to_owned(),
        since_unix_ms: SystemClock::new().unix_ms(),
    });
}

/// Makes the rotation stand still: its driver is asked to, or the word is written down where there is none. An old key
/// that is switched off is switched on again first.
pub(crate) fn pause(id: Option<&str>, context: &mut Context) -> Result<Exit, Problem> {
    let places = context.places()?;
    let id = resolved(&places, id)?;
    let lock = let_go(&places, &id, false, &mut context.ui)?;
    let told = tell(Some(&id.0), &places, |opened| match opened.state.hold() {
        Some(_) => Ok(Vec::new()),
        None => Ok(vec![Fact::PauseAsked]),
    });
    drop(lock);
    let opened = told?;
    let (id, decided) = (opened.id, opened.state.decided());
    if old_key::may_be_off(&opened.state) {
        return resume(Some(&id.0), &Asked::default(), |_| Vec::new(), context);
    }
    let keys = if decided { "the old key is ended or being ended" } else { "both keys are as they were" };
    context.ui.note(format!("paused; {keys}. keyroll resume {id}"));
    Ok(Exit::Paused)
}
