//! Accepts by name that a process, a copy or an invisible consumer keeps the old value.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_host::{LOCAL, incarnation, process_of};
use keyroll_port::{Described, Journal as _, Label, RotationId};
use keyroll_rotation::{ConsumerId, Fact, Incarnation, Phase, State, Waived, digest_of_life};

use super::adopt::numbered;
use super::append_offline::{digest_of, lock_to_tell, tell_open_locked};
use super::container_there::ContainerThere;
use super::holder_on_host::HolderOnHost;
use crate::configured::without_host;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::blockers;
use crate::records::open_rotation_guard::open_own;
use crate::records::recorded::{Opened, opened, rotations_unread};
use crate::records::resolve_target::meant;
use crate::records::versions::{label, versions};
use crate::records::waivers::{LAST_USE, UNSEEN_USER, Waiver, Waivers, digest, reason_given};
use crate::wiring::open::{journal, lock, runtime};

/// A waiver that the operator asks for.
pub struct WaiveRequest<'a> {
    /// A process id, a consumer's name, a path, a container of a cluster, or the word for the last use.
    pub holder: &'a str,
    /// The secret; none where only one can be meant.
    pub secret: Option<&'a str>,
    /// Why it may lose access: 1 to 1,024 bytes on one line.
    pub reason: &'a str,
}

/// A waiver that was recorded.
pub struct WaivedShown {
    /// The secret.
    pub secret: String,
    /// The holder that may keep the value that goes.
    pub holder: String,
    /// The rotation rolls back: the value that goes is the new one.
    pub back: bool,
    /// The open rotation that has recorded it; none = it counts for the next rotation.
    pub rotation: Option<String>,
}

/// Records a waiver: of a copy also before a rotation is open, of a process or a consumer in the open rotation.
///
/// # Errors
/// The reason or the holder is not valid, or no rotation is open for a waiver that belongs to one.
pub fn waive(request: &WaiveRequest<'_>, installation: &Installation) -> Result<WaivedShown, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    let holder = request.holder;
    let secret = meant(&config, request.secret, holder, &places)?;
    let reason = reason_given(request.reason)?;
    let there = HolderOnHost::of(holder, &config);
    let container = ContainerThere::of(holder, &config);
    let (waived, shown) = match (&container, &there) {
        (Some(container), _) => (container_named(container, secret, &places)?, container.shown()),
        (None, Some(there)) => {
            let waived = named_there(there, secret, &places)?;
            (waived, there.shown(program(there, waived, &places).as_deref()))
        }
        (None, None) => {
            let waived = named(holder, secret)?;
            (waived, shown(holder, waived))
        }
    };
    places.ensure()?;
    // A damaged list is found before a rotation has recorded anything.
    Waivers::load(&places)?;
    // The rotation and the list are written under one lock.
    let (_lock, places) = lock_to_tell(&places, "keyroll pause, then waive again")?;
    recorded("consumer waive", secret.name.as_str(), &shown, &places)?;
    let told = told(&places, secret, holder, waived)?;
    let back = told.as_ref().is_some_and(|told| told.back);
    let (rotation, waived) = told.map_or((None, waived), |told| (Some(told.id.0), told.waived));
    if rotation.is_none() && !matches!(waived, Waived::Copy(_)) {
        return Err(waiving()
            .because(
                "no rotation of this secret is open, and a process or a consumer is waived in an open rotation",
            )
            .help(format!("keyroll plan {}", secret.name)));
    }
    let version = if rotation.is_some() { 0 } else { current(&places, secret)? };
    let place = match waived {
        Waived::Copy(_) if there.is_some() => None,
        Waived::Copy(_) => real(holder),
        Waived::Holder(_)
        | Waived::NotVisible(_)
        | Waived::BusySessions
        | Waived::LastUse
        | Waived::Host(_) => Some(shown.clone()),
    };
    let waiver = Waiver {
        secret: secret.name.to_string(),
        place: place.unwrap_or_else(|| holder.to_owned()),
        digest: digest(rotation.as_deref().unwrap_or_default(), waived),
        version,
        reason,
    };
    Waivers::load(&places)?.add(&places, waiver).map_err(|problem| match &rotation {
        None => problem,
        Some(id) => problem.because(format!(
            "rotation {id} has recorded the waiver; only its reason and its name are not stored"
        )),
    })?;
    Ok(WaivedShown { secret: secret.name.to_string(), holder: shown, back, rotation })
}

/// Records who waives what.
pub(super) fn recorded(what: &str, secret: &str, holder: &str, places: &Places) -> Result<(), Problem> {
    let open = match places.journal().exists() {
        true => runtime(places)?.block_on(open_own(&*journal(places)?, secret)).map_err(rotations_unread)?,
        false => None,
    };
    let (secret, detail) = (Some(secret.to_owned()), Some(holder.to_owned()));
    acts::record(&Act { secret, detail, about: open.map(|id| id.0), ..acts::asked(what, places) }, places)
}

/// Withdraws a waiver of a copy that no rotation has taken over; returns the secret and the copy.
///
/// # Errors
/// The open rotation has recorded the waiver, or there is none.
pub fn withdraw(
    holder: &str,
    secret: Option<&str>,
    installation: &Installation,
) -> Result<WaivedShown, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    let secret = meant(&config, secret, holder, &places)?;
    let name = secret.name.as_str();
    places.ensure()?;
    // A rotation that opens takes its waivers over under the lock.
    let (_lock, places) = lock(&places)?;
    let withdrawing = || Problem::new(Code::ConsumerNotAdopted, "withdraw the waiver");
    if places.journal().exists() {
        let open = runtime(&places)?.block_on(open_own(&*journal(&places)?, name));
        if let Some(id) = open.map_err(rotations_unread)? {
            return Err(withdrawing()
                .because(format!(
                    "rotation {id} of {name} is open, and it keeps the waivers that it has recorded"
                ))
                .help(format!("keyroll abort {id} rolls back; after it the next rotation asks again")));
        }
    }
    // A copy that was deleted is named as it was.
    let path = real(holder).unwrap_or_else(|| holder.to_owned());
    recorded("consumer waive --withdraw", name, &format!("the copy {path}"), &places)?;
    let withdrawn = Waivers::load(&places)?
        .withdraw(&places, name, current(&places, secret)?, |waiver| waiver.place == path)?;
    match withdrawn {
        true => {
            let holder = format!("the copy {path}");
            Ok(WaivedShown { secret: name.to_owned(), holder, back: false, rotation: None })
        }
        false => Err(withdrawing()
            .because(format!("no waiver of {path} counts for the next rotation of {name}"))
            .help("keyroll consumer waivers lists the waivers")),
    }
}

/// The version that the next rotation replaces: the current one, or 1 if the secret has no value yet.
pub(crate) fn current(places: &Places, secret: &Secret) -> Result<u32, Problem> {
    let all = versions(places, secret)?;
    let current = all.iter().find(|version| version.label == label(Label::Current));
    Ok(current.and_then(|version| u32::try_from(version.version).ok()).unwrap_or(1))
}

fn waiving() -> Problem {
    Problem::new(Code::ConsumerNotAdopted, "waive what holds the key")
}

/// What `holder` names: the last use, a process id, a consumer of the configuration, or a path.
fn named(holder: &str, secret: &Secret) -> Result<Waived, Problem> {
    if holder == LAST_USE && secret.consumers.iter().all(|consumer| consumer.name.as_str() != holder) {
        return Ok(Waived::LastUse);
    }
    if let Ok(pid) = holder.parse::<u32>() {
        let process = keyroll_observe::process(pid).map_err(|why| {
            waiving().because(format!("process {pid} cannot be inspected: {why}")).help(
                "keyroll resume inspects again and names the processes and copies that still use the old key",
            )
        })?;
        return Ok(Waived::Holder(incarnation(LOCAL, &process.id)));
    }
    let consumer = secret.consumers.iter().position(|consumer| consumer.name.as_str() == holder);
    if let Some(id) = consumer.and_then(|at| u16::try_from(at).ok()) {
        return Ok(Waived::NotVisible(ConsumerId(id)));
    }
    match real(holder) {
        Some(path) => Ok(Waived::Copy(digest_of(Path::new(&path)))),
        None => Err(waiving()
            .because("it is not a process id, a consumer of the secret, or an existing path")
            .exits(Exit::Usage)),
    }
}

/// What is waived on another host, as the protocol names it: a process as the open rotation saw it last.
fn named_there(there: &HolderOnHost, secret: &Secret, places: &Places) -> Result<Waived, Problem> {
    let pid = match &there.what {
        Err(path) => return Ok(Waived::Copy(there.digest_of(path))),
        Ok(pid) => *pid,
    };
    let not_seen = || not_seen(&format!("process {pid} of {}", there.host));
    let opened = opened_own(secret, places)?.ok_or_else(not_seen)?;
    there.seen_by(&opened, pid).map(Waived::Holder).ok_or_else(not_seen)
}

/// A container of a cluster, as the open rotation saw it last.
fn container_named(container: &ContainerThere, secret: &Secret, places: &Places) -> Result<Waived, Problem> {
    let not_seen = || not_seen(&container.shown());
    let opened = opened_own(secret, places)?.ok_or_else(not_seen)?;
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let seen = runtime.block_on(container.seen_by(&*journal, &opened));
    seen.map(Waived::Holder).ok_or_else(not_seen)
}

/// The open rotation of a secret.
fn opened_own(secret: &Secret, places: &Places) -> Result<Option<Opened>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let own = runtime.block_on(open_own(&journal, secret.name.as_str())).map_err(rotations_unread)?;
    own.map(|own| runtime.block_on(opened(&journal, Some(&own.0)))).transpose()
}

/// No open rotation saw what is to be waived.
fn not_seen(what: &str) -> Problem {
    waiving()
        .because(format!("no {what} holds the value, as far as an open rotation saw"))
        .help("keyroll resume inspects again and names the processes and copies that still use the old key")
}

/// The program of a process on another host, if an inspection described it. It is for display alone.
fn program(there: &HolderOnHost, waived: Waived, places: &Places) -> Option<String> {
    let Waived::Holder(who) = waived else { return None };
    let (journal, runtime) = (journal(places).ok()?, runtime(places).ok()?);
    let remembered = runtime.block_on(journal.recall(digest_of_life(who))).ok()??;
    let name = Described::read(&remembered)?.name;
    Some(without_host(&name, &there.host).to_owned())
}

/// The waived holder, as the operator reads it.
fn shown(holder: &str, waived: Waived) -> String {
    match waived {
        Waived::Holder(_) => {
            holder.parse().ok().and_then(blockers::described).unwrap_or_else(|| format!("process {holder}"))
        }
        Waived::Copy(_) => format!("the copy {}", real(holder).unwrap_or_else(|| holder.to_owned())),
        Waived::NotVisible(_) => format!("evidence of {holder} that is not visible"),
        Waived::BusySessions => "busy sessions".to_owned(),
        Waived::LastUse => UNSEEN_USER.to_owned(),
        Waived::Host(host) => format!("host {}", host.0),
    }
}

/// Refuses a process id that belongs to another process than when the rotation last inspected the machine.
fn refuse_reused(state: &State, now: Incarnation) -> Result<(), Problem> {
    let pid = |who: Incarnation| process_of(who).map(|id| id.pid);
    let seen = state.look().map(|look| look.seen.as_ref());
    let all = seen.into_iter().flat_map(|seen| {
        let unsearched = seen.unsearched.iter().map(|it| it.who);
        seen.instances.iter().map(|it| it.who).chain(unsearched)
    });
    let mine = all.filter(|who| pid(*who) == pid(now));
    match mine.collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        all if all.contains(&now) => Ok(()),
        _ => Err(waiving()
            .because("the process that held the value has ended: another process has its id now")
            .help(
                "keyroll resume inspects again and names the processes and copies that still use the old key",
            )),
    }
}

fn real(path: &str) -> Option<String> {
    Path::new(path).canonicalize().ok().map(|path| path.display().to_string())
}

/// The number of a consumer in the open rotation; in the configuration, edited since, it may be another consumer's.
fn number(opened: &Opened, name: &str) -> Result<ConsumerId, Problem> {
    let all = numbered(opened)?;
    let at = all.iter().position(|consumer| consumer.name.as_str() == name);
    at.and_then(|at| u16::try_from(at).ok()).map(ConsumerId).ok_or_else(|| {
        waiving()
            .because(format!("the open rotation {} does not have this consumer", opened.id))
            .help("it was declared later: the next rotation will have it")
    })
}

/// A waiver that an open rotation has recorded.
struct Told {
    id: RotationId,
    /// By the numbers of the rotation.
    waived: Waived,
    back: bool,
}

/// Records the waiver in the secret's open rotation; none if none is open.
fn told(places: &Places, secret: &Secret, holder: &str, waived: Waived) -> Result<Option<Told>, Problem> {
    let mut recorded = waived;
    let told = tell_open_locked(places, secret.name.as_str(), |opened| {
        let waived = match waived {
            Waived::NotVisible(_) => Waived::NotVisible(number(opened, holder)?),
            Waived::Holder(_)
            | Waived::Copy(_)
            | Waived::BusySessions
            | Waived::LastUse
            | Waived::Host(_) => waived,
        };
        if let Waived::Holder(who) = waived
            && who.host == LOCAL
        {
            refuse_reused(&opened.state, who)?;
        }
        recorded = waived;
        Ok(vec![Fact::Waived(waived)])
    })?;
    Ok(told.map(|opened| {
        let back = opened.state.phase() == Phase::RollingBack;
        Told { id: opened.id, waived: recorded, back }
    }))
}
