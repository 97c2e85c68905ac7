//! What operators asked for and drivers refused, so that a caller who did not wait can read why.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use keyroll_app::exit::Exit;
use keyroll_app::wall_clock;
use keyroll_codes::Code;

use crate::seen::{Seen, Told};

/// How many are kept.
const KEPT_MAX: usize = 64;

/// A driver that refused, or ended with a problem.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) rotation: String,
    pub(crate) secret: String,
    pub(crate) told: Told,
    /// When, Unix seconds.
    pub(crate) at_s: u64,
}

/// The last of them.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<VecDeque<Refused>>);

impl Refusals {
    /// That of this rotation.
    pub(crate) fn of(&self, rotation: &str) -> Option<Refused> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|one| one.rotation == rotation).cloned()
    }

    /// The rotations that they are about.
    pub(crate) fn ids(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|one| one.rotation.clone()).collect()
    }

    /// The rotation is driven again, or approved.
    pub(crate) fn forget(&self, rotation: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| one.rotation != rotation);
    }

    /// Takes down what the driver of this rotation ended with, if it is a problem.
    pub(super) fn add(&self, secret: &str, rotation: &str, seen: &Seen) {
        if let Some(told) = problem(seen) {
            self.put(secret, rotation, told);
        }
    }

    /// An operator withdrew it before it began.
    pub(crate) fn withdrawn(&self, secret: &str, rotation: &str) {
        self.unbegun(secret, rotation, "it was withdrawn before it began: nothing was changed");
    }

    /// It waited for its turn when the server before this one ended.
    pub(crate) fn lost(&self, secret: &str, rotation: &str) {
        self.unbegun(secret, rotation, "the server ended before it began: apply the plan again");
    }

    fn unbegun(&self, secret: &str, rotation: &str, why: &str) {
        let told = Told {
            attempted: "apply the plan".to_owned(),
            code: Code::NotPossibleNow.as_str().to_owned(),
            causes: vec![why.to_owned()],
            help: Some(format!("keyroll apply {rotation}")),
            exit: Exit::Failed.number(),
        };
        self.put(secret, rotation, told);
    }

    fn put(&self, secret: &str, rotation: &str, told: Told) {
        self.forget(rotation);
        let at_s = u64::try_from(wall_clock::now().timestamp().as_second()).unwrap_or_default();
        let one = Refused { rotation: rotation.to_owned(), secret: secret.to_owned(), told, at_s };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        all.push_back(one);
    }
}

/// The problem that a driver told, or that it could not tell.
fn problem(seen: &Seen) -> Option<Told> {
    let silent = seen.failed && seen.result.is_none();
    seen.problem.clone().or_else(|| {
        silent.then(|| Told {
            attempted: "drive the rotation".to_owned(),
            code: Code::Stopped.as_str().to_owned(),
            causes: vec![
                "its driver was killed, or could not be started; the server's log says more".to_owned(),
            ],
            // How it goes on is said by the status of the rotation.
            help: None,
            exit: Exit::Failed.number(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusals_are_kept_and_one_of_each_rotation() {
        let refusals = Refusals::default();
        let killed = Seen { failed: true, ..Seen::ended() };
        for number in 0..=KEPT_MAX {
            refusals.add("db", &format!("r{number}"), &killed);
        }
        refusals.add("db", "r2", &killed);
        refusals.add("db", "well", &Seen::ended());
        assert!(refusals.of("r0").is_none() && refusals.of("well").is_none());
        assert_eq!(refusals.of("r2").unwrap().told.attempted, "drive the rotation");
        assert_eq!(refusals.0.lock().unwrap().len(), KEPT_MAX);
        refusals.forget("r2");
        assert!(refusals.of("r2").is_none());
    }
}
