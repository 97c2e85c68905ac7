use std::collections::BTreeMap;

use crate::args::SplitArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::plans::split;
use crate::problem::Problem;

/// Looks at everything and saves how each consumer of a shared key gets one of its own; touches nothing.
pub(super) fn run(args: &SplitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    let mut into = BTreeMap::new();
    for pair in &args.into {
        let (consumer, name) = pair.split_once('=').ok_or_else(|| {
            Problem::new("K0873", format!("give each consumer of {} a key of its own", secret.name))
                .because("--into is CONSUMER=NAME")
                .exits(Exit::Usage)
        })?;
        into.insert(consumer.to_owned(), name.to_owned());
    }
    split::plan(secret, &into, &config, context)?;
    Ok(Exit::Done)
}
