use keyroll_app::operator::clean;
use keyroll_app::problem::Problem;

/// A problem as people read it: what was attempted, the code, the causes, the next step; and further mistakes of the same text.
pub(crate) fn problem(problem: &Problem, colour: bool) -> String {
    let (red, bold, off) = if colour { ("\u{1b}[31m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") };
    let mut text =
        format!("{red}error[{}]{off}: {bold}could not {}{off}\n", problem.code, clean(&problem.attempted));
    for cause in &problem.causes {
        text.push_str(&format!("  cause: {}\n", clean(cause)));
    }
    match &problem.help {
        Some(help) => text.push_str(&format!("  help: {}\n", clean(help))),
        None => text.push_str(&format!("  help: keyroll explain {}\n", problem.code)),
    }
    for one in &problem.further {
        text.push_str(&format!("  also: {}\n", clean(&one.cause)));
        if let Some(help) = &one.help {
            text.push_str(&format!("  help: {}\n", clean(help)));
        }
    }
    if problem.left_off > 0 {
        text.push_str(&format!("  and {} more\n", problem.left_off));
    }
    text
}
