//! Everything that is printed or asked. Data on stdout, messages on stderr; with `--json` events on stdout alone.

mod cost;
mod event;
mod found;
mod gap;
mod issuer;
mod line;
mod look;
mod prints;
mod progress;
mod prompt;
pub(crate) mod raw;
mod render;
mod screen;
mod table;
mod terminal;

pub(crate) use cost::show_cost;
pub(crate) use event::{
    DueShown, EmergencyShown, Event, Finding, Grade, Holder, HostStep, OldKeyShown, Outcome, PastShown,
    Phase, Residue, StatusShown, StepState, Summary, UnitShown, Version,
};
pub(crate) use found::{
    ChainShown, CopyShown, EdgeShown, FoundShown, GraphShown, InstanceShown, LinkShown, MemoryShown,
    NodeShown, ScanShown, StoreShown, UserShown, ValueShown,
};
pub(crate) use gap::{GapShown, MeasuredBy};
pub(crate) use issuer::IssuerShown;
pub(crate) use line::{clean, clock, duration, spent};
pub(crate) use look::Look;
pub(crate) use prints::PrintsShown;
pub(crate) use prompt::{Answer, Asking, typed_hidden};
pub(crate) use screen::{Ui, aside};
pub(crate) use table::Table;
pub(crate) use terminal::put_terminal_back;

use crate::exit::Exit;
use crate::problem::Problem;

/// Shows a problem before the flags could be read: `--json` is looked for by hand, so that a machine gets its form.
pub(crate) fn fail_early(problem: &Problem) -> Exit {
    let json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    Ui::new(Look::choose(json, false, true)).problem(problem);
    problem.exit()
}
