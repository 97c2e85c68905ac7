use crate::args::PlanArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::plans::make;
use crate::problem::Problem;

/// Looks at everything and saves what a rotation would do; touches nothing.
pub(super) fn run(args: &PlanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    if secret.consumers.is_empty() {
        let (path, name) = (context.config_path(), &secret.name);
        return Err(Problem::new("K0809", format!("plan a rotation of {}", secret.name))
            .because("no consumer of it is configured: nothing could show that the new value works")
            .help(format!(
                "describe who uses it as [[secrets.{name}.consumers]] in {}; if it leaked and nobody uses it, end it at its \
                 issuer (keyroll issuers show {name} says where), then keyroll verify {name}",
                path.display()
            )));
    }
    make::plan(secret, &config, context)?;
    Ok(Exit::Done)
}
