//! The canary of a roll, in words.

use keyroll_rotation::{Canary, ConsumerId, ReloadMode, State, canary};

use super::plan_names::Called;
use crate::operator::duration;

/// That the canary has worked, and that the operator is asked.
pub(crate) fn worked(called: &Called, state: &State, first: ConsumerId) -> String {
    let bake_ms = state.plan().policy.roll.map_or(0, |roll| roll.bake_ms);
    let name = who(called, state, first);
    let worked = match bake_ms {
        0 => "works with the new key".to_owned(),
        ms => format!("has worked with the new key for {}", duration(ms.div_ceil(1_000))),
    };
    format!("the canary {name} {worked}; nothing else was moved")
}

fn who(called: &Called, state: &State, first: ConsumerId) -> String {
    let consumers = &state.plan().consumers;
    let name = called.consumer(first);
    let (Some(of), Some(roll)) = (consumers.get(first.index()), state.plan().policy.roll) else {
        return name;
    };
    match roll.canary {
        Canary::Instance if of.slots > 1 && of.uptake == ReloadMode::Verb => {
            format!("(the first instance of {name})")
        }
        Canary::Instance | Canary::Consumer => name,
        Canary::Host => {
            let all: Vec<String> = canary(state).into_iter().map(|id| called.consumer(id)).collect();
            if all.len() > 1 { format!("({})", all.join(", ")) } else { name }
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Awaited, Hold, Query, Reason, RollPolicy, Which, waiting};

    use super::super::cause::Observations;
    use super::super::walk::{self, Walk};
    use super::super::ways::ways;
    use super::super::{reasons, waiting as shown};
    use super::*;

    /// A rotation whose canary is watched for ten minutes, after which the operator is asked.
    fn watched(canary: Canary) -> Walk {
        let mut plan = walk::plan();
        plan.consumers[0].slots = if canary == Canary::Instance { 3 } else { 1 };
        let roll = RollPolicy { canary, bake_ms: 600_000, ask: true, pause_ms: 0, hosts_max: 1 };
        plan.policy.roll = Some(roll);
        let mut walk = Walk::of(plan);
        walk.until(|state| state.units()[0].watched);
        walk
    }

    #[test]
    fn the_canary_is_named_while_it_is_watched_and_when_the_operator_is_asked() {
        let mut walk = watched(Canary::Instance);
        let wait = waiting(&walk.state).unwrap();
        assert_eq!(wait.what, Awaited::Watch(ConsumerId(0)));
        let said = shown::what(&Observations::default(), &Called::default(), &walk.state, &wait.what);
        assert_eq!(said, "the watch of consumer 0 to end: it works with the new key");
        assert!(shown::left_ms(&walk.state, &wait).is_some_and(|ms| ms > 0));

        while walk.state.hold().is_none() {
            walk.wait(20_000);
            let seen = walk.see(&Query::Prove(ConsumerId(0), Some(0), Which::New));
            walk.say(seen);
        }
        let hold = Hold::Paused(Reason::Canary(ConsumerId(0)));
        assert_eq!(walk.state.hold(), Some(hold));
        assert_eq!(
            reasons::reason_text(&Called::default(), &walk.state, hold.reason()),
            "the canary (the first instance of consumer 0) has worked with the new key for 10 min; nothing else was moved"
        );
        let next = ways(&Called::of_rotation("0192", "acme"), &walk.state, false, false).unwrap().next;
        assert!(next.starts_with("keyroll resume 0192, "), "{next}");
        assert!(next.contains("or keyroll abort 0192, which rolls back"), "{next}");
        assert!(!reasons::needs_person(hold), "resume alone continues it");
    }

    #[test]
    fn a_canary_of_several_consumers_names_each() {
        let walk = watched(Canary::Consumer);
        assert_eq!(who(&Called::default(), &walk.state, ConsumerId(0)), "consumer 0");
        let walk = watched(Canary::Host);
        assert_eq!(who(&Called::default(), &walk.state, ConsumerId(0)), "(consumer 0, consumer 1)");
    }
}
