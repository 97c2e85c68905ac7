use std::borrow::Cow;
use std::collections::BTreeSet;

use keyroll_observe::{After, ProcessId, called, called_in_folder};
use keyroll_trace::{
    Basis, Chain, Evidence, LinkRole, Memory, Risk, Risks, Row, Store, SurveyedSecret, User, ValueId,
    Verdict, chains_of, rows,
};

use crate::cause::{Cause, doubt, verdict_word};
use crate::clock::started;
use crate::found::{
    ChainShown, CopyShown, FoundShown, InstanceShown, LinkShown, MemoryShown, StoreShown, UserShown,
    ValueShown,
};
use crate::grounds::grounds;
use crate::look::Inventory;
use crate::plain::plain;

impl Inventory {
    /// One value of a secret, without any of its secret characters.
    pub fn value(&self, found: &SurveyedSecret, id: ValueId) -> ValueShown {
        let label = self.survey.values.get(id).map(|value| value.label(self.digits).to_string());
        let version = found.versions.get(&id);
        ValueShown {
            label: label.unwrap_or_default(),
            version: version.map(|version| version.number),
            state: version.map(|version| version.state.into()),
        }
    }

    /// The same in words.
    pub fn label(&self, found: &SurveyedSecret, id: ValueId) -> String {
        self.value(found, id).text()
    }

    fn labels(&self, found: &SurveyedSecret, ids: &BTreeSet<ValueId>) -> Vec<String> {
        ids.iter().map(|id| self.label(found, *id)).collect()
    }

    /// One secret.
    pub fn secret(&self, found: &SurveyedSecret, risks: &mut Risks) -> FoundShown {
        let all = risks.of(found);
        FoundShown {
            secret: found.name.clone(),
            managed: found.managed,
            values: found.values.iter().map(|id| self.value(found, *id)).collect(),
            copies: self.copies(found),
            used_by: found.users.iter().map(|user| self.user(found, user)).collect(),
            shared: found.shared(),
            risks: risks_of(&all),
            pods_hidden: false,
            risk: in_short(&all),
        }
    }

    fn copies(&self, found: &SurveyedSecret) -> Vec<CopyShown> {
        let copy = |(place, sighting): (&keyroll_trace::Place, &keyroll_trace::Sighting)| CopyShown {
            place: place.to_string(),
            name: sighting.name.as_deref().map(|name| self.names.shown(name)),
            value: self.label(found, sighting.value),
            form: sighting.encoding.name().into(),
        };
        found.copies().into_iter().map(copy).collect()
    }

    fn user(&self, found: &SurveyedSecret, user: &User) -> UserShown {
        let winners = chains_of(&self.survey, found, user).into_iter().filter_map(Chain::winner);
        UserShown {
            keeper: user.managed_by.name().into(),
            name: user.name.clone(),
            program: self.named(user),
            processes: user.processes.iter().map(|process| process.pid).collect(),
            pods: Vec::new(),
            applies: winners.filter_map(|link| link.applies.clone()).next(),
        }
    }

    /// The name of what runs. A service has its own name. Without a manager it is the program of this process, because
    /// its parent may be a shell or a tool that started many programs; of a worker the program of its master.
    pub fn program(&self, user: &User, process: Option<&ProcessId>) -> String {
        if user.managed_by.is_service() {
            return user.name.clone();
        }
        let master = |process| Some(self.survey.instances.get(process)?.worker?.of);
        let found = process.and_then(|process| {
            let process = master(process).unwrap_or(*process);
            self.survey.listing.seen.iter().find(|one| one.id == process)
        });
        let own = || {
            let numbered = user.name.rsplit_once(' ').filter(|(_, pid)| pid.parse::<u32>().is_ok());
            numbered.map_or(user.name.as_str(), |(name, _)| name).to_owned()
        };
        found.map_or_else(own, called_in_folder)
    }

    /// The name of a user in a list. Of an agent its own, also where only a program that it started holds the value.
    pub(crate) fn named(&self, user: &User) -> String {
        let service = user.service.and_then(|at| self.survey.services.get(at));
        let agent = service.filter(|one| one.agent.is_some()).and_then(|one| one.processes.first());
        self.program(user, agent.or(user.processes.first()))
    }

    /// Every process that uses a secret.
    pub fn instances(&self, found: &SurveyedSecret) -> Vec<InstanceShown> {
        rows(&self.survey, found).iter().map(|row| self.instance(found, row)).collect()
    }

    /// One process that uses a secret.
    pub fn instance(&self, found: &SurveyedSecret, row: &Row<'_>) -> InstanceShown {
        let (searched, values) = match &row.held.memory {
            Memory::NotSearched => ("not searched", Vec::new()),
            Memory::Closed => ("closed", Vec::new()),
            Memory::Common => ("inconclusive", Vec::new()),
            Memory::Whole(all) => ("whole", self.labels(found, all)),
            Memory::InPart(all) => ("in part", self.labels(found, all)),
        };
        let cause = Cause::of(self, found, row);
        InstanceShown {
            secret: found.name.clone(),
            used_by: row.user.name.clone(),
            keeper: row.user.managed_by.name().into(),
            program: self.program(row.user, Some(&row.process)),
            pid: Some(row.process.pid),
            pod: None,
            started: started(row.process.start_ticks),
            name: row.chain.map(|chain| self.names.shown(&chain.name)),
            start: row.held.start.as_ref().map(|all| self.labels(found, all)),
            memory: MemoryShown { searched: searched.into(), values },
            next: row.chain.and_then(Chain::next).map(|id| self.label(found, id)),
            verdict: verdict_word(row.verdict).into(),
            cause: cause.whole(),
            applies: cause.applies().map(str::to_owned),
            seems: cause.seems().map(str::to_owned),
            sentence: cause.text,
            started_ticks: row.process.start_ticks,
            unread_edit: self.has_unread_edit(row),
            doubt: match row.verdict {
                Verdict::Unknown(why) | Verdict::LikelyStale(why) => Some(doubt(why).into()),
                Verdict::Current | Verdict::Stale | Verdict::Mixed => None,
            },
            grounds: grounds(self, found, row),
            evidence: Vec::new(),
        }
    }

    /// Whether somebody edited a copy that looks like a source of the process, and the process will not see it.
    fn has_unread_edit(&self, row: &Row<'_>) -> bool {
        let links = row.chain.map(|chain| chain.links.as_slice()).unwrap_or_default();
        let next = row.chain.and_then(Chain::next);
        links.iter().any(|link| {
            let file = link.place.as_ref().and_then(keyroll_trace::Place::file);
            // A manager that has not read its own configuration again has not done so for a restart either.
            let unloaded = link.role == LinkRole::NotRead && row.user.managed_by.is_service();
            let idle = matches!(link.role, LinkRole::NotRead | LinkRole::Shadowed);
            // It was started after the edit, from a shell that had read the file before.
            let exported = link.role == LinkRole::NotRead && link.basis == Basis::Names;
            let later =
                |path| unloaded || exported || self.survey.started_after(&row.process, path) == After::No;
            idle && link.value.is_some() && link.value != next && file.is_some_and(later)
        })
    }

    /// Every process that uses a secret, each with all observations of it.
    pub fn instances_with_evidence(&self, found: &SurveyedSecret) -> Vec<InstanceShown> {
        let versions = found.values.iter().copied().collect();
        let shown = |row: &Row<'_>| {
            let all = self.survey.evidence(&row.process, &versions);
            let mut evidence: Vec<String> = all.iter().filter_map(|one| self.thread(found, one)).collect();
            for (wanted, word) in [(After::Yes, "after"), (After::No, "before")] {
                let files = all.iter().filter_map(|one| {
                    let Evidence::Started { path, after } = one else { return None };
                    (*after == wanted).then(|| keyroll_observe::shown(path))
                });
                let files: Vec<String> = files.collect();
                if !files.is_empty() {
                    evidence.push(format!("was started {word} the last change of {}", files.join(", ")));
                }
            }
            InstanceShown { evidence, ..self.instance(found, row) }
        };
        rows(&self.survey, found).iter().map(shown).collect()
    }

    /// One observation of a process.
    fn thread(&self, found: &SurveyedSecret, seen: &Evidence) -> Option<String> {
        let path = |path: &std::path::Path| keyroll_observe::shown(path);
        Some(match seen {
            Evidence::StartedWith { place, value } => {
                format!("was started with {}: {place}", self.label(found, *value))
            }
            Evidence::InheritedFrom { process, value } => {
                format!("has {} from its parent, process {}", self.label(found, *value), process.pid)
            }
            Evidence::ForkOf(process) => {
                format!(
                    "is a fork of process {} and has executed no program since: it has what its parent had loaded",
                    process.pid
                )
            }
            Evidence::InMemory { value, copies } => {
                let times = if *copies == 1 { "once".to_owned() } else { format!("{copies} times") };
                format!("holds {} in its memory, {times}", self.label(found, *value))
            }
            Evidence::HasOpen { path: file, replaced: false } => format!("has {} open", path(file)),
            Evidence::HasOpen { path: file, replaced: true } => {
                format!("has an earlier version of {} open, which has been replaced", path(file))
            }
            // These are summed up elsewhere: there may be as many as copies.
            Evidence::Started { .. } => return None,
        })
    }

    /// The encrypted stores that were found and cannot be read.
    pub fn stores(&self) -> Vec<StoreShown> {
        let name = |process: &ProcessId| {
            let one = self.survey.listing.seen.iter().find(|one| one.id == *process);
            format!("{} (pid {})", one.map_or_else(|| "?".to_owned(), called), process.pid)
        };
        let shown = |store: &Store| StoreShown {
            path: keyroll_observe::shown(&store.path),
            encrypted_with: store.kind.into(),
            used_by: store.used_by.iter().map(name).collect(),
        };
        self.survey.stores.iter().map(shown).collect()
    }

    /// The chains by which a service or process gets a secret.
    pub fn chains(&self, found: &SurveyedSecret, user: &User) -> Vec<ChainShown> {
        let link = |link: &keyroll_trace::Link| {
            let (standing, why) = match link.role {
                LinkRole::Wins => ("wins", None),
                LinkRole::Shadowed => ("shadowed", None),
                LinkRole::NotRead => ("not read", None),
                LinkRole::NotThere => ("not there", None),
                LinkRole::NotVisible(why) => ("not visible", Some(why)),
            };
            LinkShown {
                what: link.what.clone(),
                place: link.place.as_ref().map(ToString::to_string),
                value: link.value.map(|id| self.label(found, id)),
                standing: standing.into(),
                why: why.map(Cow::Borrowed),
                applies: link.applies.clone(),
                seems: link.seems.clone(),
            }
        };
        let shown = |chain: &Chain| ChainShown {
            secret: found.name.clone(),
            used_by: user.name.clone(),
            keeper: user.managed_by.name().into(),
            name: self.names.shown(&chain.name),
            links: chain.links.iter().map(link).collect(),
        };
        chains_of(&self.survey, found, user).into_iter().map(shown).collect()
    }
}

/// Risks in words, each kind once: `world-readable: ./.env and 2 more`.
fn risks_of(all: &BTreeSet<Risk>) -> Vec<String> {
    let mut kinds: Vec<(&str, Option<String>, usize)> = Vec::new();
    for risk in all {
        let (kind, what) = match risk {
            Risk::OthersRead(path) => ("world-readable:", Some(keyroll_observe::shown(path))),
            Risk::Arguments(process) => ("in the command line of process", Some(process.to_string())),
            Risk::Image(name) => ("in image", Some(plain(name))),
            Risk::Tracked(path) => ("tracked by git:", Some(keyroll_observe::shown(path))),
            Risk::TrackedUnknown(path) => {
                ("perhaps tracked by git (its index is not visible):", Some(keyroll_observe::shown(path)))
            }
            Risk::Leftover(path) => ("leftover:", Some(keyroll_observe::shown(path))),
            Risk::Retired(path) => ("holds a retired version:", Some(keyroll_observe::shown(path))),
            Risk::Differ => ("copies differ", None),
        };
        match kinds.iter_mut().find(|(known, _, _)| *known == kind) {
            Some((_, _, count)) => *count += 1,
            None => kinds.push((kind, what, 1)),
        }
    }
    let text = |(kind, what, count): (&str, Option<String>, usize)| {
        let what = what.map(|what| format!(" {what}")).unwrap_or_default();
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        format!("{kind}{what}{more}")
    };
    kinds.into_iter().map(text).collect()
}

/// The same in few words, risks for a rotation first: `copies differ, world-readable ×3`.
fn in_short(all: &BTreeSet<Risk>) -> String {
    const WORDS: [&str; 8] = [
        "copies differ",
        "retired version",
        "old copy",
        "in a command line",
        "world-readable",
        "in git",
        "in an image",
        "perhaps in git",
    ];
    let word = |risk: &Risk| match risk {
        Risk::Differ => 0,
        Risk::Retired(_) => 1,
        Risk::Leftover(_) => 2,
        Risk::Arguments(_) => 3,
        Risk::OthersRead(_) => 4,
        Risk::Tracked(_) => 5,
        Risk::Image(_) => 6,
        Risk::TrackedUnknown(_) => 7,
    };
    let said = WORDS.iter().enumerate().filter_map(|(at, text)| {
        match all.iter().filter(|risk| word(risk) == at).count() {
            0 => None,
            1 => Some((*text).to_owned()),
            several => Some(format!("{text} ×{several}")),
        }
    });
    said.collect::<Vec<_>>().join(", ")
}
