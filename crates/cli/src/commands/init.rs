use keyroll_config::{Config, SCHEMA_FILE_NAME};

use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;

/// What stands in a new file. It is accepted as it is.
const BEGINNING: &str = "\
#:schema ./keyroll.schema.json
# Which secrets there are, who accepts them, and who uses them. Never a value: see docs/reference/config.md.
version = 1

[defaults]
max_parallel = 1
on_failure = \"rollback\"

# [secrets.openrouter]
# issuer = \"openrouter\"
# admin  = \"file:./openrouter-admin.key\"
#
# [[secrets.openrouter.consumers]]
# name  = \"api\"
# runs  = { restart = [\"./restart.sh\"], pid_file = \"./run/api.pid\" }
# reads = { env_file = \"./api.env\", variable = \"OPENROUTER_API_KEY\" }
# check = { exec = [\"./probe.sh\", \"{copy}\"] }
";

/// Writes a keyroll.toml to begin with, and its schema beside it. Nothing that exists is written over.
pub(super) fn run(context: &mut Context) -> Result<Exit, Problem> {
    let path = context.config_path();
    config_file::create(&path, BEGINNING)?;
    let schema = path.with_file_name(SCHEMA_FILE_NAME);
    let text = format!("{:#}\n", keyroll_config::schema());
    // An older schema is ours to renew; the configuration is not.
    match schema.exists() {
        true => config_file::replace(&schema, &config_file::read(&schema)?, &text)?,
        false => config_file::create(&schema, &text)?,
    }
    Config::load(&path)?;
    context.ui.note(format!("wrote {} and {}", path.display(), schema.display()));
    context.ui.note(format!("to undo: rm {} {}", path.display(), schema.display()));
    context.ui.note("next: keyroll secret add NAME --issuer SPEC --admin file:./FILE");
    Ok(Exit::Done)
}
