use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// What tells how far a text goes on as a value of one of some expressions. Its states are made when they are first met, in
/// bounded memory.
#[derive(Debug)]
pub(crate) struct States(Mutex<(DFA, Cache)>);

impl States {
    /// `None` = they cannot be built, which expressions that were checked can.
    pub(crate) fn of(expressions: &[&str], syntax: syntax::Config) -> Option<Self> {
        // With one expression a match ends what may go on; with several, one that has ended says nothing of the others.
        let kind = if expressions.len() > 1 { MatchKind::All } else { MatchKind::LeftmostFirst };
        let dfa = DFA::builder()
            .syntax(syntax)
            .thompson(thompson::Config::new().utf8(false))
            .configure(DFA::config().match_kind(kind))
            .build_many(expressions)
            .ok()?;
        let cache = dfa.create_cache();
        Some(Self(Mutex::new((dfa, cache))))
    }

    /// Whether a text that begins as a value does is one, or may become one when more of it is there.
    pub(crate) fn may_go_on(&self, text: &[u8]) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (dfa, cache) = &mut *states;
        let input = Input::new(text).anchored(Anchored::Yes);
        let Ok(mut state) = dfa.start_state_forward(cache, &input) else { return true };
        for byte in text {
            match dfa.next_state(cache, state, *byte) {
                Ok(next) if next.is_dead() => return false,
                Ok(next) => state = next,
                // It has more states than are kept: nothing is said.
                Err(_) => return true,
            }
        }
        // A match is told one byte late: what has ended before goes on with nothing.
        (0..=u8::MAX).any(|byte| dfa.next_state(cache, state, byte).is_ok_and(|next| !next.is_dead()))
    }
}
