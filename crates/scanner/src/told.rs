use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_history::Origin;

use crate::finding::{Commit, Finding, Identity, Place, What};
use crate::report::FINDINGS_MAX;
use crate::{Accepted, Position};

/// What is told once of a history, however many versions of a file have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) what: What,
    pub(crate) identity: Identity,
    pub(crate) form: Option<&'static str>,
    /// None of a message.
    pub(crate) path: Option<PathBuf>,
    pub(crate) inside: Vec<String>,
}

/// Where it stands, and which commits had it.
pub(crate) struct Held {
    pub(crate) commit: Commit,
    /// The places of its first and last commit among all.
    pub(crate) orders: (u32, u32),
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) name: Option<String>,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

/// What was found in a history, and where it came from.
#[derive(Default)]
pub(crate) struct Told {
    by_subject: BTreeMap<Subject, Held>,
    pub(crate) left_out: u64,
}

impl Told {
    /// The first that had it, and the last that still had it; the line is that of the last.
    pub(crate) fn add(&mut self, subject: Subject, held: Held) {
        if let Some(known) = self.by_subject.get_mut(&subject) {
            join(known, held);
        } else if self.by_subject.len() < FINDINGS_MAX {
            self.by_subject.insert(subject, held);
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn findings(self) -> impl Iterator<Item = Finding> {
        self.by_subject.into_iter().map(|(subject, held)| Finding {
            identity: subject.identity,
            what: subject.what,
            name: held.name,
            form: subject.form,
            place: Place {
                source: Some(format!("commit {}", short(&held.commit.first))),
                path: subject.path,
                inside: subject.inside,
                start: held.start,
                end: held.end,
                commit: Some(held.commit),
            },
            accepted: held.accepted,
            remark: held.remark,
            asked: None,
        })
    }
}

fn join(known: &mut Held, other: Held) {
    let (commit, there) = (&mut known.commit, other.commit);
    let (orders, others) = (&mut known.orders, other.orders);
    if others.0 < orders.0 {
        orders.0 = others.0;
        (commit.first, commit.first_s, commit.author) = (there.first, there.first_s, there.author);
    }
    if others.1 > orders.1 || there.in_head && !commit.in_head {
        orders.1 = others.1;
        (commit.last, commit.last_s) = (there.last, there.last_s);
        (known.start, known.end) = (other.start, other.end);
        known.name = other.name;
        (known.accepted, known.remark) = (other.accepted, other.remark);
    }
    commit.in_head |= there.in_head;
}

/// As many digits as git shows.
pub(crate) fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

pub(crate) fn orders_of(origin: &Origin) -> (u32, u32) {
    (origin.order, origin.last.order)
}

pub(crate) fn commit_of(origin: &Origin) -> Commit {
    Commit {
        first: origin.commit.to_string(),
        author: format!("{} <{}>", origin.author_name, origin.author_email),
        first_s: origin.time,
        last: origin.last.commit.to_string(),
        last_s: origin.last.time,
        in_head: origin.in_head,
    }
}
