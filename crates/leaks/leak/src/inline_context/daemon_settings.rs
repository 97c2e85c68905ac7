use std::ops::Range;

use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::words::unquoted;

/// Ports for mail submission (RFC 6409, RFC 8314, and common others).
const MAIL_PORTS: [&[u8]; 4] = [b"25", b"465", b"587", b"2525"];

/// Words of `snmpd.conf`, `snmp.conf` and `snmptrapd.conf`, in lower case, and the index of the community after them.
/// Source: the manuals of Net-SNMP.
const COMMUNITIES: [(&[u8], usize); 12] = [
    (b"rocommunity", 0),
    (b"rwcommunity", 0),
    (b"rocommunity6", 0),
    (b"rwcommunity6", 0),
    (b"defcommunity", 0),
    (b"trapcommunity", 0),
    (b"authcommunity", 1),
    (b"trapsink", 1),
    (b"trap2sink", 1),
    (b"com2sec", 2),
    (b"com2sec6", 2),
    // In Cisco's: `snmp-server community VALUE RO`.
    (b"snmp-server", 1),
];

/// Prefixes of the algorithms before SNMP passwords, in upper case.
const PROTOCOLS: [&[u8]; 4] = [b"MD5", b"SHA", b"DES", b"AES"];

/// Settings of SNMP and of mail relays: the first word gives the meaning of the others.
pub(crate) fn in_daemons(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    let mut add = |span: Range<usize>| {
        found.push(("password".to_owned(), unquoted(line, &span), CandidateSource::Place))
    };
    in_snmp(line, words, &mut add);
    if let Some(password) = of_relay(line, words) {
        add(password);
    }
}

/// `rocommunity VALUE`, `createUser NAME SHA VALUE AES VALUE`.
fn in_snmp(line: &[u8], words: &[Range<usize>], add: &mut dyn FnMut(Range<usize>)) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    let Some((first, rest)) = words.split_first() else { return };
    let first = raw(first);
    let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
    if is(b"createUser") {
        for pair in rest.windows(2) {
            let [protocol, password] = pair else { continue };
            let begins = |name: &&[u8]| raw(protocol).to_ascii_uppercase().starts_with(name);
            if raw(protocol).len() <= b"AES-256".len() && PROTOCOLS.iter().any(begins) {
                add(password.clone());
            }
        }
    } else if let Some((_, number)) = COMMUNITIES.iter().find(|(word, _)| is(word)) {
        // With a context.
        let rest =
            if rest.first().is_some_and(|word| raw(word) == b"-Cn") { rest.get(2..) } else { Some(rest) };
        let community = rest.and_then(|rest| rest.get(*number));
        let cisco = !is(b"snmp-server") || words.get(1).is_some_and(|word| raw(word) == b"community");
        community.filter(|_| cisco).cloned().into_iter().for_each(add);
    }
}

/// `[smtp.host]:587 user:value`, `smtp.host user:value`: Postfix's logins at relays.
fn of_relay(line: &[u8], words: &[Range<usize>]) -> Option<Range<usize>> {
    let [host, login] = words else { return None };
    let raw = line.get(host.clone())?;
    let in_brackets = raw.starts_with(b"[");
    let (name, port) = match raw.strip_prefix(b"[") {
        Some(rest) => {
            let close = memchr::memchr(b']', rest)?;
            (rest.get(..close)?, rest.get(close + 1..)?)
        }
        None => raw.split_at_checked(memchr::memchr(b':', raw).unwrap_or(raw.len()))?,
    };
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:".contains(byte);
    let of_mail = match port.strip_prefix(b":") {
        Some(port) => MAIL_PORTS.contains(&port),
        None => port.is_empty() && places(name, b"smtp").next().is_some(),
    };
    let login_bytes = line.get(login.clone())?;
    let colon = memchr::memchr(b':', login_bytes).filter(|at| *at > 0)?;
    let address = login_bytes.get(colon + 1..)?.starts_with(b"//");
    let host = (in_brackets || name.contains(&b'.')) && name.iter().all(good);
    (of_mail && host && !address).then(|| login.start + colon + 1..login.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inline_context::words::words;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_daemons(line.as_bytes(), &words(line.as_bytes()), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_line_of_a_servers_settings_says_by_its_first_word_where_a_password_is() {
        for line in [
            "rocommunity kD93hfQ0plm4 10.0.0.0/8",
            "  RWCommunity \"kD93hfQ0plm4\"",
            "com2sec notConfigUser default kD93hfQ0plm4",
            "com2sec -Cn context mine 10.0.0.1 kD93hfQ0plm4",
            "trap2sink 10.0.0.9 kD93hfQ0plm4 162",
            "authCommunity log,execute,net kD93hfQ0plm4",
            "snmp-server community kD93hfQ0plm4 RO 10",
            "createUser bob SHA-256 kD93hfQ0plm4",
            "createUser -e 0x8000 bob MD5 \"kD93hfQ0plm4\" DES",
            "[smtp.h]:587 mailer@h:kD93hfQ0plm4",
            "[smtp.host] mailer:kD93hfQ0plm4",
            "[localhost]:587 mailer:kD93hfQ0plm4",
            "[2001:db8::25]:465 mailer:kD93hfQ0plm4",
            "smtp.host:587\tmailer@h:kD93hfQ0plm4",
            "mail.host:465 mailer:kD93hfQ0plm4",
            "email-smtp.host.org mailer:kD93hfQ0plm4",
        ] {
            let all: Vec<&str> = shown(line);
            assert_eq!(all.first(), Some(&"kD93hfQ0plm4"), "{line}");
            assert!(crate::secret_names::prefilter::may_name_a_secret(line.as_bytes()), "{line}");
        }
        assert_eq!(
            shown("createUser bob SHA kD93hfQ0plm4 AES kD93hfQ0plm5"),
            ["kD93hfQ0plm4", "kD93hfQ0plm5"]
        );
    }

    #[test]
    fn other_lines_have_none() {
        for line in [
            "createUser(bob, kD93hfQ0plm4)",
            "the community kD93hfQ0plm4",
            "snmp-server host kD93hfQ0plm4",
            "[2001:db8::1]:443 open",
            "smtp.host: mailer:kD93hfQ0plm4",
            "mail.host mailer:kD93hfQ0plm4",
            "web.host:443 mailer:kD93hfQ0plm4",
            "smtp.host:587 https://kD93hfQ0plm4",
            "smtp.host:587 mailer:kD93hfQ0plm4 more",
            "smtp:587 mailer:kD93hfQ0plm4",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
