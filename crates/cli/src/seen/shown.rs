use std::collections::BTreeSet;

use keyroll_needle::Encoding;
use keyroll_trace::{
    Chain, Found, Keeper, Memory, Risk, Risks, Row, Standing, User, ValueId, chains_of, rows,
};

use super::{Seen, cause, verdict_word};
use crate::records::blocked::started;
use crate::ui::{
    ChainShown, CopyShown, FoundShown, InstanceShown, LinkShown, MemoryShown, UserShown, ValueShown,
};

impl Seen {
    /// One value of a secret, without any of its characters that say something.
    pub(crate) fn value(&self, found: &Found, id: ValueId) -> ValueShown {
        let label = self.survey.values.get(id).map(|value| value.label(self.digits).to_string());
        let version = found.versions.get(&id);
        ValueShown {
            label: label.unwrap_or_default(),
            version: version.map(|version| version.number),
            state: version.map(|version| version.state),
        }
    }

    /// The same in words.
    pub(crate) fn label(&self, found: &Found, id: ValueId) -> String {
        self.value(found, id).text()
    }

    fn labels(&self, found: &Found, ids: &BTreeSet<ValueId>) -> Vec<String> {
        ids.iter().map(|id| self.label(found, *id)).collect()
    }

    /// One secret.
    pub(crate) fn secret(&self, found: &Found, risks: &mut Risks) -> FoundShown {
        FoundShown {
            secret: found.name.clone(),
            managed: found.managed,
            values: found.values.iter().map(|id| self.value(found, *id)).collect(),
            copies: self.copies(found),
            used_by: found.users.iter().map(|user| self.user(found, user)).collect(),
            shared: found.shared(),
            risks: risks_of(&risks.of(found)),
        }
    }

    fn copies(&self, found: &Found) -> Vec<CopyShown> {
        let copy = |(place, sighting): (&keyroll_trace::Place, &keyroll_trace::Sighting)| CopyShown {
            place: place.to_string(),
            name: sighting.name.clone(),
            value: self.label(found, sighting.value),
            form: form(sighting.encoding),
        };
        found.copies().into_iter().map(copy).collect()
    }

    fn user(&self, found: &Found, user: &User) -> UserShown {
        let winners = chains_of(&self.survey, found, user).into_iter().filter_map(winner);
        UserShown {
            keeper: keeper(user.keeper),
            name: user.name.clone(),
            processes: user.processes.iter().map(|process| process.pid).collect(),
            applies: winners.filter_map(|link| link.applies.clone()).next(),
        }
    }

    /// Every process that uses a secret.
    pub(crate) fn instances(&self, found: &Found) -> Vec<InstanceShown> {
        rows(&self.survey, found).iter().map(|row| self.instance(found, row)).collect()
    }

    pub(crate) fn instance(&self, found: &Found, row: &Row<'_>) -> InstanceShown {
        let (searched, values) = match &row.held.memory {
            Memory::NotSearched => ("not searched", Vec::new()),
            Memory::Closed => ("closed", Vec::new()),
            Memory::Common => ("says nothing", Vec::new()),
            Memory::Whole(all) => ("whole", self.labels(found, all)),
            Memory::InPart(all) => ("in part", self.labels(found, all)),
        };
        InstanceShown {
            secret: found.name.clone(),
            used_by: row.user.name.clone(),
            keeper: keeper(row.user.keeper),
            pid: row.process.pid,
            started: started(row.process.start_ticks),
            name: row.chain.map(|chain| chain.name.clone()),
            start: row.held.start.as_ref().map(|all| self.labels(found, all)),
            memory: MemoryShown { searched, values },
            next: row.chain.and_then(Chain::next).map(|id| self.label(found, id)),
            verdict: verdict_word(row.verdict),
            cause: cause(self, found, row),
        }
    }

    /// The chains by which a user takes a secret.
    pub(crate) fn chains(&self, found: &Found, user: &User) -> Vec<ChainShown> {
        let link = |link: &keyroll_trace::Link| {
            let (standing, why) = match link.standing {
                Standing::Wins => ("wins", None),
                Standing::Shadowed => ("shadowed", None),
                Standing::NotRead => ("not read", None),
                Standing::NotThere => ("not there", None),
                Standing::NotVisible(why) => ("not visible", Some(why)),
            };
            LinkShown {
                what: link.what.clone(),
                place: link.place.as_ref().map(ToString::to_string),
                value: link.value.map(|id| self.label(found, id)),
                standing,
                why,
                applies: link.applies.clone(),
                seems: link.seems.clone(),
            }
        };
        let shown = |chain: &Chain| ChainShown {
            secret: found.name.clone(),
            used_by: user.name.clone(),
            keeper: keeper(user.keeper),
            name: chain.name.clone(),
            links: chain.links.iter().map(link).collect(),
        };
        chains_of(&self.survey, found, user).into_iter().map(shown).collect()
    }
}

/// The link that a new start would take.
pub(crate) fn winner(chain: &Chain) -> Option<&keyroll_trace::Link> {
    chain.links.iter().find(|link| link.standing == Standing::Wins)
}

/// What keeps something, in a word.
pub(crate) fn keeper(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Systemd => "systemd",
        Keeper::SystemdUser => "systemd of a user",
        Keeper::Compose => "compose",
        Keeper::Docker => "docker",
        Keeper::Pm2 => "pm2",
        Keeper::Supervisord => "supervisord",
        Keeper::Cron => "cron",
        Keeper::Session => "a session",
        Keeper::Agent => "an agent: explained, not delivered yet",
        Keeper::Nobody => "nobody",
    }
}

fn form(encoding: Encoding) -> &'static str {
    encoding.name()
}

/// Risks for people, each kind once: `everybody may read ./.env (and 2 more)`.
fn risks_of(all: &BTreeSet<Risk>) -> Vec<String> {
    let mut kinds: Vec<(&str, Option<String>, usize)> = Vec::new();
    for risk in all {
        let (kind, what) = match risk {
            Risk::OthersRead(path) => ("everybody may read", Some(keyroll_observe::shown(path))),
            Risk::Arguments(process) => ("in the command line of process", Some(process.to_string())),
            Risk::Tracked(path) => ("tracked by git:", Some(keyroll_observe::shown(path))),
            Risk::TrackedUnknown(path) => {
                ("perhaps tracked by git (its index is not visible):", Some(keyroll_observe::shown(path)))
            }
            Risk::Leftover(path) => ("left behind:", Some(keyroll_observe::shown(path))),
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
