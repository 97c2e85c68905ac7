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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AcceptedBy;

    /// Where the last one has an even place, it is accepted.
    fn held(orders: (u32, u32), in_head: bool) -> Held {
        let (first, last) = (format!("first {}", orders.0), format!("last {}", orders.1));
        let commit = Commit { first, author: String::new(), first_s: 0, last, last_s: 0, in_head };
        let at = Position { line: orders.1.into(), column: 1 };
        let by_comment = || Accepted { by: AcceptedBy::Comment, reason: "a test".to_owned(), until: None };
        let accepted = orders.1.is_multiple_of(2).then(by_comment);
        Held { commit, orders, start: at, end: at, accepted, remark: None }
    }

    #[test]
    fn the_first_and_the_last_of_all_are_told_and_what_the_last_says() {
        let what = What::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
        let identity = Identity::read(&"0a".repeat(16)).unwrap();
        for (all, first, last, in_head) in [
            ([((3, 4), false), ((1, 7), false), ((2, 5), false)], "first 1", 7_u64, false),
            ([((3, 5), false), ((4, 8), false), ((2, 6), false)], "first 2", 8, false),
            ([((3, 9), false), ((4, 6), true), ((2, 5), false)], "first 2", 6, true),
        ] {
            let mut told = Told::default();
            for (orders, in_head) in all {
                let (what, identity) = (what.clone(), identity.clone());
                let subject = Subject { what, identity, form: None, path: None, inside: Vec::new() };
                told.add(subject, held(orders, in_head));
            }
            let all: Vec<Finding> = told.findings().collect();
            let [one] = &all[..] else { panic!("{}", all.len()) };
            let commit = one.place.commit.as_ref().unwrap();
            assert_eq!((commit.first.as_str(), commit.in_head), (first, in_head));
            assert_eq!((&commit.last, one.place.start.line), (&format!("last {last}"), last));
            assert_eq!(one.is_open(), !last.is_multiple_of(2));
        }
    }
}
