use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// Tests whether a text may continue as a match of one of some expressions. States are built on demand, in bounded
/// memory.
#[derive(Debug)]
pub(crate) struct LazyDfa(Mutex<(DFA, Cache)>);

impl LazyDfa {
    /// `None` if it cannot be built, which does not occur for checked expressions.
    pub(crate) fn of(expressions: &[&str], syntax: syntax::Config) -> Option<Self> {
        // With one expression a match ends the search; with several, others may continue.
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

    /// Whether a text is a match, or may become one with more text.
    pub(crate) fn may_go_on(&self, text: &[u8]) -> bool {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (dfa, cache) = &mut *states;
        let input = Input::new(text).anchored(Anchored::Yes);
        let Ok(mut state) = dfa.start_state_forward(cache, &input) else { return true };
        for byte in text {
            match dfa.next_state(cache, state, *byte) {
                Ok(next) if next.is_dead() => return false,
                Ok(next) => state = next,
                // Out of memory for states: unknown.
                Err(_) => return true,
            }
        }
        // The engine reports a match one byte late, so a match that has ended cannot continue.
        (0..=u8::MAX).any(|byte| dfa.next_state(cache, state, byte).is_ok_and(|next| !next.is_dead()))
    }
}
