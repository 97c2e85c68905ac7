use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::session;
use keyroll_app::session::adopt::AdoptRequest;

use super::{check_adapter, waive};
use crate::args::{AdoptArgs, ConsumerCommand, CorrectArgs};
use crate::context::Context;

/// Adopts or waives a process or a copy.
pub(super) fn run(command: &ConsumerCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        ConsumerCommand::Adopt(args) => adopt(args, context),
        ConsumerCommand::Correct(args) => correct(args, context),
        ConsumerCommand::LetGo(args) => waive::let_go(args, context),
        ConsumerCommand::AcceptFile(args) => waive::accept_file(args, context),
        ConsumerCommand::Waive(args) => waive::run(args, context),
        ConsumerCommand::Waivers(args) => waive::list(args, context),
        ConsumerCommand::CheckAdapter(args) => Ok(check_adapter::run(args, context)),
    }
}

fn adopt(args: &AdoptArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = AdoptRequest {
        holder: &args.holder,
        name: &args.name,
        secret: args.secret.as_deref(),
        restart: args.restart.as_deref(),
        signal: args.signal.as_deref(),
        pid_file: args.pid_file.as_deref(),
        process: args.process.as_deref(),
        unit: args.unit.as_deref(),
        env_file: args.env_file.as_deref().zip(args.variable.as_deref()),
        file: args.file.as_deref(),
        within: args.format.as_deref().zip(args.at.as_deref()),
        check: args.check.as_deref(),
        replace: args.replace,
    };
    session::adopt::adopt(&request, &context.installation, &mut context.ui).map(|()| Exit::Done)
}

fn correct(args: &CorrectArgs, context: &mut Context) -> Result<Exit, Problem> {
    let (consumer, secret) = (args.consumer.as_str(), args.secret.as_deref());
    let done = session::correct::correct(consumer, secret, &context.installation, &mut context.ui)?;
    let (names, id) = (done.consumers.join(", "), &done.rotation);
    context.ui.note(match done.had_them {
        true => {
            format!("rotation {id} of {} has the commands of {names} in keyroll.toml already", done.secret)
        }
        false => format!(
            "rotation {id} of {} runs the commands of {names} in keyroll.toml from now on",
            done.secret
        ),
    });
    context.ui.note(done.next);
    Ok(Exit::Done)
}
