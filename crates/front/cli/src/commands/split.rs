use std::collections::BTreeMap;

use keyroll_app::configured::secret;
use keyroll_app::exit::Exit;
use keyroll_app::plans::split;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::args::SplitArgs;
use crate::context::Context;

/// Inspects everything and saves a plan that gives each consumer of a shared key its own key; changes nothing.
pub(super) fn run(args: &SplitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let secret = secret(&config, &args.secret)?;
    let mut into = BTreeMap::new();
    for pair in &args.into {
        let (consumer, name) = pair.split_once('=').ok_or_else(|| {
            Problem::new(Code::SplitImpossible, format!("give each consumer of {} its own key", secret.name))
                .because("--into is CONSUMER=NAME")
                .exits(Exit::Usage)
        })?;
        into.insert(consumer.to_owned(), name.to_owned());
    }
    split::plan(secret, &into, &config, &context.installation, &mut context.ui)?;
    Ok(Exit::Done)
}
