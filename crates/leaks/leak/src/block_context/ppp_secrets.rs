use std::ops::Range;

use crate::block_context::lines::line_from;
use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::words::{is_quote, unquoted, words};

/// Marks of a line that identify the following lines: the head of `chap-secrets` and `pap-secrets` of pppd, or their
/// file names in a script that writes them.
pub(crate) const PPP_MARKS: [&str; 3] = [HEAD, "chap-secrets", "pap-secrets"];
const HEAD: &str = "Secrets for authentication using";

/// The most lines that are read after a mark.
const PPP_LINES_MAX: usize = 32;

/// Lines with client, server, secret and addresses after a line that identifies them. Source: the manual of pppd,
/// AUTHENTICATION.
pub(crate) fn in_ppp_secrets(text: &[u8], line: &Range<usize>, found: &mut Vec<NamedValue>) {
    if !says(text, line) {
        return;
    }
    let mut next = Some(line.clone());
    for number in 0..=PPP_LINES_MAX {
        let Some(line) = next else { return };
        // The next identified line covers the lines after it.
        if number > 0 && says(text, &line) {
            return;
        }
        found.extend(secret(text, &line).map(|span| ("secret".to_owned(), span, CandidateSource::Place)));
        next = line_from(text, line.end);
    }
}

fn says(text: &[u8], line: &Range<usize>) -> bool {
    let raw = text.get(line.clone()).unwrap_or_default();
    let named =
        |at: usize| raw.get(..at).is_some_and(|name| name.ends_with(b"chap") || name.ends_with(b"pap"));
    places(raw, HEAD.as_bytes()).next().is_some() || places(raw, b"-secrets").any(named)
}

/// The third word of a line, or of a line that `echo` writes, if the second or fourth is `*` or an address.
fn secret(text: &[u8], line: &Range<usize>) -> Option<Range<usize>> {
    let raw = text.get(line.clone())?;
    let mut words = words(raw);
    let echo = words.iter().position(|word| raw.get(word.clone()) == Some(b"echo")).map_or(0, |at| at + 1);
    words.drain(..echo);
    let [client, server, secret, rest @ ..] = words.as_slice() else { return None };
    let said = |word: &Range<usize>| without_quotes(raw.get(word.clone()).unwrap_or_default());
    let allowed = |word: &Range<usize>| said(word) == b"*" || is_address(said(word));
    let anything = said(server) == b"*" || rest.first().is_some_and(allowed);
    let named = raw.get(client.clone()).is_some_and(|client| !client.starts_with(b"#"));
    let span = unquoted(raw, secret);
    (anything && named).then(|| line.start + span.start..line.start + span.end)
}

/// Without a quote at either end, as in `"bob` and `*"` of an `echo`.
fn without_quotes(word: &[u8]) -> &[u8] {
    let (Some(first), Some(last)) = (word.first(), word.last()) else { return word };
    let from = usize::from(is_quote(*first));
    let upto = word.len() - usize::from(is_quote(*last));
    word.get(from..upto).unwrap_or_default()
}

fn is_address(word: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_hexdigit() || b".:/".contains(byte);
    word.iter().all(good) && word.iter().any(|byte| b".:".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_context::tests::by_line;

    fn shown(text: &str) -> Vec<&str> {
        by_line(text, in_ppp_secrets).into_iter().map(|one| one.1).collect()
    }

    #[test]
    fn a_line_of_pppd_has_its_secret_after_client_and_server() {
        let head = "# Secrets for authentication using CHAP\n# client\tserver\tsecret\t\t\tIP addresses\n";
        for line in [
            "bob\tpptpd\tkD93hfQ0plm4\t*",
            "\"bob\" * \"kD93hfQ0plm4\"",
            "bob pptpd kD93hfQ0plm4 10.0.0.2",
            "bob l2tpd 'kD93hfQ0plm4' 10.0.0.0/24 # of the office",
        ] {
            assert_eq!(shown(&format!("{head}\n{line}\n")), ["kD93hfQ0plm4"], "{line}");
            assert!(shown(&format!("{line}\n")).is_empty(), "{line}");
        }
        assert_eq!(shown("echo \"bob * kD93hfQ0plm4 *\" >> /etc/ppp/chap-secrets\n"), ["kD93hfQ0plm4"]);
        let script =
            "cat > /etc/ppp/pap-secrets <<EOF\nbob l2tpd kD93hfQ0plm4 *\nEOF\ncp one two kD93hfQ0plm5\n";
        assert_eq!(shown(script), ["kD93hfQ0plm4"]);
        let said = "# Secrets for authentication using PAP";
        assert!(crate::reaches_far(said.as_bytes()) && crate::reaches_far(b"a/chap-secrets"));
    }

    #[test]
    fn of_many_lines_each_is_read_by_one() {
        let line = |number: usize| format!("u{number} * kD93hfQ0p{number:04} * # chap-secrets\n");
        let text: String = (0..1_000).map(line).collect();
        assert_eq!(shown(&text).len(), 1_000);
    }
}
