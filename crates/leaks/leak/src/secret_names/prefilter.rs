use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// One of these, in lower case, is in every name of a secret, every word before a token, and before every password of
/// a URL.
pub(crate) const PREFILTER_MARKS: [&str; 56] = [
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    // As a whole word; alone it is too common.
    "_pw",
    "pw=",
    "pw:",
    "pw ",
    "pw\"",
    "pw'",
    "pw>",
    "credential",
    "creds",
    "auth",
    "bearer",
    "basic",
    "://",
    // WordPress, Drupal and Devise.
    "_salt",
    "pepper",
    // SQL.
    "identified",
    // JSON Web Keys.
    "kty",
    // `.pgpass`.
    ":5432:",
    ":*:",
    // Command lines.
    " -p",
    "mysql",
    "redis-cli",
    "curl",
    "ldapsearch",
    " -a ",
    "smbclient",
    "sqlplus",
    "lftp",
    "freerdp",
    "etcdctl",
    "rabbitmqctl",
    "vault login",
    "alias set ",
    "sudo -s",
    "snmp",
    "net use ",
    // Mail relays.
    "smtp",
    ":587",
    ":465",
    ":2525",
    // SNMP.
    "community",
    "com2sec",
    "createuser ",
    "trapsink",
    "trap2sink",
    // Oracle's addresses.
    ":thin:",
    "@//",
    // Wireless networks.
    "psk",
    // Perl.
    "->connect",
    // Go's drivers for MySQL.
    "@tcp(",
    "@unix(",
];

/// Escaped text contains this.
const ESCAPE: u8 = b'\\';

/// Whether a text may contain the name of a secret, or a password or token by its position. A cheap test: `false` is
/// certain.
pub(crate) fn may_name_a_secret(text: &[u8]) -> bool {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let words =
        WORDS.get_or_init(|| AhoCorasick::builder().ascii_case_insensitive(true).build(PREFILTER_MARKS).ok());
    // If the search could not be built, every text may contain a secret.
    memchr::memchr(ESCAPE, text).is_some() || words.as_ref().is_none_or(|words| words.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inline_context::url_credentials::BEFORE;
    use crate::names_a_secret;
    use crate::secret_names::{JOINED, LAST};

    #[test]
    fn a_text_with_any_word_that_is_searched_for_may_hold_a_value() {
        let names = LAST.iter().map(|words| words.concat()).chain(JOINED.map(str::to_owned));
        for name in names.filter(|name| names_a_secret(name)) {
            for set in [format!("{name}="), format!("{name}: "), format!("\"{name}\""), format!("<{name}>")] {
                let capitals = set.to_uppercase();
                assert!(may_name_a_secret(set.as_bytes()) && may_name_a_secret(capitals.as_bytes()), "{set}");
            }
        }
        for word in BEFORE {
            let capitals = word.to_uppercase();
            assert!(may_name_a_secret(word.as_bytes()) && may_name_a_secret(capitals.as_bytes()), "{word}");
        }
        for text in ["db = 'p://u:w@h'", r#"{"db": "p:\/\/u:w@h"}"#, r#"{"k\u0065y": 1}"#] {
            assert!(may_name_a_secret(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ordinary_settings_hold_nothing() {
        assert!(!may_name_a_secret(b"port: 80\nname: 'web'\npath = /srv/app/of/the/team\n"));
        assert!(may_name_a_secret(b"sort_KEY: 80\n"));
    }
}
