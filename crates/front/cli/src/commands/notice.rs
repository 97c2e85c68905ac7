use keyroll_app::exit::Exit;
use keyroll_app::operator::{CheckShown, Event, Finding};
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_server::{table, test_notices};

use crate::args::NoticeCommand;
use crate::context::Context;

/// Sends a test to the recipients of notices, and shows what each answers.
pub(super) fn run(command: &NoticeCommand, context: &mut Context) -> Result<Exit, Problem> {
    let NoticeCommand::Test(args) = command;
    let config = context.installation.config()?;
    let problem = || Problem::new(Code::NoticeNotSent, "find the recipients of notices");
    let server = table(&config, &context.installation, problem)?;
    let answers = test_notices(server, args.name.as_deref())?;
    let all = answers.len();
    let mut failed = Vec::new();
    for (name, answer) in answers {
        let (finding, detail) = match answer {
            Ok(()) => (Finding::Good, "taken".to_owned()),
            Err(why) => {
                failed.push(name.clone());
                (Finding::Bad, why)
            }
        };
        context.ui.event(Event::Check(CheckShown { name, finding, detail, help: None }));
    }
    let Some(first) = failed.first() else { return Ok(Exit::Done) };
    let again = format!("keyroll notice test {first}");
    Err(Problem::new(Code::NoticeNotSent, "send a test notice to every recipient")
        .because(format!("{} of {all} did not take it: {}", failed.len(), failed.join(", ")))
        .help(format!("correct the recipient in keyroll.toml or in its file, then: {again}")))
}
