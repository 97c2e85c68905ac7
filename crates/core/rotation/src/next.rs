//! What an operator can do about a wait: each step as a type, with the events that it makes.

use crate::phase::{Hold, Reason};
use crate::state::State;
use crate::{
    Adoptee, ConsumerId, CredId, Emergency, Event, Fact, FileId, HostId, Incarnation, Person, Phase,
    SearchLimit, Seq, Stamp, Waived, Want, course, step, wants,
};

/// One command of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Go on: with what is paused, with a debt, or with a rotation that nobody drives.
    Resume,
    /// Go on with what is stuck: its cause is removed.
    Retry,
    /// Consent to the end of the old key.
    Confirm,
    /// Roll everything back.
    Abort,
    /// Accept every pending change that a restart would make live, and go on.
    Accept,
    /// Something may keep the version that goes, by name.
    Waive(Waived),
    /// Something becomes a consumer.
    Adopt(Adoptee),
    /// Something is declared as a consumer in the configuration, once this rotation was rolled back, and another rotation is
    /// planned.
    Declare(Adoptee),
    /// The commands of a consumer are corrected.
    Correct(ConsumerId),
    /// The new key, which the operator made, is handed over.
    HandMint,
    /// The operator ended the old key.
    HandRevoked,
    /// The new key cannot be used: another one is made.
    AnotherKey,
    /// The old key is ended again: a debt.
    PayDebt,
}

/// What has to be done first, outside of keyroll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outside {
    /// End an undeclared process that holds the version that goes; in a rollback, or let it take the other one.
    EndProcess(Incarnation),
    /// Restart a process that still uses the version that goes.
    Restart(Incarnation),
    /// Delete a copy that holds it, or write the other value into it.
    DeleteCopy(u64),
    /// Undo the edit of a file; of one that was accepted as it stands, in a rollback: write the old value into it.
    MendFile(FileId),
    /// Let a file be read again.
    LetRead(FileId),
    /// Have the source of truth give out one of the two versions again.
    GiveOut,
    /// Let more memory be searched.
    SearchMore(SearchLimit),
    /// Bring a host up.
    BringUp(HostId),
    /// Have a consumer run.
    Start(ConsumerId),
    /// Have an instance show the version that stays, on this path.
    ShowProof(ConsumerId, Incarnation, u8),
    /// Have a consumer run, and work with the version that it was given.
    MendConsumer(ConsumerId),
    /// Put the right commands of a consumer into the configuration.
    FixCommands(ConsumerId),
    /// Look at the issuer's console which key is there.
    LookAtConsole,
    /// Find out whether the operation of this entry was carried out.
    FindOut(Seq),
    /// End what uses the old key.
    EndUsers,
    /// End what writes the old value into copies again.
    EndWriters,
    /// Make the new key at the issuer's console.
    MakeKey,
    /// End the old key at the issuer's console.
    EndOldKey,
    /// Have the issuer accept the new key again.
    AcceptNewKey,
    /// Have the issuer, or the store, carry out what it refused, or say what it did not answer.
    MendIssuer,
}

/// One way past a wait: something outside, perhaps, and then these commands in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What has to be done first.
    pub first: Option<Outside>,
    /// At least one command.
    pub then: Vec<Next>,
}

impl Step {
    pub(crate) fn only(next: Next) -> Self {
        Self { first: None, then: vec![next] }
    }

    pub(crate) fn both(one: Next, then: Next) -> Self {
        Self { first: None, then: vec![one, then] }
    }

    pub(crate) fn after(first: Outside, then: Next) -> Self {
        Self { first: Some(first), then: vec![then] }
    }

    pub(crate) fn after_both(first: Outside, one: Next, then: Next) -> Self {
        Self { first: Some(first), then: vec![one, then] }
    }
}

impl Next {
    /// The events of a command, as far as the state alone says them: what an adoption, a correction or a key that was made by
    /// hand brings is not in it.
    pub fn facts(self, state: &State) -> Option<Vec<Fact>> {
        let owes = || state.ended() && state.debt().is_some();
        let resumed = || matches!(state.hold(), Some(Hold::Paused(_))) || owes();
        let resumed = || if resumed() { vec![Fact::Resumed] } else { Vec::new() };
        Some(match self {
            Self::Resume | Self::PayDebt => resumed(),
            Self::Retry => vec![Fact::Retried],
            Self::Confirm => match consent(state) {
                Some(digest) => vec![Fact::Consented(digest)],
                None => resumed(),
            },
            Self::Abort => vec![Fact::AbortAsked],
            Self::Accept => state.refused().iter().cloned().map(Fact::Accepted).chain(resumed()).collect(),
            Self::Waive(what) => vec![Fact::Waived(what)],
            Self::HandRevoked => vec![Fact::HandRevoked],
            Self::AnotherKey => {
                vec![Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true }]
            }
            // It is about another rotation.
            Self::Declare(_) => Vec::new(),
            Self::Adopt(_) | Self::Correct(_) | Self::HandMint => return None,
        })
    }

    /// Whether the rotation takes the command in this state, from a process that takes it over. What only the data of a command
    /// decides is taken for possible: whether a consumer is sound, and whether a key that was brought works.
    pub fn is_possible(self, state: &State) -> bool {
        let taken = |state: &State, fact: Fact| {
            let begins = fact == Fact::DriverStarted;
            let epoch = state.now().epoch.saturating_add(u64::from(begins));
            step(state, &Event { at: Stamp { epoch, ..state.now() }, fact }).ok().map(|(next, _)| next)
        };
        let Some(state) = taken(state, Fact::DriverStarted) else { return false };
        match (self, self.facts(&state)) {
            (_, Some(facts)) => {
                facts.into_iter().try_fold(state, |state, fact| taken(&state, fact)).is_some()
            }
            (Self::Adopt(_), None) => {
                !state.ended() && state.phase() != Phase::RollingBack && state.aim().makes_new()
            }
            (Self::HandMint, None) => {
                let made = Fact::HandMinted(CredId::new("made"));
                course::made_by_hand(&state) && taken(&state, made).is_some()
            }
            (_, None) => !state.ended(),
        }
    }
}

/// The consent that is asked for now.
fn consent(state: &State) -> Option<u64> {
    wants(state)
        .into_iter()
        .find_map(|want| if let Want::Person(Person::Consent(digest)) = want { Some(digest) } else { None })
}

/// The state once a paused rotation has been resumed.
pub(crate) fn behind(state: &State) -> Option<State> {
    step(state, &Event { at: state.now(), fact: Fact::Resumed }).ok().map(|(next, _)| next)
}

/// The command that goes on, whatever else was done before.
pub fn go_on(state: &State) -> Next {
    match state.hold() {
        Some(Hold::Stuck(_)) => Next::Retry,
        Some(Hold::Paused(Reason::Consent)) => Next::Confirm,
        Some(Hold::Paused(_)) | None => Next::Resume,
    }
}
