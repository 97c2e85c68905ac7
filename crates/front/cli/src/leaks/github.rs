use keyroll_app::leaks::{Identities, LeakShown, VerifiedShown};
use keyroll_scanner::Report;

/// How many items that were not scanned are listed one by one.
const SKIPPED_SHOWN_MAX: usize = 20;

/// Workflow commands, which GitHub shows beside the lines that they name:
/// <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>.
pub(crate) fn annotations(report: &Report, identities: Identities) -> String {
    let shown = report.open().map(LeakShown::of).map(|one| line(&one, identities));
    // Without these annotations, a reader would believe that everything was scanned.
    let title = property("keyroll: not visible");
    let skipped = report.skipped.iter().take(SKIPPED_SHOWN_MAX);
    let skipped = skipped
        .map(|one| format!("::warning title={title}::{}\n", message(&format!("{} ({})", one.what, one.why))));
    let more = report.skipped.len().saturating_sub(SKIPPED_SHOWN_MAX) as u64 + report.skipped_left_out;
    let more = (more > 0).then(|| format!("::warning title={title}::and {more} more\n"));
    shown.chain(skipped).chain(more).collect()
}

fn line(one: &LeakShown, identities: Identities) -> String {
    let level = if one.is_over() { "notice" } else { "error" };
    let place = &one.place;
    let mut properties = Vec::new();
    if let Some(path) = place.path.as_ref().filter(|_| place.inside.is_empty() && place.host.is_none()) {
        properties.push(format!("file={}", property(path)));
        properties.push(format!("line={},col={}", place.line, place.column));
        properties.push(format!("endLine={},endColumn={}", place.end_line, place.end_column));
    }
    properties.push(format!("title={}", property(&format!("keyroll: {}", one.called()))));
    let remark = one.remark.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    let state = one.verified.as_ref().map_or_else(|| one.state.to_owned(), VerifiedShown::text);
    let identity = if identities.stay() { format!("; identity {}", one.identity) } else { String::new() };
    let text = format!("{} ({state}) in {}{remark}{identity}", one.titled(), place.text());
    format!("::{level} {}::{}\n", properties.join(","), message(&text))
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    // Redact first: in percent-encoded text a value would not be recognised.
    message(&keyroll_app::redact::pass(text)).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        assert_eq!(property("a:b,c%\n::error::x"), "a%3Ab%2Cc%25%0A%3A%3Aerror%3A%3Ax");
        assert_eq!(message("a:b\r\n"), "a:b%0D%0A");
    }
}
