use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;

/// Prints the JSON Schema of keyroll.toml, the same with and without `--json`.
pub(super) fn run(context: &mut Context) -> Result<Exit, Problem> {
    context.ui.data(&format!("{:#}", keyroll_config::schema()));
    Ok(Exit::Done)
}
