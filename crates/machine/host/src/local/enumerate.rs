//! One look at all instances, holders, files and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_manager::InstanceProcess;
use keyroll_observe::{
    FileLimits, Hidden, HoldersReport, Listing, NotSeen, NotVisible, Place, ProcessId, Search, Sockets,
    called_in_folder, process, processes, search_files, search_holders, shown, unit_folders,
};
use keyroll_port::{Class, Failure, Holder, Looked, Named, Sessions, Values};
use keyroll_rotation::{
    ConsumerId, Enumeration, FoundBy, Incarnation, ObservedInstance, SessionSeen, Visibility, Which,
};

use super::concurrent_scanners::searches;
use super::find::{NEW, OLD, Sought, needle, place_digest};
use super::managers::keeps;
use super::running::Running;
use super::unsearched::{UNSEARCHED_MAX, unsearched};
use super::{ConsumerSetup, Local, not_seen, process_of};

/// How long a listing of processes or sockets may take, milliseconds.
const LISTING_MS_MAX: u64 = 10_000;

/// The most files and folders that one look reports as not searched.
const NOT_VISIBLE_MAX: usize = 50;

pub(super) fn listing() -> Result<Listing, Failure> {
    processes(Duration::from_millis(LISTING_MS_MAX)).map_err(|reason| {
        Failure::new(Class::Retryable, Code::ProcessesHidden, "list the processes")
            .because(reason.to_string())
    })
}

pub(super) fn sockets(listing: &Listing, servers: &[u16]) -> Option<Sockets> {
    Sockets::read(listing, servers, Duration::from_millis(LISTING_MS_MAX)).ok()
}

/// Omits sessions that exist only in the issuer's list: if no process of this machine has the socket, the connection is
/// gone.
fn still_there<'s>(
    going: &'s [keyroll_port::Session],
    sessions: &Sessions,
    sockets: &Sockets,
) -> Vec<&'s keyroll_port::Session> {
    let all = sessions.old.iter().chain(&sessions.new).flatten();
    let shown: Vec<SocketAddr> = all.filter_map(|session| session.client).collect();
    let gone = |session: &keyroll_port::Session| {
        session.client.is_some_and(|client| sockets.is_gone(client, &shown))
    };
    going.iter().filter(|session| !gone(session)).collect()
}

/// The result of the search through processes, by process.
struct Sights {
    report: HoldersReport,
    blind: BTreeSet<ProcessId>,
    /// The processes that were listed before the search. One that started later was not searched.
    listed: BTreeSet<ProcessId>,
}

impl Sights {
    fn of(&self, process: &ProcessId, id: u32) -> Visibility {
        let holder = self.report.holders.iter().find(|holder| holder.process.id == *process);
        let held = holder.is_some_and(|holder| holder.places.values().any(|ids| ids.contains(&id)));
        match (held, self.blind.contains(process) || !self.listed.contains(process)) {
            (true, _) => Visibility::Yes,
            (false, true) => Visibility::NotVisible,
            (false, false) => Visibility::No,
        }
    }
}

impl Local {
    fn instance(&self, one: &Running, old: Visibility, new: Visibility) -> ObservedInstance {
        let (who, consumer) = (self.incarnation(&one.process), Some(one.consumer));
        ObservedInstance { who, consumer, slot: one.slot, old, new, by: FoundBy::Configured }
    }

    /// Every process of every consumer, with the slot that it belongs to.
    pub(super) fn running(&self, listing: &Listing) -> Result<Vec<Running>, Failure> {
        self.running_in(listing, ConsumerId(u16::MAX))
    }

    /// The processes of the consumers up to this one, with a listing of this moment, if one of their managers needs it.
    pub(super) fn running_until(&self, last: ConsumerId) -> Result<Vec<Running>, Failure> {
        let mut slots = self.consumers_until(last).flat_map(|(_, setup)| &setup.slots);
        let listing =
            if slots.any(|slot| slot.run.needs_listing()) { listing()? } else { Listing::default() };
        self.running_in(&listing, last)
    }

    fn consumers_until(&self, last: ConsumerId) -> impl Iterator<Item = (ConsumerId, &ConsumerSetup)> {
        self.setup.consumer_ids().take_while(move |(id, _)| *id <= last)
    }

    /// A process belongs to the first consumer that names it and has no successor; one below a `keyroll run` to that one's
    /// consumer, unless another one names it.
    fn running_in(&self, listing: &Listing, last: ConsumerId) -> Result<Vec<Running>, Failure> {
        let (mut found, mut taken, mut below_one) = (Vec::new(), BTreeSet::new(), Vec::new());
        for (consumer, setup) in self.setup.consumer_ids() {
            if consumer > last && below_one.is_empty() {
                break;
            }
            if setup.succeeded {
                continue;
            }
            let below = self.below(setup, listing);
            for (slot, one) in (0u8..).zip(&setup.slots) {
                let mut all = one.run.instances_in(listing)?.into_iter().peekable();
                while let Some(InstanceProcess { process, main, .. }) = all.next() {
                    let below = below.get(&process).copied();
                    // What runs below the first process of a container follows it. With nothing there, it is the program.
                    let has_program = all.peek().is_some_and(|next| !next.main);
                    let is_init = main && has_program && one.run.is_init(&process);
                    let one = Running { consumer, slot, process, below, is_init };
                    if below.is_some() {
                        below_one.push(one);
                    } else if taken.insert(process) {
                        found.push(one);
                    }
                }
            }
        }
        found.extend(below_one.into_iter().filter(|one| taken.insert(one.process)));
        found.retain(|one| one.consumer <= last);
        Ok(found)
    }

    pub(super) fn enumerate_all(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        self.ledger_is_read()?;
        let needles = self.needles(values)?;
        self.look_for(Sought { by: &*needles, values }, sessions, stays)
    }

    /// One look by this search.
    pub(super) fn look_for(
        &self,
        sought: Sought<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        let Sought { by, values } = sought;
        let listing = listing()?;
        let running = self.running(&listing)?;
        let limits = self.setup.search;
        let first = self.searched_first(&running);
        let report = search_holders(&listing, by, &first, Some(limits.of_one()), limits.time_max);
        let blind = report.not_seen.iter().map(|missed| missed.process).collect();
        let listed = listing.seen.iter().map(|process| process.id).collect();
        let sights = Sights { report, blind, listed };
        let mut seen = self.instances(&running, &sights, stays);
        let going = sessions.of(stays.other());
        let sockets = sockets(&listing, &self.setup.servers);
        // Without the sockets no session leads to its process, and an environment that was not read may mean one more
        // holder. Such a look proves nothing, and is repeated.
        let unsearched = unsearched(self.setup.host, &sights.report);
        let few = unsearched.len() <= UNSEARCHED_MAX;
        let complete = few && !cut_short(&sights.report) && (going.is_none() || sockets.is_some());
        let sockets = sockets.unwrap_or_default();
        let helpers = self.helpers(&listing, values, stays);
        let mut found_by = self.holders(&running, &sights, &helpers, (&sockets, sessions), &mut seen);
        running.iter().for_each(|one| self.note_sessions(one, sessions, &sockets));
        let joined = going.map(|going| {
            let there = still_there(going, sessions, &sockets);
            self.join_sessions(&there, &sockets, &running, stays, &mut seen, &mut found_by)
        });
        let joined = self.join_words(joined, &running, stays, values);
        let files = self.setup.file_ids().map(|(id, file)| (id, self.holds(file, values, stays))).collect();
        let goes = needle(stays.other());
        let (strangers, names, mut not_visible) = self.strangers(values, by, goes);
        not_visible.extend(not_seen::lines(&sights.report.not_seen));
        not_visible.extend(listing.hidden.iter().map(hidden));
        self.memo().found_by.extend(found_by);
        let undeclared = seen.iter().filter(|it| it.consumer.is_none()).map(|it| it.who);
        let undeclared = undeclared.chain(unsearched.iter().map(|it| it.who)).collect();
        let bystanders = self.bystanders(&listing, &sights.report, &running, undeclared);
        Ok(Looked {
            enumeration: Enumeration {
                complete,
                took_ms: 0,
                instances: seen,
                files,
                sessions: joined,
                absent: Vec::new(),
                strangers,
                unsearched,
                bystanders,
            },
            names,
            not_visible,
            downtimes: self.take_downtimes(),
        })
    }

    /// The instances, and the processes that held a value at an earlier look: the time must suffice for them.
    fn searched_first(&self, running: &[Running]) -> BTreeSet<ProcessId> {
        let memo = self.memo();
        let held = memo.found_by.keys().filter_map(|who| process_of(*who));
        running.iter().map(|one| one.process).chain(held).collect()
    }

    /// Without what is below a `keyroll run`, if it is not seen to hold the version that goes: an agent starts such processes
    /// all the time. Memory of theirs that was not searched is counted in the consent. Without the init process of a container,
    /// if it is seen not to hold that version: nobody's word is about it.
    fn instances(&self, running: &[Running], sights: &Sights, stays: Which) -> Vec<ObservedInstance> {
        let observed = |one: &Running| {
            let (old, new) = (sights.of(&one.process, OLD), sights.of(&one.process, NEW));
            let goes = sights.of(&one.process, needle(stays.other()));
            let is_covered = match one.below {
                Some(_) => goes != Visibility::Yes,
                None => one.is_init && goes == Visibility::No,
            };
            (!is_covered).then(|| self.instance(one, old, new))
        };
        let mut seen: Vec<ObservedInstance> = running.iter().filter_map(observed).collect();
        for (id, _) in self.setup.consumer_ids() {
            if !running.iter().any(|one| one.consumer == id) {
                seen.push(ObservedInstance {
                    who: self.at_rest(id),
                    consumer: Some(id),
                    slot: 0,
                    old: Visibility::NotVisible,
                    new: Visibility::NotVisible,
                    by: FoundBy::Configured,
                });
            }
        }
        seen
    }

    /// Whether a holder is a manager that read the value only to pass it on, such as systemd or a container engine: its
    /// memory keeps the value, but it never presents it. Sweep names such processes.
    fn hands_on(&self, holder: &keyroll_observe::Holder) -> bool {
        let mut slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        let in_memory_alone = !holder.places.contains_key(&Place::Environment);
        in_memory_alone && slots.any(|slot| slot.run.is_handed_on_by(&holder.process))
    }

    /// Whether a holder is the server that accepts the credential: its memory keeps what clients present (seen with
    /// Redis 7, which does not overwrite what it read). If it presented the value itself, its session would make it a
    /// holder. A process that merely listens there may be a pooler, which holds the value for itself. Therefore it
    /// counts as the server only after a session that the issuer shows was seen to end at its socket; from then on,
    /// until it ends.
    fn is_issuer(&self, holder: &keyroll_observe::Holder, sockets: &Sockets, sessions: &Sessions) -> bool {
        let process = holder.process.id;
        if holder.places.contains_key(&Place::Environment)
            || !sockets.listens(&process, &self.setup.issuer_at)
        {
            return false;
        }
        let shown = sessions.old.iter().chain(&sessions.new).flatten().filter_map(|session| session.client);
        let serves = shown.into_iter().any(|client| sockets.serves(&process, &self.setup.issuer_at, client));
        let who = self.incarnation(&process);
        let mut memo = self.memo();
        if serves {
            memo.servers.insert(who);
        }
        memo.servers.contains(&who)
    }

    /// Undeclared processes that hold a value. A shell that merely exports it is not one.
    fn holders(
        &self,
        running: &[Running],
        sights: &Sights,
        helpers: &BTreeMap<ProcessId, bool>,
        (sockets, sessions): (&Sockets, &Sessions),
        seen: &mut Vec<ObservedInstance>,
    ) -> BTreeMap<Incarnation, String> {
        let mut found_by = BTreeMap::new();
        let keepers = self.keepers();
        for holder in &sights.report.holders {
            let known = running.iter().any(|one| one.process == holder.process.id);
            let shown = holder.shell || self.hands_on(holder) || self.is_issuer(holder, sockets, sessions);
            let hands_on = holder.places.contains_key(&Place::Environment);
            let helps = helpers.get(&holder.process.id).is_some_and(|waits| *waits || !hands_on);
            if known || shown || helps || keeps(&keepers, holder) || searches(holder) {
                continue;
            }
            let who = self.incarnation(&holder.process.id);
            let in_memory = holder.places.contains_key(&Place::Memory);
            let by = if in_memory { FoundBy::Memory } else { FoundBy::Environment };
            let versions: BTreeSet<u32> = holder.places.values().flatten().copied().collect();
            let text = match (versions.contains(&OLD), versions.contains(&NEW)) {
                (true, true) => "both versions",
                (true, false) => "the old version",
                (false, _) => "the new version",
            };
            let place = if in_memory { "memory" } else { "environment" };
            found_by.insert(who, format!("its {place} holds {text}"));
            seen.push(ObservedInstance {
                who,
                consumer: None,
                slot: 0,
                old: sights.of(&holder.process.id, OLD),
                new: sights.of(&holder.process.id, NEW),
                by,
            });
        }
        found_by
    }

    /// Matches sessions on the version that goes to the processes at their other ends. A session makes an undeclared
    /// process a holder even if its memory is not visible.
    fn join_sessions(
        &self,
        going: &[&keyroll_port::Session],
        sockets: &Sockets,
        running: &[Running],
        stays: Which,
        seen: &mut Vec<ObservedInstance>,
        found_by: &mut BTreeMap<Incarnation, String>,
    ) -> Vec<SessionSeen> {
        let own = std::process::id();
        let mut joined = Vec::new();
        for session in going {
            let owner = session.client.and_then(|client| sockets.process_of(client));
            let owner = owner.or_else(|| session.pid.and_then(|pid| process(pid).ok()).map(|it| it.id));
            if owner.is_some_and(|owner| owner.pid == own) {
                continue;
            }
            let who = owner.map(|owner| self.incarnation(&owner));
            joined.push(SessionSeen { who, busy: session.busy });
            let (Some(owner), Some(who)) = (owner, who) else { continue };
            if let Some(one) = running.iter().find(|one| one.process == owner) {
                if seen.iter().all(|it| it.who != who) {
                    let mut covered = self.instance(one, Visibility::NotVisible, Visibility::NotVisible);
                    mark(&mut covered, stays);
                    seen.push(covered);
                }
                continue;
            }
            let client =
                session.client.map_or_else(|| "a local socket".to_owned(), |client| client.to_string());
            let text = format!("its socket {client} is a session at the issuer");
            let before = found_by.get(&who).map(|before| format!("{before}; {text}"));
            found_by.insert(who, before.unwrap_or(text));
            match seen.iter_mut().find(|it| it.who == who) {
                Some(known) => mark(known, stays),
                None => {
                    let mut one = ObservedInstance {
                        who,
                        consumer: None,
                        slot: 0,
                        old: Visibility::NotVisible,
                        new: Visibility::NotVisible,
                        by: FoundBy::Session,
                    };
                    mark(&mut one, stays);
                    seen.push(one);
                }
            }
        }
        joined
    }

    /// Undeclared copies of the value that goes (`goes` is its needle): in other files, and in other places of the
    /// configured files.
    pub(super) fn strangers(
        &self,
        values: Values<'_>,
        needles: &dyn Search,
        goes: u32,
    ) -> (Vec<u64>, Vec<Named>, Vec<String>) {
        let (mut kept, mut explained) = self.kept(values, goes);
        let left = self.left();
        let (mut names, unseen) = self.rows(values, needles, goes);
        kept.extend(left.iter().cloned());
        explained.extend(left.into_iter().filter(|path| !unseen.contains(path)));
        let roots = [self.search_roots(), kept].concat();
        let report = search_files(&roots, needles, FileLimits::default());
        let own: Vec<PathBuf> =
            self.setup.own_folders.iter().filter_map(|it| it.canonicalize().ok()).collect();
        let planned: Vec<(Option<(u64, u64)>, PathBuf)> = self
            .setup
            .files
            .iter()
            .filter_map(|file| file.path.canonicalize().ok())
            .map(|real| (inode(&real), real))
            .collect();
        for hit in report.hits.iter().filter(|hit| hit.id == goes) {
            let real = hit.path.canonicalize().unwrap_or_else(|_| hit.path.clone());
            // A hard link to a configured file is the same file: it is chance which name the search meets first.
            let found = inode(&real);
            let configured =
                planned.iter().any(|(inode, path)| *path == real || (found.is_some() && *inode == found));
            let ours =
                configured || explained.contains(&real) || own.iter().any(|folder| real.starts_with(folder));
            let named = Named { digest: place_digest(&real), name: shown(&real) };
            if !ours && !names.contains(&named) {
                names.push(named);
            }
        }
        for file in &self.setup.files {
            let lines = self.unnamed_lines(file, values, needles, goes);
            let Some(real) = file.path.canonicalize().ok().filter(|_| !lines.is_empty()) else { continue };
            let name = super::undeclared_copies::describe(&shown(&real), &lines);
            names.push(Named { digest: place_digest(&real), name });
        }
        let not_searched = report.not_searched.iter().take(NOT_VISIBLE_MAX);
        let mut not_visible: Vec<String> =
            not_searched.map(|missed| format!("{}: {}", shown(&missed.path), missed.reason)).collect();
        let more = report.not_searched.len().saturating_sub(NOT_VISIBLE_MAX);
        if more > 0 {
            not_visible.push(format!("{more} more files and folders: not named here"));
        }
        not_visible.extend(self.stopped_containers(needles, goes));
        (names.iter().map(|named| named.digest).collect(), names, not_visible)
    }

    /// The folders to search: those of the configured files and of unit files, and what the configuration adds.
    fn search_roots(&self) -> Vec<PathBuf> {
        let mut roots: BTreeSet<PathBuf> = self.setup.roots.iter().cloned().collect();
        for file in &self.setup.files {
            if let Some(folder) = file.path.parent() {
                roots.insert(folder.to_owned());
            }
        }
        roots.extend(unit_folders(&[]));
        roots.into_iter().collect()
    }

    /// The process at the other end of a connection, by the socket alone: called while the connection may still be
    /// open.
    pub(super) fn caller_at(&self, client: SocketAddr) -> Option<Holder> {
        let listing = listing().ok()?;
        let owner = sockets(&listing, &self.setup.servers)?.process_of(client)?;
        if owner.pid == std::process::id() {
            return None;
        }
        let who = self.incarnation(&owner);
        self.memo().found_by.insert(who, format!("the issuer refused it on its connection {client}"));
        self.describe_holder(who)
    }

    pub(super) fn describe_holder(&self, who: Incarnation) -> Option<Holder> {
        let id = process_of(who)?;
        let now = process(id.pid).ok().filter(|now| now.id == id)?;
        let found_by = self.memo().found_by.get(&who).cloned();
        let runs = now.exe.as_ref().map(|exe| format!("; it runs {}", shown(exe))).unwrap_or_default();
        let how_to_move = format!(
            "keyroll consumer adopt {} --name NAME --restart COMMAND, or keyroll consumer waive {} --reason WHY",
            id.pid, id.pid
        );
        Some(Holder {
            host: who.host,
            pid: Some(id.pid),
            name: called_in_folder(&now),
            found_by: found_by.unwrap_or_else(|| "an earlier look".into()) + &runs,
            how_to_move,
        })
    }
}

/// The identity of the file at a path: two names of one file have the same identity.
fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// Whether the search ended before it had tried every environment. An environment that the system refuses is final.
fn cut_short(report: &HoldersReport) -> bool {
    let late = |missed: &NotSeen| {
        missed.place == Place::Environment
            && matches!(missed.reason, NotVisible::OutOfTime | NotVisible::TooManyStuck)
    };
    report.not_seen.iter().any(late)
}

/// The text about a process that was not even listed.
pub(super) fn hidden(hidden: &Hidden) -> String {
    let what = hidden.pid.map_or_else(|| "some processes".to_owned(), |pid| format!("process {pid}"));
    format!("{what}: {}", hidden.reason)
}

fn mark(seen: &mut ObservedInstance, stays: Which) {
    match stays {
        Which::New => seen.old = Visibility::Yes,
        Which::Old => seen.new = Visibility::Yes,
    }
}
