use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// One of these stands in every name that says that its value is a secret, in every word before a token, and before every
/// password of a URL; in small letters.
pub(crate) const MARKS: [&str; 55] = [
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    // As a name is written, or its end; alone it stands in too many texts.
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
    // Of WordPress and Drupal, and of Devise.
    "_salt",
    "pepper",
    // Of SQL.
    "identified",
    // Of JSON Web Keys.
    "kty",
    // Of `.pgpass`.
    ":5432:",
    ":*:",
    // Of command lines.
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
    // Of mail that is passed on.
    "smtp",
    ":587",
    ":465",
    ":2525",
    // Of SNMP.
    "community",
    "com2sec",
    "createuser ",
    "trapsink",
    "trap2sink",
    // Of Oracle's addresses.
    ":thin:",
    // Of a wireless network.
    "psk",
    // Of Perl.
    "->connect",
    // Of Go's drivers for MySQL.
    "@tcp(",
    "@unix(",
];

/// What is written with escapes has one of these.
const ESCAPE: u8 = b'\\';

/// Whether a text may hold a name that says that its value is a secret, or a password or token in its usual surroundings. A
/// cheap look: where it is `false` the text need not be taken apart for any of them.
pub(crate) fn may_name_a_secret(text: &[u8]) -> bool {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let words = WORDS.get_or_init(|| AhoCorasick::builder().ascii_case_insensitive(true).build(MARKS).ok());
    // Without them everything is looked at.
    memchr::memchr(ESCAPE, text).is_some() || words.as_ref().is_none_or(|words| words.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::within::BEFORE;
    use crate::name::{JOINED, LAST};
    use crate::names_a_secret;

    #[test]
    fn a_text_with_any_word_that_is_looked_for_may_hold_a_value() {
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
