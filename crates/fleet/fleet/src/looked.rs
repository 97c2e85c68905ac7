//! What an inspection of all members found, as one.

use keyroll_port::{Failure, FailureKind, Looked, Session};
use keyroll_rotation::{Enumeration, Holds, SessionSeen};

use crate::member::{Member, sentence};
use crate::sessions::{Answered, Sent, join as join_sessions};

/// The answer of one member, in the plan's numbers.
pub(crate) struct Part<'a> {
    /// The member.
    pub(crate) member: &'a Member,
    /// What it was sent.
    pub(crate) sent: &'a Sent,
    /// What it found, or why it did not answer.
    pub(crate) looked: Result<Looked, Failure>,
}

/// The answers of all members as one. Of a member that did not answer nothing is known: it is named as absent if it
/// was not reached, and none of its files and instances is shown. One that is there and gave no whole answer is not absent, and
/// neither is the machine that keyroll runs on: the look is incomplete, and its files count as unreadable. One that is only
/// searched is absent whatever was wrong with its answer: whoever waives it does without the search.
///
/// # Errors
/// No member answered.
pub(crate) fn join(going: Option<&[Session]>, parts: Vec<Part<'_>>) -> Result<Looked, Failure> {
    let mut joined = nothing();
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for Part { member, sent, looked } in parts {
        match looked {
            Ok(mut looked) => {
                if member.is_searched_only() && shows_nothing(&looked.enumeration) {
                    looked.enumeration.complete = true;
                    joined.enumeration.absent.push(member.id);
                }
                let seen = add(&mut joined, looked);
                answers.push(Answered { is_here: member.is_here, sent, seen });
            }
            Err(failure) => {
                let is_away = failure.kind == FailureKind::Unreached && !member.is_here;
                if !is_away && !member.is_searched_only() {
                    joined.enumeration.complete = false;
                    let files = member.numbers.files.iter();
                    joined.enumeration.files.extend(files.map(|file| (*file, Holds::Unreadable)));
                } else {
                    joined.enumeration.absent.push(member.id);
                }
                joined.not_visible.push(format!("{}: {}", member.name, sentence(&failure)));
                failures.push(member.named(failure));
            }
        }
    }
    if answers.is_empty()
        && let Some(failure) = failures.into_iter().next()
    {
        return Err(failure);
    }
    joined.enumeration.files.sort_by_key(|(file, _)| *file);
    joined.enumeration.sessions = join_sessions(going, &answers);
    Ok(joined)
}

/// A look that is not whole, and shows nothing that somebody has to end or waive.
fn shows_nothing(seen: &Enumeration) -> bool {
    !seen.complete && seen.instances.is_empty() && seen.strangers.is_empty()
}

fn nothing() -> Looked {
    Looked {
        enumeration: Enumeration {
            complete: true,
            took_ms: 0,
            instances: Vec::new(),
            files: Vec::new(),
            sessions: None,
            absent: Vec::new(),
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders: Vec::new(),
        },
        names: Vec::new(),
        not_visible: Vec::new(),
        downtimes: Vec::new(),
    }
}

/// Adds what one member found; returns its entries about sessions.
fn add(joined: &mut Looked, looked: Looked) -> Option<Vec<SessionSeen>> {
    let Looked { enumeration, names, not_visible, downtimes } = looked;
    let Enumeration {
        complete,
        took_ms: _,
        absent: _,
        instances,
        files,
        sessions,
        strangers,
        unsearched,
        bystanders,
    } = enumeration;
    let whole = &mut joined.enumeration;
    whole.complete &= complete;
    whole.instances.extend(instances);
    whole.files.extend(files);
    whole.strangers.extend(strangers);
    whole.unsearched.extend(unsearched);
    whole.bystanders.extend(bystanders);
    joined.names.extend(names);
    joined.not_visible.extend(not_visible);
    joined.downtimes.extend(downtimes);
    sessions
}
