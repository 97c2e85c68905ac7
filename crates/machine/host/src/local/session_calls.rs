//! Sessions at the issuer matched to processes, and the calls that they prove.

use std::collections::HashMap;

use keyroll_codes::Code;
use keyroll_observe::{ProcessId, Sockets};
use keyroll_port::{Failure, Sessions};
use keyroll_rotation::Which;

use super::Local;
use super::enumerate::{listing, sockets};
use super::running::Running;

impl Local {
    /// Remembers the sessions of a process, to distinguish those from before a change from later ones.
    pub(super) fn note_sessions(&self, one: &Running, sessions: &Sessions, sockets: &Sockets) {
        let who = self.life_of(one);
        let mut memo = self.memo();
        for which in [Which::Old, Which::New] {
            let mine = handles(sessions, which, sockets, &one.process);
            memo.sessions.insert((one.consumer, who, which), mine);
        }
    }

    /// Whether the issuer accepted a call of this process with a version since its value was last changed. A session
    /// that was open before proves that only by a count that rose; and of a program that reads the store again only if it has
    /// nothing but that version by now: a pool goes on with the connections that it has.
    pub(super) fn called(&self, one: &Running, which: Which, loaded: bool) -> bool {
        let of = (one.consumer, self.life_of(one), which);
        let memo = self.memo();
        let before = memo.before.get(&of);
        let given_out = memo.given_out.as_ref();
        let fresh = |(handle, calls): (&String, &Option<u64>)| {
            let given = given_out.and_then(|change| change.calls_before(one.consumer, which, handle));
            match given.or_else(|| before.and_then(|all| all.get(handle)).copied()) {
                None => calls.is_none_or(|calls| calls > 0),
                Some(then) => {
                    calls.unwrap_or_default() > then.unwrap_or_default() && (loaded || given.is_none())
                }
            }
        };
        memo.sessions.get(&of).is_some_and(|now| now.iter().any(fresh))
    }
}

/// The connections of this machine, if they are needed to match sessions to processes. Without them "no session" would
/// only mean that nobody looked. If no session has a socket, they are not needed.
pub(super) fn connections(sessions: &Sessions, servers: &[u16]) -> Result<Sockets, Failure> {
    let mut all = sessions.old.iter().chain(&sessions.new).flatten();
    if !all.any(|session| session.client.is_some()) {
        return Ok(Sockets::default());
    }
    sockets(&listing()?, servers).ok_or_else(|| {
        Failure::new(
            keyroll_port::Class::Retryable,
            Code::ProcessesHidden,
            "join the issuer's sessions to processes",
        )
        .because("the connections of this machine could not be read")
    })
}

/// The sessions of a process with a version, by handle, with their calls.
pub(super) fn handles(
    sessions: &Sessions,
    which: Which,
    sockets: &Sockets,
    process: &ProcessId,
) -> HashMap<String, Option<u64>> {
    let mine = sessions.of(which).unwrap_or_default().iter().filter(|it| belongs(it, sockets, process));
    mine.map(|session| (session.handle.clone(), session.calls)).collect()
}

fn belongs(session: &keyroll_port::Session, sockets: &Sockets, process: &ProcessId) -> bool {
    match session.client {
        // A socket that several processes inherited proves nothing about any one of them.
        Some(client) => sockets.process_of(client) == Some(*process),
        None => session.pid == Some(process.pid),
    }
}

/// How many requests of this process with this version the issuer accepted. A session without a count counts as one
/// request.
pub(super) fn calls(sessions: &Sessions, which: Which, sockets: &Sockets, process: &ProcessId) -> u64 {
    let mine =
        sessions.of(which).unwrap_or_default().iter().filter(|session| belongs(session, sockets, process));
    mine.fold(0, |sum, session| sum.saturating_add(session.calls.unwrap_or(1)))
}

pub(super) fn open_sessions(
    sessions: &Sessions,
    which: Which,
    sockets: &Sockets,
    process: &ProcessId,
) -> bool {
    sessions.of(which).unwrap_or_default().iter().any(|session| belongs(session, sockets, process))
}
