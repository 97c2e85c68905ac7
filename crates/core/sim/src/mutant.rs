//! A mutant wraps the pure layers from outside: it changes their input or their output.

use keyroll_engine::{Action, Input};
use keyroll_rotation::{Event, Plan, State, Want, Way};

use crate::faults::Fault;

/// One way in which a program could break the protocol.
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The sentence of the protocol that it breaks.
    pub sentence: &'static str,
    /// Changes the plan before the rotation is opened.
    pub plan: fn(&mut Plan),
    /// Changes an event before the core sees it.
    pub event: fn(&State, &mut Event),
    /// Changes what is wanted.
    pub wants: fn(&State, &mut Vec<Want>),
    /// Changes what a driver hears.
    pub input: fn(&mut Input),
    /// An additional input, derived in another way from what a driver hears.
    pub besides: fn(&Input) -> Option<Input>,
    /// Changes what a driver asks for.
    pub alter: fn(&State, &mut Action),
    /// Answers an action instead of carrying it out.
    pub action: fn(&State, &Action) -> Option<Input>,
    /// Answers an action at once, although it has only begun.
    pub early: fn(&State, &Action) -> Option<Input>,
    /// Changes what the operator is told that can be done about a wait.
    pub ways: fn(&State, &mut Way),
    /// A check that the parts around the pure layers omit.
    pub mutation: Mutation,
    /// The rules about what an operator can do, one of which must find it; empty: any invariant may.
    pub rules: &'static [&'static str],
    /// The faults after one of which such a rule finds it.
    pub after: &'static [Fault],
}

/// A check of a part around the pure layers that is omitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// No check is omitted.
    None,
    /// Hosts accept operations of a driver that was replaced.
    HostsUnfenced,
    /// A journal that is older than its witness is driven.
    WitnessUnread,
    /// A look counts, whichever version the store gives out.
    StoreUnasked,
    /// A restart is made, whichever pending changes it activates.
    EditsUnseen,
    /// A host believes a process that was told to begin anew and has not yet.
    GenerationUnseen,
    /// A file is written without comparing it with what was planned.
    BlindWrite,
    /// The new version is given out, whatever the source of truth gives out now.
    TruthOverwritten,
    /// Whatever is pending at the source of truth is taken back.
    AnyPendingWithdrawn,
    /// The label in the store says what became of a Promote or a Demote.
    LabelDecides,
    /// A look counts, whatever the source of truth gives out.
    TruthUnasked,
    /// A restart is made, whatever the source of truth gives out.
    RestartUnasked,
    /// A host carries out an order of a connection that another one took over from.
    OrdersUnfenced,
    /// A host carries out the same order a second time.
    OrdersRepeated,
    /// A host carries out an order after its time.
    OrdersUntimely,
    /// Looks show a host that was put back from a snapshot as it was before.
    RestoredUnseen,
    /// A consumer is moved by the command that it had before it was corrected.
    OldCommand,
}

impl Mutant {
    /// Nothing is changed: the protocol itself.
    pub const NONE: Self = Self {
        name: "none",
        sentence: "",
        plan: |_| {},
        event: |_, _| {},
        wants: |_, _| {},
        input: |_| {},
        besides: |_| None,
        alter: |_, _| {},
        action: |_, _| None,
        early: |_, _| None,
        ways: |_, _| {},
        mutation: Mutation::None,
        rules: &[],
        after: &[],
    };
}
