use std::sync::Arc;

use keyroll_app::exit::Exit;
use keyroll_app::places::Locations;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_server::{ALERT_RULES, CRD_YAML, Setup, check, openapi_json, rights, serve, unit};

use crate::args::ServeArgs;
use crate::context::Context;
use crate::{remote, ui};

/// Runs the server until a signal ends it, or prints its unit file, its alert rules or its description.
pub(super) fn run(args: &ServeArgs, context: &mut Context) -> Result<Exit, Problem> {
    if args.unit {
        context.ui.file(unit(&context.installation)?.as_bytes());
        return Ok(Exit::Done);
    }
    if args.alert_rules {
        context.ui.file(ALERT_RULES.as_bytes());
        return Ok(Exit::Done);
    }
    if args.openapi {
        context.ui.file((openapi_json() + "\n").as_bytes());
        return Ok(Exit::Done);
    }
    if args.crd {
        context.ui.file(CRD_YAML.as_bytes());
        return Ok(Exit::Done);
    }
    if args.check {
        return check(&context.installation);
    }
    if args.rights {
        let text = rights(args.kubernetes.as_deref(), args.account.as_deref(), &context.installation)?;
        context.ui.file(text.as_bytes());
        return Ok(Exit::Done);
    }
    let program = std::env::current_exe().map_err(|error| {
        Problem::new(Code::ServerNotStarted, "find the program of keyroll").because_of(&error)
    })?;
    let globals = &context.globals;
    let locations = Locations {
        config: globals.config.clone(),
        state: globals.state.clone(),
        keys: globals.keys.clone(),
        sealing_key: globals.sealing_key.clone(),
        ask: None,
        asker: None,
    };
    let look = ui::Look { json: false, live: false, ..context.ui.look };
    let log = Arc::new(move |line: &str| ui::aside(look, line));
    serve(Setup { locations, program, log, readable: remote::readable, kubernetes: args.kubernetes.clone() })
}
