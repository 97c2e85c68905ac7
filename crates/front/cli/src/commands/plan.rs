use keyroll_app::configured::secret;
use keyroll_app::exit::Exit;
use keyroll_app::plans::make;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::args::PlanArgs;
use crate::context::Context;

/// Inspects everything and saves a rotation plan; changes nothing.
pub(super) fn run(args: &PlanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let secret = secret(&config, &args.secret)?;
    if secret.consumers.is_empty() {
        let (path, name) = (context.installation.config_path(), &secret.name);
        return Err(Problem::new(Code::NotPlannable, format!("plan a rotation of {}", secret.name))
            .because("it has no declared consumer: nothing could prove that the new value works")
            .help(format!(
                "declare its consumers as [[secrets.{name}.consumers]] in {}; if it leaked and nothing uses \
                 it, revoke it at its issuer (keyroll issuers show {name} says where), then keyroll verify \
                 {name}",
                path.display()
            )));
    }
    make::plan(secret, &config, &context.installation, &mut context.ui)?;
    Ok(Exit::Done)
}
