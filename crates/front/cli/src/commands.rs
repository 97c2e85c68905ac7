//! One file per command. A command checks its arguments, asks, calls `keyroll-app`, and shows the result.

mod abort;
mod apply;
mod audit;
mod check_adapter;
mod completion;
mod consumer;
mod demo;
mod doctor;
mod due;
mod emergency;
mod explain;
mod fingerprints;
mod get;
mod graph;
mod history;
mod hosts;
mod incident;
mod init;
mod inspect_hosts;
mod issuers;
mod leaks;
mod man;
mod notice;
mod pause;
mod plan;
mod redact;
mod resume;
mod retry;
mod revoke;
mod run;
mod runbook;
mod scan;
mod schema;
mod secret;
mod serve;
mod socket;
mod split;
mod status;
mod token;
mod trace;
mod tried_rules;
mod verify;
mod waive;
mod why;

use std::process::ExitCode;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;

use crate::args::Command;
use crate::context::Context;
use crate::recorded;

/// Runs one command, and shows the problem that it ended with.
pub(crate) fn run(command: Command, context: &mut Context) -> ExitCode {
    narrow(&command, context);
    let asked = match recorded::before(&command, context) {
        Ok(asked) => asked,
        Err(problem) => return end(Err(problem), context),
    };
    let ended = match command {
        Command::Demo(args) => return demo::run(&args, context.ui.look),
        Command::DemoPart(args) => return demo::part(args),
        Command::Below(args) => {
            let (problem, code) = run::below(&args);
            context.ui.problem(&problem);
            return code.into();
        }
        Command::Scan(args) if args.hosts.any() => inspect_hosts::scan_hosts(&args, context),
        Command::Scan(args) => scan::run(&args, context),
        Command::Why(args) if args.hosts.any() => inspect_hosts::explain_hosts(&args, context),
        Command::Why(args) => why::run(&args, context),
        Command::Trace(args) if args.hosts.any() => inspect_hosts::trace_hosts(&args, context),
        Command::Trace(args) => trace::run(&args, context),
        Command::Graph(args) => graph::run(&args, context),
        Command::Leaks(args) => leaks::run(&args, context),
        Command::Fingerprints(args) => fingerprints::run(&args, context),
        Command::Redact(args) => redact::run(&args, context),
        Command::Run(args) => match run::run(&args, context) {
            Ok(code) => return code,
            Err(problem) => Err(problem),
        },
        Command::Hosts(command) => hosts::run(&command, context),
        Command::Init(args) => init::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Secret(command) => secret::run(&command, context),
        Command::Issuers(command) => issuers::run(&command, context),
        Command::Plan(args) => plan::run(&args, context),
        Command::Split(args) => split::run(&args, context),
        Command::Apply(args) => apply::run(&args, context),
        Command::Resume(args) => resume::run(&args, context),
        Command::Pause(args) => pause::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Abort(args) | Command::Undo(args) => abort::run(&args, context),
        Command::Retry(args) => retry::run(&args, context),
        Command::Consumer(command) => consumer::run(&command, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Revoke(args) => revoke::run(&args, context),
        Command::Emergency(args) => emergency::run(&args, context),
        Command::Incident(command) => incident::run(&command, context),
        Command::Runbook(args) => runbook::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Get(args) => get::run(&args, context),
        Command::Token(command) => token::run(&command, context),
        Command::Notice(command) => notice::run(&command, context),
        Command::Due(args) => due::run(&args, context),
        Command::History(args) => history::run(&args, context),
        Command::Audit(args) => audit::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Schema => schema::run(context),
        Command::Completion(args) => completion::run(&args, context),
        Command::Man(args) => man::run(&args, context),
    };
    if let (Ok(_), Some(asked)) = (&ended, &asked) {
        recorded::after(asked, context);
    }
    end(ended, context)
}

/// Shows the problem that a command ended with.
pub(crate) fn end(ended: Result<Exit, Problem>, context: &mut Context) -> ExitCode {
    let ended = ended.and_then(|exit| context.ui.lost().map_or(Ok(exit), Err));
    let exit = ended.unwrap_or_else(|problem| {
        context.ui.problem(&problem);
        problem.exit()
    });
    exit.into()
}

/// Removes the access of others to files in the state folder, and says so.
fn narrow(command: &Command, context: &mut Context) {
    // These commands change nothing, or do not use the state folder; doctor reports such files.
    let elsewhere = matches!(
        command,
        Command::Doctor(_)
            | Command::Scan(_)
            | Command::Why(_)
            | Command::Trace(_)
            | Command::Graph(_)
            | Command::Leaks(_)
            | Command::Redact(_)
            | Command::Run(_)
            | Command::Get(_)
            | Command::Demo(_)
            | Command::DemoPart(_)
            | Command::Below(_)
            | Command::Init(_)
            | Command::Notice(_)
            | Command::Explain(_)
            | Command::Schema
            | Command::Completion(_)
            | Command::Man(_)
    );
    let Some(places) = context.installation.places().ok().filter(|_| !elsewhere) else { return };
    for line in places.narrow() {
        context.ui.note(line);
    }
}
