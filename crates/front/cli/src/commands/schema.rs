use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

use crate::context::Context;

/// Prints the JSON Schema of keyroll.toml, the same with and without `--json`.
pub(super) fn run(context: &mut Context) -> Result<Exit, Problem> {
    context.ui.data(&format!("{:#}", keyroll_config::schema()));
    Ok(Exit::Done)
}
