use std::path::Path;

use keyroll_config::Secret;
use keyroll_host::{incarnation, process_of};
use keyroll_journal::try_lock;
use keyroll_port::Label;
use keyroll_rotation::{ConsumerId, Fact, Incarnation, State, Waived};

use crate::args::WaiveArgs;
use crate::context::Context;
use crate::driving::adopt::numbered;
use crate::driving::told::{digest_of, tell};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::begun::open_own;
use crate::records::blocked;
use crate::records::meant::meant;
use crate::records::recorded::Opened;
use crate::records::versions::{label, versions};
use crate::records::waivers::Waivers;
use crate::wiring::open::{journal, not_locked, runtime};

/// The longest reason, in bytes: it stands beside the journal for good.
const REASON_BYTES_MAX: usize = 1_024;

/// Accepts by name that something keeps the old value: a running holder, a place, or what cannot be seen of a
/// consumer. A place can be waived before a rotation is open; the others are about one rotation.
pub(super) fn run(args: &WaiveArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let places = context.places()?;
    let secret = meant(&config, args.secret.as_deref(), &args.holder, &places)?;
    let reason = args.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(waiving()
            .because(format!("--reason is 1 to {REASON_BYTES_MAX} bytes on one line"))
            .help("say why it may keep the old value: it is recorded with the waiver")
            .exits(Exit::Usage));
    }
    let waived = named(&args.holder, secret)?;
    let what = shown(&args.holder, waived);
    let told = tell_open(&places, secret, &args.holder, waived)?;
    match waived {
        Waived::Copy(digest) => {
            places.ensure()?;
            let place = real(&args.holder).unwrap_or_else(|| args.holder.clone());
            let version = if told { 0 } else { current(&places, secret)? };
            let about = (secret.name.as_str(), version);
            Waivers::load(&places)?.add(&places, about, (&place, digest), reason)?;
        }
        Waived::Holder(_) | Waived::NotVisible(_) | Waived::BusySessions if !told => {
            return Err(waiving()
                .because("no rotation of this secret is open, and this waiver is about one")
                .help(format!("keyroll plan {}", secret.name)));
        }
        Waived::Holder(_) | Waived::NotVisible(_) | Waived::BusySessions => {}
    }
    context.ui.note(format!(
        "waived for {}: {what}; it may keep the old value, and the report names it",
        secret.name
    ));
    Ok(Exit::Done)
}

/// The version that the next rotation replaces: the current one, or the first where none was taken in yet.
fn current(places: &Places, secret: &Secret) -> Result<u32, Problem> {
    let all = versions(places, secret)?;
    let current = all.iter().find(|version| version.label == label(Label::Current));
    Ok(current.and_then(|version| u32::try_from(version.version).ok()).unwrap_or(1))
}

fn waiving() -> Problem {
    Problem::new("K0812", "waive the holder")
}

/// What the word means: a process id, a consumer of the configuration, or a path.
fn named(holder: &str, secret: &Secret) -> Result<Waived, Problem> {
    if let Ok(pid) = holder.parse::<u32>() {
        let process = keyroll_observe::process(pid).map_err(|why| {
            waiving()
                .because(format!("process {pid} cannot be looked at: {why}"))
                .help("keyroll resume looks again, and names what holds the value")
        })?;
        return Ok(Waived::Holder(incarnation(&process.id)));
    }
    let consumer = secret.consumers.iter().position(|consumer| consumer.name.as_str() == holder);
    if let Some(id) = consumer.and_then(|at| u16::try_from(at).ok()) {
        return Ok(Waived::NotVisible(ConsumerId(id)));
    }
    match real(holder) {
        Some(path) => Ok(Waived::Copy(digest_of(Path::new(&path)))),
        None => Err(waiving()
            .because("it is no process id, no consumer of the secret, and no path that exists")
            .exits(Exit::Usage)),
    }
}

/// What is waived, for a person.
fn shown(holder: &str, waived: Waived) -> String {
    match waived {
        Waived::Holder(_) => {
            holder.parse().ok().and_then(blocked::described).unwrap_or_else(|| format!("process {holder}"))
        }
        Waived::Copy(_) => format!("the copy {}", real(holder).unwrap_or_else(|| holder.to_owned())),
        Waived::NotVisible(_) => format!("what cannot be seen of {holder}"),
        Waived::BusySessions => "busy sessions".to_owned(),
    }
}

/// A number that was given to another process since the rotation looked is not what the person meant.
fn refuse_reused(state: &State, now: Incarnation) -> Result<(), Problem> {
    let pid = |who: Incarnation| process_of(who).map(|id| id.pid);
    let seen = state.look().map(|look| look.seen.instances.clone()).unwrap_or_default();
    let mine = seen.iter().map(|seen| seen.who).filter(|who| pid(*who) == pid(now));
    match mine.collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        all if all.contains(&now) => Ok(()),
        _ => Err(waiving()
            .because("the process that held the value is gone: its number belongs to another one now")
            .help("keyroll resume looks again, and names what holds the value")),
    }
}

fn real(path: &str) -> Option<String> {
    Path::new(path).canonicalize().ok().map(|path| path.display().to_string())
}

/// The number that the open rotation knows a consumer by: the configuration may have been edited since, and another
/// one must not be waived.
fn number(opened: &Opened, name: &str) -> Result<ConsumerId, Problem> {
    let all = numbered(opened)?;
    let at = all.iter().position(|consumer| consumer.name.as_str() == name);
    at.and_then(|at| u16::try_from(at).ok()).map(ConsumerId).ok_or_else(|| {
        waiving()
            .because(format!("the open rotation {} does not know this consumer", opened.id))
            .help("it was configured later: the next rotation will know it")
    })
}

/// Tells the open rotation of the secret; whether there is one.
fn tell_open(places: &Places, secret: &Secret, holder: &str, waived: Waived) -> Result<bool, Problem> {
    if !places.journal().exists() {
        return Ok(false);
    }
    let lock = try_lock(&places.state).map_err(|error| {
        not_locked("tell the open rotation", &error)
            .exits(Exit::Failed)
            .help("keyroll pause, then waive again")
    })?;
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let (journal, runtime) = (journal(places)?, runtime()?);
    let own = runtime.block_on(open_own(&journal, secret.name.as_str())).map_err(reading)?;
    drop(journal);
    let Some(own) = own else { return Ok(false) };
    let answer = tell(Some(&own.0), places, |opened| {
        let waived = match waived {
            Waived::NotVisible(_) => Waived::NotVisible(number(opened, holder)?),
            Waived::Holder(_) | Waived::Copy(_) | Waived::BusySessions => waived,
        };
        if let Waived::Holder(who) = waived {
            refuse_reused(&opened.state, who)?;
        }
        Ok(vec![Fact::Waived(waived)])
    });
    drop(lock);
    answer.map(|_| true)
}
