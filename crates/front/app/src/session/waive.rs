//! Accepts by name that a process, a copy or an invisible consumer keeps the old value.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_host::{LOCAL, incarnation, process_of};
use keyroll_port::{Described, Journal as _, Label, RotationId};
use keyroll_rotation::{
    ConsumerId, Fact, FileId, Incarnation, Phase, State, Waived, digest_of_life, may_be_excused,
};

use super::adopt::numbered;
use super::append_offline::{digest_of, may_follow, opened_own, own_of, tell_open_locked};
use super::container_there::ContainerThere;
use super::holder_on_host::HolderOnHost;
use super::lock_to_record::{Recording, lock_to_record};
use super::look_again::{look_again, look_again_in};
use super::refuse_running::refuse_running;
use super::refuse_shown_use::refuse_shown_use;
use crate::configured::without_host;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::blockers;
use crate::records::next_words::goes_on_with;
use crate::records::plan_names::Called;
use crate::records::recorded::{Opened, unread};
use crate::records::resolve_target::meant;
use crate::records::versions::{label, versions};
use crate::records::waivers::{BUSY_SESSIONS, LAST_USE, UNSEEN_USER, Waiver, Waivers, digest, reason_given};
use crate::wiring::open::{journal, lock, runtime};

/// What the operator says of what is waived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It may keep the version that goes.
    MayKeep,
    /// A consumer is gone: nothing is asked of it, until it runs again.
    IsGone,
    /// A file of the rotation stays as it stands.
    StaysAsIs,
}

/// A waiver that the operator asks for.
pub struct WaiveRequest<'a> {
    /// What is said of it.
    pub said: Said,
    /// A process id, a consumer's name, a path, a container of a cluster, or the word for the last use or for sessions.
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
    /// It was recorded before, for the same reason: nothing was changed.
    pub before: bool,
    /// The open rotation that has recorded it; none = it counts for the next rotation.
    pub rotation: Option<String>,
    /// How to continue that rotation, and which driver was ended for this.
    pub next: Option<String>,
}

/// Records a waiver: of a copy also before a rotation is open, of a process or a consumer in the open rotation. A driver of that
/// rotation is ended for it. The same waiver again changes nothing.
///
/// # Errors
/// The reason or the holder is not valid, no rotation is open for a waiver that belongs to one, or the lock stays held.
pub fn waive(
    request: &WaiveRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<WaivedShown, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    let secret = meant(&config, request.secret, request.holder, &places)?;
    let reason = reason_given(request.reason)?;
    let what = match request.said {
        Said::MayKeep => Named::of(request.holder, secret, &config, &places)?,
        Said::IsGone => Named::gone(request.holder, secret, &config)?,
        Said::StaysAsIs => Named::file(request.holder, secret, &places)?,
    };
    places.ensure()?;
    // A damaged list is found before a rotation has recorded anything.
    let waivers = Waivers::load(&places)?;
    if let Some(shown) = what.waived_before(secret, &reason, &waivers, &places)? {
        return Ok(shown);
    }
    // The rotation and the list are written under one lock.
    let recording = lock_to_record(&places, operator, || what.judged(secret, &places))?;
    recording.or_driver(what.waived_in(secret, reason, &recording))
}

/// What is waived.
struct Named<'a> {
    /// As the operator names it.
    holder: &'a str,
    /// As the protocol names it; a consumer has its number in the configuration.
    waived: Waived,
    /// As the operator reads it.
    shown: String,
    /// It is on another host.
    is_there: bool,
}

impl<'a> Named<'a> {
    fn of(holder: &'a str, secret: &Secret, config: &Config, places: &Places) -> Result<Self, Problem> {
        let there = HolderOnHost::of(holder, config);
        let container = ContainerThere::of(holder, config);
        let (waived, shown) = match (&container, &there) {
            (Some(container), _) => (container_named(container, secret, places)?, container.shown()),
            (None, Some(there)) => {
                let waived = named_there(there, secret, places)?;
                (waived, there.shown(program(there, waived, places).as_deref()))
            }
            (None, None) => {
                let waived = named(holder, secret, places)?;
                (waived, shown(holder, waived))
            }
        };
        Ok(Self { holder, waived, shown, is_there: there.is_some() })
    }

    /// A consumer that is gone.
    fn gone(name: &'a str, secret: &Secret, config: &Config) -> Result<Self, Problem> {
        let at = secret.consumers.iter().position(|consumer| consumer.name.as_str() == name);
        let Some(id) = at.and_then(|at| u16::try_from(at).ok()) else {
            let all: Vec<&str> = secret.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
            return Err(waiving()
                .because(format!("{} has no consumer {name}; it has {}", secret.name, all.join(", ")))
                .help("a process or a copy is waived by: keyroll consumer waive")
                .exits(Exit::Usage));
        };
        refuse_running(name, secret, config)?;
        let waived = Waived::Gone(ConsumerId(id));
        Ok(Self { holder: name, waived, shown: shown(name, waived), is_there: false })
    }

    /// A file of the open rotation, as `status` names it, or by its path.
    fn file(path: &'a str, secret: &Secret, places: &Places) -> Result<Self, Problem> {
        let opened = opened_own(secret.name.as_str(), places)?.ok_or_else(|| {
            waiving()
                .because(format!(
                    "no rotation of {} is open, and a file is accepted in an open rotation",
                    secret.name
                ))
                .help(format!("keyroll plan {}", secret.name))
        })?;
        let (id, known) = file_of(&opened, path, places)?;
        let (waived, shown) = (Waived::File(id), format!("the file {known} as it stands"));
        Ok(Self { holder: path, waived, shown, is_there: false })
    }

    /// The open rotation that would record it; none if it would count for the next one.
    fn judged(&self, secret: &Secret, places: &Places) -> Result<Vec<RotationId>, Problem> {
        let Some(opened) = opened_own(secret.name.as_str(), places)? else {
            return self.refuse_unopened(secret).map(|()| Vec::new());
        };
        may_follow(&opened, vec![Fact::Waived(self.of_rotation(&opened, places)?)])?;
        Ok(vec![opened.id])
    }

    /// The same, with the number of a consumer or a file in this open rotation: before the lock, another one was perhaps open.
    fn of_rotation(&self, opened: &Opened, places: &Places) -> Result<Waived, Problem> {
        match self.waived {
            Waived::NotVisible(_) => return Ok(Waived::NotVisible(number(opened, self.holder)?)),
            Waived::Gone(_) => return Ok(Waived::Gone(number(opened, self.holder)?)),
            Waived::File(_) => return Ok(Waived::File(file_of(opened, self.holder, places)?.0)),
            Waived::Holder(who) if who.host == LOCAL => refuse_reused(opened, who)?,
            Waived::BusySessions if !shows_busy(&opened.state) => {
                return Err(not_seen("session at work", look_again_in(opened)));
            }
            Waived::LastUse => refuse_shown_use(opened, places)?,
            Waived::Holder(_) | Waived::Copy(_) | Waived::BusySessions | Waived::Host(_) => {}
        }
        Ok(self.waived)
    }

    /// The same waiver, as it was recorded before. What was let go or accepted as it stands is recorded again: keyroll then tries once
    /// more what it gave up.
    fn waived_before(
        &self,
        secret: &Secret,
        reason: &str,
        waivers: &Waivers,
        places: &Places,
    ) -> Result<Option<WaivedShown>, Problem> {
        let name = secret.name.as_str();
        let opened = opened_own(name, places)?;
        let before = match &opened {
            Some(opened) => self.of_rotation(opened, places).is_ok_and(|waived| {
                // A consumer that a rollback could not restart since is not restarted any more after a second waiver.
                let repeated = matches!(waived, Waived::Gone(_) | Waived::File(_))
                    || matches!(waived, Waived::NotVisible(id) if may_be_excused(&opened.state, id));
                let known =
                    waivers.recorded(&opened.id.0, name, waived).is_some_and(|it| it.reason == reason);
                !repeated && known && opened.state.waived().contains(&waived)
            }),
            None if !matches!(self.waived, Waived::Copy(_)) => false,
            None => {
                let standing = waivers.standing(name, current(places, secret)?);
                standing.iter().any(|it| it.digest == digest("", self.waived) && it.reason == reason)
            }
        };
        let next = opened.as_ref().map(|opened| format!("to continue: {}", goes_on_with(opened)));
        let back = opened.as_ref().is_some_and(|opened| opened.state.phase() == Phase::RollingBack);
        let (secret, holder) = (name.to_owned(), self.shown.clone());
        let rotation = opened.map(|opened| opened.id.0);
        Ok(before.then_some(WaivedShown { secret, holder, back, before, rotation, next }))
    }

    /// Only a copy is waived before a rotation is open.
    fn refuse_unopened(&self, secret: &Secret) -> Result<(), Problem> {
        match self.waived {
            Waived::Copy(_) => Ok(()),
            Waived::Holder(_)
            | Waived::NotVisible(_)
            | Waived::BusySessions
            | Waived::LastUse
            | Waived::Host(_)
            | Waived::Gone(_)
            | Waived::File(_) => Err(waiving()
                .because(
                    "no rotation of this secret is open, and a process or a consumer is waived in an open rotation",
                )
                .help(format!("keyroll plan {}", secret.name))),
        }
    }

    /// Records the waiver in the open rotation and in the list, under the lock.
    fn waived_in(
        &self,
        secret: &Secret,
        reason: String,
        recording: &Recording,
    ) -> Result<WaivedShown, Problem> {
        let (places, name) = (&recording.places, secret.name.as_str());
        let verb = match self.waived {
            Waived::Gone(_) => "consumer let-go",
            Waived::File(_) => "consumer accept-file",
            Waived::Holder(_)
            | Waived::Copy(_)
            | Waived::NotVisible(_)
            | Waived::BusySessions
            | Waived::LastUse
            | Waived::Host(_) => "consumer waive",
        };
        let mut waived = self.waived;
        let told = tell_open_locked(places, name, |opened| {
            waived = self.of_rotation(opened, places)?;
            // What is refused makes nobody the driver: what the last one saw counts on.
            may_follow(opened, vec![Fact::Waived(waived)])?;
            recorded(verb, name, &self.shown, places)?;
            Ok(vec![Fact::Waived(waived)])
        })?;
        if told.is_none() {
            self.refuse_unopened(secret)?;
            recorded(verb, name, &self.shown, places)?;
        }
        let rotation = told.as_ref().map(|opened| opened.id.0.clone());
        let version = if rotation.is_some() { 0 } else { current(places, secret)? };
        let place = match waived {
            Waived::Copy(_) if self.is_there => None,
            Waived::Copy(_) => real(self.holder),
            Waived::Holder(_)
            | Waived::NotVisible(_)
            | Waived::BusySessions
            | Waived::LastUse
            | Waived::Host(_)
            | Waived::Gone(_)
            | Waived::File(_) => Some(self.shown.clone()),
        };
        let waiver = Waiver {
            secret: name.to_owned(),
            place: place.unwrap_or_else(|| self.holder.to_owned()),
            digest: digest(rotation.as_deref().unwrap_or_default(), waived),
            version,
            reason,
        };
        Waivers::load(places)?.add(places, waiver).map_err(|problem| match &rotation {
            None => problem,
            Some(id) => problem.because(format!(
                "rotation {id} has recorded the waiver; only its reason and its name are not stored"
            )),
        })?;
        let back = told.as_ref().is_some_and(|opened| opened.state.phase() == Phase::RollingBack);
        let next = told.as_ref().map(|opened| recording.next(opened));
        let (secret, holder) = (name.to_owned(), self.shown.clone());
        Ok(WaivedShown { secret, holder, back, before: false, rotation, next })
    }
}

/// Records who waives what, once nothing refuses it.
pub(super) fn recorded(what: &str, secret: &str, holder: &str, places: &Places) -> Result<(), Problem> {
    let open = own_of(secret, places)?;
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
    if let Some(id) = own_of(name, &places)? {
        return Err(withdrawing()
            .because(format!(
                "rotation {id} of {name} is open, and it keeps the waivers that it has recorded"
            ))
            .help(format!("keyroll abort {id} rolls back; after it the next rotation asks again")));
    }
    // A copy that was deleted is named as it was.
    let path = real(holder).unwrap_or_else(|| holder.to_owned());
    let (waivers, version) = (Waivers::load(&places)?, current(&places, secret)?);
    let is_it = |waiver: &Waiver| waiver.place == path;
    if !waivers.standing(name, version).into_iter().any(is_it) {
        return Err(withdrawing()
            .because(format!("no waiver of {path} counts for the next rotation of {name}"))
            .help("keyroll consumer waivers lists the waivers"));
    }
    let holder = format!("the copy {path}");
    recorded("consumer waive --withdraw", name, &holder, &places)?;
    waivers.withdraw(&places, name, version, is_it)?;
    let (secret, back, before) = (name.to_owned(), false, false);
    Ok(WaivedShown { secret, holder, back, before, rotation: None, next: None })
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

/// What `holder` names: the last use, sessions at work, a process id, a consumer of the configuration, or a path.
fn named(holder: &str, secret: &Secret, places: &Places) -> Result<Waived, Problem> {
    let consumer = secret.consumers.iter().position(|consumer| consumer.name.as_str() == holder);
    match holder {
        LAST_USE if consumer.is_none() => return Ok(Waived::LastUse),
        BUSY_SESSIONS if consumer.is_none() => return Ok(Waived::BusySessions),
        _ => {}
    }
    if let Ok(pid) = holder.parse::<u32>() {
        let process = keyroll_observe::process(pid).map_err(|why| {
            let again = look_again(secret.name.as_str(), places);
            waiving().because(format!("process {pid} cannot be inspected: {why}")).help(again)
        })?;
        return Ok(Waived::Holder(incarnation(LOCAL, &process.id)));
    }
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
    let again = || look_again(secret.name.as_str(), places);
    let not_seen = || not_seen(&format!("process {pid} of {}", there.host), again());
    let opened = opened_own(secret.name.as_str(), places)?.ok_or_else(not_seen)?;
    there.seen_by(&opened, pid).map(Waived::Holder).ok_or_else(not_seen)
}

/// A container of a cluster, as the open rotation saw it last.
fn container_named(container: &ContainerThere, secret: &Secret, places: &Places) -> Result<Waived, Problem> {
    let not_seen = || not_seen(&container.shown(), look_again(secret.name.as_str(), places));
    let opened = opened_own(secret.name.as_str(), places)?.ok_or_else(not_seen)?;
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let seen = runtime.block_on(container.seen_by(&*journal, &opened));
    seen.map(Waived::Holder).ok_or_else(not_seen)
}

/// Whether the last look shows a session at work on the key that goes. The waiver is about later ones too, and the consent counts it.
fn shows_busy(state: &State) -> bool {
    let seen = state.look().and_then(|look| look.seen.sessions.as_ref());
    seen.into_iter().flatten().any(|session| session.busy)
}

/// No open rotation saw what is to be waived.
fn not_seen(what: &str, again: String) -> Problem {
    waiving().because(format!("no {what} holds the value, as far as an open rotation saw")).help(again)
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
        Waived::Gone(_) => format!("{holder}, which is gone"),
        Waived::File(_) => format!("the file {holder} as it stands"),
    }
}

/// Refuses a process id that belongs to another process than when the rotation last inspected the machine.
fn refuse_reused(opened: &Opened, now: Incarnation) -> Result<(), Problem> {
    let pid = |who: Incarnation| process_of(who).map(|id| id.pid);
    let seen = opened.state.look().map(|look| look.seen.as_ref());
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
            .help(look_again_in(opened))),
    }
}

fn real(path: &str) -> Option<String> {
    Path::new(path).canonicalize().ok().map(|path| path.display().to_string())
}

/// A file of the open rotation, as `status` names it or by its path: its number, and its name there.
fn file_of(opened: &Opened, path: &str, places: &Places) -> Result<(FileId, String), Problem> {
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let recorded = runtime.block_on(journal.load(&opened.id)).map_err(|error| unread(&error))?;
    let called = Called::of(&recorded);
    let all: Vec<(FileId, String)> =
        (0..).map(FileId).take(opened.state.plan().files.len()).map(|id| (id, called.file(id))).collect();
    let absolute = real(path);
    let is_it = |known: &str| known == path || absolute.as_deref() == Some(known);
    if let Some(found) = all.iter().find(|(_, known)| is_it(known)) {
        return Ok(found.clone());
    }
    let names: Vec<&str> = all.iter().map(|(_, known)| known.as_str()).collect();
    Err(waiving()
        .because(format!("rotation {} does not write {path}; it writes {}", opened.id, names.join(", ")))
        .help("a copy that is not declared is waived by: keyroll consumer waive")
        .exits(Exit::Usage))
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
