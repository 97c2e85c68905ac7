//! The section of the page about mutants that has the figures.

use std::fs;

use super::report::Report;
use crate::run::root;

/// The page.
pub(super) const PAGE: &str = "docs/reference/mutants.md";

/// The heading of the figures.
const HEADING: &str = "## Score of generated mutants";

/// Writes the figures of a run into the page.
pub(super) fn write(report: &Report<'_>) -> Result<(), String> {
    let page = fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let text = replaced(&page, &report.table())?;
    fs::write(root().join(PAGE), text).map_err(|error| format!("could not write {PAGE}: {error}"))
}

/// The page with this text below the heading, up to the next heading.
fn replaced(page: &str, text: &str) -> Result<String, String> {
    let (before, rest) =
        page.split_once(HEADING).ok_or_else(|| format!("{PAGE}: the heading '{HEADING}' is missing"))?;
    let after = rest.find("\n## ").and_then(|at| rest.get(at..)).unwrap_or_default();
    Ok(format!("{before}{HEADING}\n\n{}\n{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_with_the_figures_is_replaced() {
        let page = format!("# A\n\n{HEADING}\n\nold\n\n## B\n\nkept\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("# A\n\n{HEADING}\n\nnew\n\n## B\n\nkept\n"));
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("# A\n", "new").is_err());
    }
}
