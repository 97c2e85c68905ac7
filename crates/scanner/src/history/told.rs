use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_history::{ORIGINS_MAX, ObjectId, Origin};

use crate::finding::{Commit, Finding, Identity, Place, What};
use crate::report::FINDINGS_MAX;
use crate::{Accepted, Position, Skipped};

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
pub(crate) struct Held<'p> {
    /// Of the commits that had it the first.
    pub(crate) first: &'p Origin,
    /// Where it is told: the last, or the one that is checked out.
    pub(crate) last: &'p Origin,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) name: Option<String>,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

/// What was found in a history, and where it came from.
#[derive(Default)]
pub(crate) struct Told<'p> {
    by_subject: BTreeMap<Subject, Held<'p>>,
    pub(crate) left_out: u64,
}

impl<'p> Told<'p> {
    /// The first that had it, and the last that still had it; the line is that of the last. In whatever order they come.
    pub(crate) fn add(&mut self, subject: Subject, held: Held<'p>) {
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
            place: Place {
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

impl Held<'_> {
    /// What is checked out says more than what is not, then the later more than the earlier, and of two in one text the one that
    /// nobody accepted: it is hidden by none.
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

/// As many digits as git shows.
pub(crate) fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
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

/// Of an object that stood under so many paths that they are not all told.
pub(crate) fn elsewhere(id: &ObjectId) -> Skipped {
    let why = format!("it stood under more than {ORIGINS_MAX} paths, which are not all told");
    Skipped { what: format!("object {id}"), why }
}

#[cfg(test)]
mod tests {
    use keyroll_history::Moment;

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
    fn the_same_is_told_in_whatever_order_versions_come_and_nothing_hides_an_open_one() {
        let [old, head, side] = [origin(1, 4, false), origin(2, 5, true), origin(3, 9, false)];
        let accepted = || Accepted { by: AcceptedBy::Comment, reason: "of a test".to_owned(), until: None };
        let told = |all: &[(&Origin, u64, bool)]| {
            let mut told = Told::default();
            for (origin, line, is_open) in all {
                let what = What::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
                let identity = Identity::read(&"0a".repeat(16)).unwrap();
                let path = Some(PathBuf::from("a"));
                let start = Position { line: *line, column: 1 };
                let accepted = (!is_open).then(accepted);
                told.add(
                    Subject { what, identity, form: None, path, inside: Vec::new() },
                    Held {
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
        // What was open once and is accepted now is accepted, and the other way round.
        assert_eq!(told(&[(&old, 7, true), (&side, 1, false)]), (1, false, "09".to_owned(), false));
        assert_eq!(told(&[(&side, 1, true), (&old, 7, false)]), (1, true, "09".to_owned(), false));
    }
}
