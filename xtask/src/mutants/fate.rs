//! How one mutant ended.

use serde_json::{Value, json};

use super::mutation::Mutation;

/// The test program with the recorded schedules.
pub(super) const RECORDINGS: &str = "recordings";

/// How one mutant ended.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) number: u32,
    /// `killed` by an invariant, `panicked`, `endless`, `aborted`, found by a `test`, `survived`, `unreached`.
    pub(super) result: String,
    /// The invariant that it broke.
    rule: String,
    /// What happened, or the test.
    pub(super) what: String,
    schedule: String,
    schedules: u64,
}

impl Fate {
    pub(super) fn new(number: u32, result: &str, what: &str) -> Self {
        let nothing = String::new();
        let (result, what) = (result.to_owned(), what.to_owned());
        Self { number, result, rule: nothing.clone(), what, schedule: nothing, schedules: 0 }
    }

    /// What the simulation printed about it.
    pub(super) fn of_simulation(number: u32, value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let schedules = value.get("schedules").and_then(Value::as_u64).unwrap_or_default();
        let (rule, schedule) = (text("rule"), text("schedule"));
        Self { number, result: text("result"), rule, what: text("what"), schedule, schedules }
    }

    /// Whether nothing found it.
    pub(super) fn survives(&self) -> bool {
        matches!(self.result.as_str(), "survived" | "unreached")
    }

    /// Nothing reached it in the simulation.
    pub(super) fn is_unreached(&self) -> bool {
        self.result == "unreached"
    }

    /// Whether a test found it, and no schedule.
    pub(super) fn by_test(&self) -> bool {
        self.result == "test"
    }

    /// Whether it was only noticed, because a recorded schedule went another way.
    pub(super) fn by_recording(&self) -> bool {
        self.by_test() && self.what.contains("recorded_schedules")
    }

    /// The mutant and its fate, as one line of JSON.
    pub(super) fn json(&self, of: &Mutation) -> Value {
        json!({
            "mutant": self.number,
            "identity": of.identity(),
            "place": of.place(),
            "function": of.function,
            "operator": of.operator,
            "original": of.original,
            "mutated": of.mutated,
            "result": self.result,
            "rule": self.rule,
            "what": self.what,
            "schedule": self.schedule,
            "schedules": self.schedules,
        })
    }
}
