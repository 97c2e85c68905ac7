//! Which sessions of the issuer a member is asked about, and whose they are according to all of them.
//!
//! A member answers with one entry for each session that may still be there, without a handle. It leaves out sessions that
//! are gone and those of its own program, and adds one for each process that says by itself that it uses the version. So
//! the place of an entry shows its session only if nothing was left out. To see that, one session more is sent, the last
//! one, which no process can have: the last entry without an owner is about it. If as many entries are before it as
//! sessions were sent, each is about the session at its place, and what is behind it was added.
//!
//! With places, a session belongs to the one host that claims it; to nobody known, if none does or two do. Without them,
//! nothing is assigned by guessing:
//!
//! - This machine's entries all stay, and each claim of another machine is added. What both mean is then there twice. It
//!   left out only sessions that are gone, which exist only at its own loopback addresses, and its own ones.
//! - Of another machine only its claims stay. Each session that it was sent is in the other answers too.
//!
//! A machine that does not answer claims nothing: then each session of the list stays. So a session is never dropped
//! because another one has an owner; at worst one is there too often, and the old key is kept longer.

use std::net::SocketAddr;

use keyroll_port::{Session, Sessions};
use keyroll_rotation::{Incarnation, SessionSeen, Which};

/// What one member is sent for a look.
pub(crate) struct Sent {
    /// The sessions, with the mark at the end of those on the version that goes.
    pub(crate) sessions: Sessions,
    /// The place in the issuer's list of each session on the version that goes, without the mark.
    places: Vec<usize>,
}

impl Sent {
    /// What a member is sent of all sessions.
    pub(crate) fn to(is_here: bool, all: &Sessions, stays: Which) -> Self {
        let mut sessions = of_member(is_here, all);
        let sent = all.of(stays.other()).unwrap_or_default().iter().enumerate();
        let places = sent.filter(|(_, session)| may_be_of(is_here, session)).map(|(at, _)| at).collect();
        let marked = match stays {
            Which::New => &mut sessions.old,
            Which::Old => &mut sessions.new,
        };
        if let Some(marked) = marked {
            marked.push(Session { client: None, pid: None, busy: false, handle: String::new(), calls: None });
        }
        Self { sessions, places }
    }
}

/// The sessions that may be a member's own.
pub(crate) fn of_member(is_here: bool, all: &Sessions) -> Sessions {
    let own = |all: &Option<Vec<Session>>| {
        let all = all.as_ref()?;
        Some(all.iter().filter(|session| may_be_of(is_here, session)).cloned().collect())
    };
    Sessions { old: own(&all.old), new: own(&all.new) }
}

/// Whether the process of a session may run on a member. On another machine than this one it cannot, if its address is a
/// loopback address of the issuer's machine, or if it has none: the issuer may run here, and is not known to run there.
fn may_be_of(is_here: bool, session: &Session) -> bool {
    is_here || session.client.is_some_and(|client| !is_near(client))
}

/// Whether an address is one of the issuer's own machine.
pub(crate) fn is_near(client: SocketAddr) -> bool {
    client.ip().to_canonical().is_loopback()
}

/// What one member answered, in the plan's numbers.
pub(crate) struct Answered<'a> {
    /// keyroll itself runs on it.
    pub(crate) is_here: bool,
    /// What it was sent.
    pub(crate) sent: &'a Sent,
    /// Its entries; `None` = not visible.
    pub(crate) seen: Option<Vec<SessionSeen>>,
}

/// Whose sessions those on the version that goes are; `None` = not visible.
pub(crate) fn join(going: Option<&[Session]>, answers: &[Answered<'_>]) -> Option<Vec<SessionSeen>> {
    let Some(going) = going else {
        let shown = answers.iter().filter_map(|answer| answer.seen.as_ref());
        return shown.fold(None, |joined: Option<Vec<SessionSeen>>, seen| {
            Some(joined.into_iter().flatten().chain(seen.iter().copied()).collect())
        });
    };
    let mut owners: Vec<Vec<Incarnation>> = vec![Vec::new(); going.len()];
    let (mut added, mut all_are_added) = (Vec::new(), false);
    for answer in answers {
        let Some(seen) = &answer.seen else { continue };
        let Some((before, behind)) = at_mark(seen) else {
            added.extend(seen.iter().copied());
            continue;
        };
        if before.len() == answer.sent.places.len() {
            for (place, entry) in answer.sent.places.iter().zip(before) {
                if let Some(owners) = owners.get_mut(*place) {
                    owners.extend(entry.who);
                }
            }
        } else {
            all_are_added |= answer.is_here;
            added.extend(before.iter().filter(|entry| answer.is_here || entry.who.is_some()).copied());
        }
        added.extend(behind.iter().copied());
    }
    let at_places = going.iter().zip(&owners).filter_map(|(session, owners)| match owners.as_slice() {
        // This machine's entry for it is among those that were added.
        [] if all_are_added => None,
        [owner] => Some(SessionSeen { who: Some(*owner), busy: session.busy }),
        _ => Some(SessionSeen { who: None, busy: session.busy }),
    });
    Some(at_places.chain(added).collect())
}

/// The entries before and behind the mark's, which is the last one without an owner. An answer that has none claims all of
/// its entries, and says nothing of other sessions.
fn at_mark(seen: &[SessionSeen]) -> Option<(&[SessionSeen], &[SessionSeen])> {
    let mark = seen.iter().rposition(|entry| entry.who.is_none())?;
    let (before, rest) = seen.split_at_checked(mark)?;
    Some((before, rest.get(1..)?))
}
