use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_history::Origin;

use crate::finding::{Commit, Finding, FindingKind, FindingPlace, Identity};
use crate::history::git_names::short;
use crate::report::FINDINGS_MAX;
use crate::{Accepted, Position};

/// The key of a finding in a history, the same in all versions of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FindingKey {
    pub(crate) what: FindingKind,
    pub(crate) identity: Identity,
    pub(crate) form: Option<Cow<'static, str>>,
    /// `None` in a message.
    pub(crate) path: Option<PathBuf>,
    pub(crate) inside: Vec<String>,
}

/// The location of a finding, and the commits that have it.
pub(crate) struct Occurrence<'p> {
    /// The first commit that has it.
    pub(crate) first: &'p Origin,
    /// The commit of the reported location: the last one, or the one at HEAD.
    pub(crate) last: &'p Origin,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) name: Option<String>,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

/// The findings of a history, with their origins.
#[derive(Default)]
pub(crate) struct DedupedFindings<'p> {
    by_subject: BTreeMap<FindingKey, Occurrence<'p>>,
    pub(crate) left_out: u64,
}

impl<'p> DedupedFindings<'p> {
    /// Adds an occurrence, in any order: keeps the first and the last commit, and the position in the last.
    pub(crate) fn add(&mut self, subject: FindingKey, held: Occurrence<'p>) {
        if let Some(known) = self.by_subject.get_mut(&subject) {
            known.join(held);
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
            place: FindingPlace {
                host: None,
                source: Some(format!("commit {}", short(&held.first.commit.to_string()))),
                path: subject.path,
                inside: subject.inside,
                start: held.start,
                end: held.end,
                commit: Some(commit_of(held.first, held.last)),
            },
            accepted: held.accepted,
            remark: held.remark,
            asked: None,
        })
    }
}

impl Occurrence<'_> {
    /// HEAD before other commits, later before earlier ones, and in one text an open finding before an accepted one.
    fn rank(&self) -> (bool, u32, bool, Reverse<Position>) {
        (self.last.in_head, self.last.last.order, self.accepted.is_none(), Reverse(self.start))
    }

    fn join(&mut self, other: Self) {
        let first = if other.first.order < self.first.order { other.first } else { self.first };
        if other.rank() > self.rank() {
            *self = other;
        }
        self.first = first;
    }
}

fn commit_of(first: &Origin, last: &Origin) -> Commit {
    Commit {
        first: first.commit.to_string(),
        author: format!("{} <{}>", first.author_name, first.author_email),
        first_s: first.time,
        last: last.last.commit.to_string(),
        last_s: last.last.time,
        in_head: last.in_head,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_history::{Moment, ObjectId};

    use super::*;
    use crate::AcceptedBy;

    fn origin(first: u8, last: u8, in_head: bool) -> Origin {
        let id = |number: u8| ObjectId::from_bytes(&[number; 20]).unwrap();
        let last = Moment { commit: id(last), time: 0, order: last.into() };
        let (author_name, author_email) = ("One".to_owned(), "one@example.org".to_owned());
        Origin {
            path: b"a".to_vec(),
            commit: id(first),
            author_name,
            author_email,
            time: 0,
            order: first.into(),
            last,
            in_head,
        }
    }

    #[test]
    fn the_same_is_reported_in_whatever_order_versions_come_and_an_open_one_stays_open() {
        let [old, head, side] = [origin(1, 4, false), origin(2, 5, true), origin(3, 9, false)];
        let accepted = || Accepted { by: AcceptedBy::Comment, reason: "of a test".to_owned(), until: None };
        let told = |all: &[(&Origin, u64, bool)]| {
            let mut told = DedupedFindings::default();
            for (origin, line, is_open) in all {
                let what = FindingKind::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
                let identity = Identity::read(&"0a".repeat(16)).unwrap();
                let path = Some(PathBuf::from("a"));
                let start = Position { line: *line, column: 1 };
                let accepted = (!is_open).then(accepted);
                told.add(
                    FindingKey { what, identity, form: None, path, inside: Vec::new() },
                    Occurrence {
                        first: origin,
                        last: origin,
                        start,
                        end: start,
                        name: None,
                        accepted,
                        remark: None,
                    },
                );
            }
            let mut all: Vec<Finding> = told.findings().collect();
            assert_eq!(all.len(), 1);
            let one = all.remove(0);
            let commit = one.place.commit.clone().unwrap();
            assert_eq!(commit.first[..2], *"01");
            (one.place.start.line, one.is_open(), commit.last[..2].to_owned(), commit.in_head)
        };
        let mut all =
            [(&old, 7, true), (&head, 2, false), (&head, 4, true), (&head, 6, true), (&side, 1, false)];
        for _ in 0..all.len() {
            all.rotate_left(1);
            assert_eq!(told(&all), (4, true, "05".to_owned(), true));
            let reversed: Vec<_> = all.iter().rev().copied().collect();
            assert_eq!(told(&reversed), (4, true, "05".to_owned(), true));
        }
        // An acceptance counts only in the last commit.
        assert_eq!(told(&[(&old, 7, true), (&side, 1, false)]), (1, false, "09".to_owned(), false));
        assert_eq!(told(&[(&side, 1, true), (&old, 7, false)]), (1, true, "09".to_owned(), false));
    }
}
