//! The model as Stateright sees it, and the question whether a goal can still be reached.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::{Model, Property};

use crate::action::Action;
use crate::effects::Answer;
use crate::guard::Guards;
use crate::state::{Broken, Hold, Key, Left, Old, Once, Phase, State};

/// A rotation with its guards, in worlds that differ in what may disturb them.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) guards: Guards,
    pub(crate) starts: Vec<State>,
}

/// All states, and the steps between them that are no disturbance.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Class>,
    /// The step by which each state was found first.
    found: Vec<Option<(u32, Action)>>,
    /// The steps into each state: from where, and whether drivers and time take it without the operator.
    back: Vec<Vec<(u32, bool)>>,
}

/// What a state is, for the two questions about reachability.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// The rotation has ended.
    ended: bool,
    /// The old key is off before Decide, and nothing but the operator's word is waited for.
    off: bool,
    /// Only the operator can help, or enabling the key is not wanted.
    exempt: bool,
}

fn class(state: &State) -> Class {
    let belief = &state.belief;
    let waits = belief.hold.is_some() || (belief.phase == Phase::Decide && belief.consent.is_none());
    let off = waits && !belief.decided && state.world.old == Key::Off;
    let stuck = belief.hold.is_some_and(Hold::is_stuck);
    let over = belief.ended() || matches!(belief.old, Old::Ended { .. });
    Class {
        ended: belief.ended() || state.broken.is_some(),
        off,
        exempt: state.broken.is_some() || over || belief.emergency.is_some() || stuck,
    }
}

/// Whether a step is no disturbance; and whether drivers and time take it alone.
fn kind(action: Action) -> Option<bool> {
    if Left::takes(action).is_some() {
        return None;
    }
    match action {
        Action::Start(_, None)
        | Action::Intend(_)
        | Action::Send(_)
        | Action::Drop(_)
        | Action::Arrive(_, Answer::Heard)
        | Action::Preflight
        | Action::ProbeNew
        | Action::ProbeOld { .. }
        | Action::Look
        | Action::Prove(_)
        | Action::ReadRefusals
        | Action::List
        | Action::Reconcile
        | Action::Decide
        | Action::Unanswered
        | Action::GiveUpDeath
        | Action::Wait
        | Action::Recover => Some(true),
        Action::StrangerGoes
        | Action::Consent
        | Action::Resume
        | Action::Retry
        | Action::Statement { done: true } => Some(false),
        _ => None,
    }
}

fn hash(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Rotation {
    /// A rotation in which each of these sets may happen.
    pub(crate) fn disturbed_by(guards: Guards, sets: &[&[Once]]) -> Self {
        let starts = sets.iter().map(|set| State::open(Left::of(set), false)).collect();
        Self { guards, starts }
    }
}

impl Model for Rotation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.starts.clone()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let over = state.belief.ended() && !state.belief.debt;
        if state.broken.is_none() && !over {
            state.actions(self.guards, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = state.step(action, self.guards);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1", |_, state: &State| state.broken != Some(Broken::I1)),
            Property::always("I2", |_, state: &State| state.broken != Some(Broken::I2)),
            Property::always("I4", |_, state: &State| state.broken != Some(Broken::I4)),
            Property::always("I5", |_, state: &State| state.broken != Some(Broken::I5)),
            Property::always("I8", |_, state: &State| state.broken != Some(Broken::I8)),
            Property::always("I9", |_, state: &State| state.broken != Some(Broken::I9)),
            Property::always("order", |_, state: &State| state.broken != Some(Broken::Order)),
            Property::always("end", |_, state: &State| state.broken != Some(Broken::End)),
            Property::always("P-23", |_, state: &State| state.broken != Some(Broken::P23)),
        ]
    }
}

impl Graph {
    /// Explores everything.
    pub(crate) fn of(rotation: &Rotation) -> Self {
        let mut graph = Self::default();
        let mut index = HashMap::new();
        let mut queue = VecDeque::new();
        for start in rotation.init_states() {
            let at = graph.add(&mut index, &start, None).0;
            queue.push_back((at, start));
        }
        let mut actions = Vec::new();
        while let Some((from, state)) = queue.pop_front() {
            rotation.actions(&state, &mut actions);
            for action in actions.drain(..) {
                let Some(next) = rotation.next_state(&state, action) else { continue };
                let (at, fresh) = graph.add(&mut index, &next, Some((from, action)));
                if let Some(alone) = kind(action) {
                    graph.back[at as usize].push((from, alone));
                }
                if fresh {
                    queue.push_back((at, next));
                }
            }
        }
        graph
    }

    fn add(
        &mut self,
        index: &mut HashMap<u64, u32>,
        state: &State,
        found: Option<(u32, Action)>,
    ) -> (u32, bool) {
        let at = u32::try_from(self.nodes.len()).unwrap();
        match index.entry(hash(state)) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(entry) => {
                entry.insert(at);
                self.nodes.push(class(state));
                self.found.push(found);
                self.back.push(Vec::new());
                (at, true)
            }
        }
    }

    /// The path to a state from which the rotation cannot end any more.
    pub(crate) fn endless(&self) -> Option<Vec<Action>> {
        self.cut_off(false, |class| class.ended)
    }

    /// The path to a state in which drivers and time leave the old key disabled.
    pub(crate) fn left_disabled(&self) -> Option<Vec<Action>> {
        self.cut_off(true, |class| !class.off || class.exempt)
    }

    /// The path to a state from which no goal is reached.
    fn cut_off(&self, alone: bool, goal: fn(Class) -> bool) -> Option<Vec<Action>> {
        let mut reached: Vec<bool> = self.nodes.iter().map(|class| goal(*class)).collect();
        let mut queue: Vec<usize> = (0..reached.len()).filter(|at| reached[*at]).collect();
        while let Some(at) = queue.pop() {
            for (from, by_itself) in &self.back[at] {
                let from = *from as usize;
                if (*by_itself || !alone) && !reached[from] {
                    reached[from] = true;
                    queue.push(from);
                }
            }
        }
        let mut at = reached.iter().position(|it| !it)?;
        let mut path = Vec::new();
        while let Some((from, action)) = self.found[at] {
            path.push(action);
            at = from as usize;
        }
        path.reverse();
        Some(path)
    }

    pub(crate) fn states(&self) -> usize {
        self.nodes.len()
    }
}
