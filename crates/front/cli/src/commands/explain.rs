use keyroll_app::exit::Exit;
use keyroll_app::operator::{CodeShown, Event};
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::args::ExplainArgs;
use crate::context::Context;

/// Prints the page of one error code, or lists all codes. Reads nothing of this machine.
pub(super) fn run(args: &ExplainArgs, context: &mut Context) -> Result<Exit, Problem> {
    match &args.code {
        Some(number) => explain(number, context),
        None => {
            list(context);
            Ok(Exit::Done)
        }
    }
}

fn explain(number: &str, context: &mut Context) -> Result<Exit, Problem> {
    let Some(code) = Code::parse(number) else {
        return Err(Problem::new(Code::UsageWrong, "find the error code")
            .because("keyroll has no error code of this number")
            .help("keyroll explain lists all codes")
            .exits(Exit::Usage));
    };
    if code != number.to_ascii_uppercase().as_str() {
        context.ui.note(format!("{} was merged into {code}", number.to_ascii_uppercase()));
    }
    match context.ui.look.json {
        true => context.ui.event(Event::Code(CodeShown::of(code))),
        false => context.ui.file(code.page().as_bytes()),
    }
    Ok(Exit::Done)
}

fn list(context: &mut Context) {
    if context.ui.look.json {
        return Code::ALL.iter().for_each(|&code| context.ui.event(Event::Code(CodeShown::of(code))));
    }
    let areas = Code::AREAS.iter().map(|(area, codes)| {
        let codes = codes.iter().map(|code| format!("  {code}  {}\n", code.title()));
        format!("{area}\n{}", codes.collect::<String>())
    });
    context.ui.data(areas.collect::<Vec<_>>().join("\n").trim_end());
}
