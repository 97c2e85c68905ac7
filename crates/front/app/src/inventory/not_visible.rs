use keyroll_inventory::Missed;

use crate::operator::{Event, Operator};

/// Shows what could not be inspected, and the command that would show more. `refused`: root would see more.
pub fn tell_missed(missed: Vec<Missed>, refused: bool, operator: &mut dyn Operator) {
    for Missed { what, why } in missed {
        operator.event(Event::NotVisible { what, why });
    }
    if refused {
        operator.note("to see more: the same command with sudo");
    }
}
