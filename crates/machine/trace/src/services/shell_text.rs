//! What a shell text reads and sets before it starts its last program: a script, the text after `-c`, a line of cron, a
//! profile. Nothing is run, and what the text does not show is said to be hidden.

mod commands;
mod expansion;
mod frames;
mod printed;
mod programs;
mod reading;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

pub(crate) use state::{Around, Step};
use state::{Frame, Kind, Last, Reader, Why};
pub(crate) use tokens::is_variable;

/// The largest text that is read, bytes.
const TEXT_BYTES_MAX: usize = 256 << 10;

const TOO_LONG: Why = "the text is larger than what is read";

/// The steps of a text, in its order. Nothing is run, and no file is read. A missing file has no variables.
pub(crate) fn steps(text: &str, around: &Around<'_>) -> Vec<Step> {
    let mut reader = Reader {
        around,
        steps: Vec::new(),
        over: Vec::new(),
        frames: vec![Frame::of(Kind::Text, 0)],
        mentions: HashMap::new(),
        last: Last::default(),
        commands: 0,
        line: 1,
        shells: 0,
        piped: false,
        negated: false,
        function: false,
        functions: BTreeSet::new(),
        function_ends: false,
        full: false,
        expanded: Cell::new(0),
    };
    if text.len() > TEXT_BYTES_MAX {
        reader.hidden(None, TOO_LONG);
    } else {
        reader.run(text);
    }
    reader.steps.into_iter().flatten().collect()
}
