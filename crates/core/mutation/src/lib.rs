//! The switch between the generated mutants of one build.
//!
//! `cargo xtask mutants` writes a copy of the core in which each mutated place asks [`on`] whether its mutant is the
//! current one. One process runs one mutant at a time. No program that is shipped contains this room.

use std::any::Any;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The environment variable with the number of the current mutant, for programs that never call [`select`].
pub const VARIABLE: &str = "KEYROLL_MUTANT";

/// No mutant has this number: the unmutated code runs.
pub const NONE: u32 = 0;

/// The most mutants of one build.
pub const MUTANTS_MAX: usize = 64 * WORDS;

const WORDS: usize = 512;

/// Nothing was selected yet: the first call reads the environment.
const UNSET: u8 = 0;
/// Every call marks the place that it comes from.
const RECORDING: u8 = 1;
/// Calls are counted down to the limit.
const COUNTING: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(UNSET);
static CURRENT: AtomicU32 = AtomicU32::new(NONE);
/// Calls that are left until the limit. Zero leads to the slow branch, which is also how recording works.
static LEFT: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static REACHED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// What a mutant panics with that calls [`on`] more often than its limit: it would perhaps never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endless;

/// Whether a panic was [`Endless`].
pub fn is_endless(panic: &(dyn Any + Send)) -> bool {
    panic.is::<Endless>()
}

/// Whether this mutant is the current one.
#[inline]
pub fn on(number: u32) -> bool {
    let left = LEFT.load(Relaxed);
    if left == 0 {
        return slow(number);
    }
    LEFT.store(left - 1, Relaxed);
    CURRENT.load(Relaxed) == number
}

#[cold]
fn slow(number: u32) -> bool {
    match MODE.load(Relaxed) {
        UNSET => {
            select(from_environment().unwrap_or(NONE), u64::MAX);
            CURRENT.load(Relaxed) == number
        }
        RECORDING => {
            CALLS.fetch_add(1, Relaxed);
            if let Some(word) = REACHED.get(number as usize / 64) {
                word.fetch_or(1 << (number % 64), Relaxed);
            }
            false
        }
        _ => {
            // What is dropped while the panic unwinds may come here again.
            LEFT.store(u64::MAX, Relaxed);
            std::panic::resume_unwind(Box::new(Endless))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "test programs get the number of the mutant in no other way")]
fn from_environment() -> Option<u32> {
    std::env::var(VARIABLE).ok()?.parse().ok()
}

/// Makes a mutant the current one. After so many calls of [`on`] it panics with [`Endless`].
pub fn select(number: u32, calls_max: u64) {
    CURRENT.store(number, Relaxed);
    MODE.store(COUNTING, Relaxed);
    LEFT.store(calls_max, Relaxed);
}

/// Runs the unmutated code and records which mutants it reaches: a bit per number, and how many calls there were.
pub fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<u64>, u64) {
    for word in &REACHED {
        word.store(0, Relaxed);
    }
    CURRENT.store(NONE, Relaxed);
    CALLS.store(0, Relaxed);
    MODE.store(RECORDING, Relaxed);
    LEFT.store(0, Relaxed);
    let result = run();
    let reached: Vec<u64> = REACHED.iter().map(|word| word.load(Relaxed)).collect();
    select(NONE, u64::MAX);
    (result, reached, CALLS.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The switch is one per process, so one test goes through all of it.
    #[test]
    fn only_the_selected_mutant_is_on_until_its_limit() {
        assert!(!on(7), "nothing is selected");
        select(7, 3);
        assert!(on(7) && !on(8));
        let third = std::panic::catch_unwind(|| (on(7), on(7)));
        let panic = third.expect_err("the limit is three calls");
        assert!(is_endless(panic.as_ref()));
        assert!(on(7), "code that runs while the panic unwinds is not stopped again");
        let (sum, reached, calls) = record(|| u32::from(on(7)) + u32::from(on(70)) + u32::from(on(70)));
        assert_eq!((sum, calls), (0, 3), "while recording no mutant is on");
        assert_eq!(reached.iter().map(|word| word.count_ones()).sum::<u32>(), 2);
        assert_eq!((reached[0], reached[1]), (1 << 7, 1 << 6));
        assert!(!on(7));
    }
}
