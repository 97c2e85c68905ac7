use std::path::PathBuf;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_server::{Role, Tokens, table};

use crate::args::{TokenCommand, TokenRole};
use crate::context::Context;
use crate::recorded;
use crate::ui::Table;

/// Makes, lists and revokes the tokens of the server. A running server needs no restart.
pub(super) fn run(command: &TokenCommand, context: &mut Context) -> Result<Exit, Problem> {
    let alerts = match command {
        TokenCommand::New(args) => args.alerts,
        TokenCommand::List(args) => args.alerts,
        TokenCommand::Revoke(args) => args.alerts,
    };
    let file = file(alerts, context)?;
    match command {
        TokenCommand::New(args) => {
            let role = match args.role {
                TokenRole::Viewer => Role::Viewer,
                TokenRole::Operator => Role::Operator,
                TokenRole::Approver => Role::Approver,
                TokenRole::Responder => Role::Responder,
                TokenRole::Admin => Role::Admin,
            };
            Tokens::add(&file, &args.name, role, &args.out)?;
            recorded::token("token new", &args.name, Some(role.word()), context);
            let (name, out) = (&args.name, args.out.display());
            // Prometheus and scanners send the latter; the server takes both, except for alerts.
            let header =
                if alerts || role != Role::Admin { "Authorization: Bearer" } else { "X-Admin-Token" };
            context.ui.note(format!(
                "{out} has the token of {name}, for the header {header}; keyroll cannot show it again"
            ));
        }
        TokenCommand::List(_) => {
            let rows = Tokens::read(&file)?.list();
            if rows.is_empty() {
                context.ui.note("no token is valid: keyroll token new NAME --out FILE");
                return Ok(Exit::Done);
            }
            let mut table = Table::new(["TOKEN", "ID", "ROLE", "MADE"]);
            for row in rows {
                let role = if alerts { "alerts" } else { row.role.word() };
                let made = row.made.unwrap_or_else(|| "written by hand".to_owned());
                table.row([row.name, row.id, role.to_owned(), made]);
            }
            context.ui.data(&table.lines().join("\n"));
        }
        TokenCommand::Revoke(args) => {
            // Any other word may be a token itself, in the wrong place.
            if Tokens::read(&file)?.list().iter().any(|token| token.name == args.name) {
                recorded::token("token revoke", &args.name, None, context);
            }
            Tokens::revoke(&file, &args.name)?;
            context.ui.note(format!("the token of {} is refused from now on", args.name));
            let left = Tokens::read(&file)?.list();
            if left.is_empty() {
                context.ui.note(
                    "no token is valid now, so nobody can call the server: keyroll token new NAME --out FILE",
                );
            } else if !left.iter().any(|token| token.role.allows(Role::Responder)) {
                context.ui.note(
                    "no admin token is valid now, so nobody can begin an emergency by the server: keyroll token new \
                     NAME --out FILE",
                );
            } else if !left.iter().any(|token| token.role.allows(Role::Admin)) {
                context.ui.note(
                    "no admin token is valid now, so the server does not start again: keyroll token new NAME --out FILE",
                );
            }
        }
    }
    Ok(Exit::Done)
}

fn file(alerts: bool, context: &Context) -> Result<PathBuf, Problem> {
    let config = context.installation.config()?;
    let problem = || Problem::new(Code::AdminTokenUnusable, "find the file of the tokens");
    let server = table(&config, &context.installation, problem)?;
    if !alerts {
        return Ok(server.admin_token.clone());
    }
    server.alerts.tokens.clone().ok_or_else(|| {
        problem()
            .because("keyroll.toml names no file of tokens for alerts")
            .help("add: [server.alerts], tokens = \"file:./alert-tokens\"")
    })
}
