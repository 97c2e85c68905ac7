use crate::problem::Problem;
use crate::ui::line::clean;

/// A problem as people read it: what was attempted, the code, the causes, the next step.
pub(crate) fn problem(problem: &Problem, colour: bool) -> String {
    let (red, bold, off) = if colour { ("\u{1b}[31m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") };
    let mut text =
        format!("{red}error[{}]{off}: {bold}could not {}{off}\n", problem.code, clean(&problem.attempted));
    for cause in &problem.causes {
        text.push_str(&format!("  cause: {}\n", clean(cause)));
    }
    if let Some(help) = &problem.help {
        text.push_str(&format!("  help: {}\n", clean(help)));
    }
    text
}
