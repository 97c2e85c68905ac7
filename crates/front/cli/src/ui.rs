//! Everything that keyroll prints and asks. Data on stdout, messages on stderr; with `--json` events on stdout alone.

mod causes;
mod cost;
mod line;
mod local_time;
mod look;
mod named_command;
mod progress;
mod prompt;
pub(crate) mod raw;
mod render;
mod screen;
mod silent;
mod table;
mod terminal;
mod wrap;

pub(crate) use causes::{causes, summed};
pub(crate) use cost::show_cost;
pub(crate) use look::Look;
pub(crate) use prompt::typed_hidden;
pub(crate) use screen::Ui;
pub(crate) use silent::{is_in_background, make_raw, put_terminal_back};
pub(crate) use table::Table;
pub(crate) use wrap::aside;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

/// Shows a problem that occurs before the flags are parsed. Searches the arguments for `--json` itself, so that a
/// program gets JSON.
pub(crate) fn fail_early(problem: &Problem) -> Exit {
    let json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    Ui::new(Look::choose(json, false, true)).problem(problem);
    problem.exit()
}
