use crate::byte_search::{addresses, places};
use crate::candidate::{CandidateSource, NamedValue, VALUE_BYTES_MAX};
use crate::confidence::is_made_of_words;
use crate::inline_context::words::is_quote;
use crate::names_a_secret;

/// The shortest token before `@` in an address without a colon, bytes: user names are shorter.
const TOKEN_BYTES_MIN: usize = 20;

/// The digits of the public key in a DSN of Sentry, whose path is a project number.
const SENTRY_DIGITS: usize = 32;

/// How far before a password in mount options the user name is searched, bytes.
const OPTIONS_BYTES_MAX: usize = 512;

/// The longest name of a part, bytes.
const NAME_BYTES_MAX: usize = 64;

/// How far from a password the start and end of its string are searched, bytes.
const STRING_BYTES_MAX: usize = 1_024;

/// Names of passwords in connection strings, in lower case.
const PASSWORDS: [&[u8]; 3] = [b"password", b"pwd", b"accesskey"];

/// The text after a login in Go's drivers for MySQL.
const PROTOCOLS: [&[u8]; 2] = [b"tcp(", b"unix("];

/// Values inside one string: of a connection string, `host=db password=value`, `db:6380,password=value`,
/// `user:value@tcp(host)`; `${NAME:-value}`; `https://value@host`; `{ password: value }`.
pub(crate) fn in_parts(line: &[u8], found: &mut Vec<NamedValue>) {
    in_strings(line, found);
    in_defaults(line, found);
    in_addresses(line, found);
    in_flows(line, found);
    in_thin(line, found);
    in_easy_connect(line, found);
    in_sources(line, found);
    in_logins(line, found);
}

/// A quoted string with a password among other parts.
fn in_strings(line: &[u8], found: &mut Vec<NamedValue>) {
    for sign in memchr::memchr_iter(b'=', line) {
        let before = line.get(sign.saturating_sub(NAME_BYTES_MAX)..sign).unwrap_or_default();
        let named = |name: &&[u8]| {
            let end = before.len().checked_sub(name.len()).and_then(|from| before.get(from..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        let Some(name) = PASSWORDS.iter().find(|name| named(name)) else { continue };
        let start = sign - name.len();
        let Some(lead) = start.checked_sub(1).and_then(|at| line.get(at)).copied() else { continue };
        let rest = line.get(sign + 1..line.len().min(sign + 2 + VALUE_BYTES_MAX)).unwrap_or_default();
        let until =
            |ends: &dyn Fn(u8) -> bool| rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        let length = match lead {
            // Not an argument of a call: no space follows the comma, and the string begins before it.
            b',' if is_in_string(line, start, b',') || is_in_options(line, start) => {
                until(&|byte| byte == b',' || is_quote(byte) || byte.is_ascii_whitespace())
            }
            b' ' if is_in_string(line, start, b' ') => {
                until(&|byte| byte.is_ascii_whitespace() || is_quote(byte) || byte == b'\\')
            }
            // The first part of a string, or the only one.
            quote if is_quote(quote) => {
                let length = until(&|byte| byte == quote || matches!(byte, b';' | b'&' | b'\n' | b'\\'));
                match rest.get(length) {
                    Some(end) if length > 0 && (*end == quote || matches!(end, b';' | b'&')) => length,
                    Some(_) | None => continue,
                }
            }
            _ => continue,
        };
        found.push(("password".to_owned(), sign + 1..sign + 1 + length, CandidateSource::Place));
    }
}

/// Whether a part is in a quoted string after another part `name=value` or `host:port`.
fn is_in_string(line: &[u8], start: usize, between: u8) -> bool {
    let before = line.get(start.saturating_sub(STRING_BYTES_MAX)..start - 1).unwrap_or_default();
    let Some(open) = before.iter().rposition(|byte| is_quote(*byte)) else { return false };
    let behind = line.get(start..line.len().min(start + STRING_BYTES_MAX)).unwrap_or_default();
    let closed = behind.iter().any(|byte| Some(byte) == before.get(open));
    let mut parts = before.get(open + 1..).unwrap_or_default().split(|byte| *byte == between);
    let part = |part: &[u8]| {
        let sign = part.iter().position(|byte| matches!(byte, b'=' | b':'));
        sign.is_some_and(|sign| sign > 0 && sign + 1 < part.len()) && !part.contains(&b'(')
    };
    closed && parts.all(part)
}

/// Whether a part is in mount options after a user name: `-o username=app,password=value`.
fn is_in_options(line: &[u8], start: usize) -> bool {
    let before = line.get(start.saturating_sub(OPTIONS_BYTES_MAX)..start).unwrap_or_default();
    let from = before.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    let mut parts = before.get(from..).unwrap_or_default().split(|byte| *byte == b',');
    parts.any(|part| part.starts_with(b"username=") || part.starts_with(b"user="))
}

/// `jdbc:oracle:thin:user/value@host`.
fn in_thin(line: &[u8], found: &mut Vec<NamedValue>) {
    // Colons are more common than this sign, which follows.
    if memchr::memchr(b'@', line).is_none() {
        return;
    }
    for at in places(line, b":thin:") {
        let start = at + b":thin:".len();
        let rest = line.get(start..).unwrap_or_default();
        let near = rest.get(..rest.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte);
        let login = near.split(ends).next().unwrap_or_default();
        let slash = memchr::memchr(b'/', login);
        let sign = slash.and_then(|slash| Some(slash + memchr::memchr(b'@', login.get(slash..)?)?));
        if let (Some(slash), Some(sign)) = (slash, sign) {
            found.push(("password".to_owned(), start + slash + 1..start + sign, CandidateSource::Place));
        }
    }
}

/// `user/value@//host:1521/service`, Oracle's Easy Connect. With a scheme it is an address.
fn in_easy_connect(line: &[u8], found: &mut Vec<NamedValue>) {
    for sign in places(line, b"@//") {
        let far = sign.saturating_sub(NAME_BYTES_MAX + VALUE_BYTES_MAX);
        let before = line.get(far..sign).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte);
        let from = before.iter().rposition(ends).map_or(0, |last| last + 1);
        let login = before.get(from..).unwrap_or_default();
        let Some(slash) = memchr::memchr(b'/', login) else { continue };
        let user = login.get(..slash).unwrap_or_default();
        // After the name of a setting.
        let user = user.rsplit(|byte| *byte == b'=').next().unwrap_or_default();
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$#-".contains(byte);
        if !user.is_empty() && user.iter().all(good) && slash + 1 < login.len() {
            found.push(("password".to_owned(), far + from + slash + 1..sign, CandidateSource::Place));
        }
    }
}

/// `user:value@tcp(host:3306)/db`. With a scheme it is an address.
fn in_sources(line: &[u8], found: &mut Vec<NamedValue>) {
    for sign in memchr::memchr_iter(b'@', line) {
        let behind = line.get(sign + 1..).unwrap_or_default();
        if !PROTOCOLS.iter().any(|protocol| behind.starts_with(protocol)) {
            continue;
        }
        let far = sign.saturating_sub(NAME_BYTES_MAX + VALUE_BYTES_MAX);
        let before = line.get(far..sign).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte);
        let from = before.iter().rposition(ends).map_or(0, |last| last + 1);
        let login = before.get(from..).unwrap_or_default();
        let colon = memchr::memchr(b':', login).filter(|colon| *colon > 0);
        if let Some(colon) = colon
            && !login.get(colon..).is_some_and(|rest| rest.starts_with(b"://"))
        {
            found.push(("password".to_owned(), far + from + colon + 1..sign, CandidateSource::Place));
        }
    }
}

/// A password in an address with signs that should be escaped: `redis://:one/two@host`. Before such a sign a port would
/// be a number.
fn in_logins(line: &[u8], found: &mut Vec<NamedValue>) {
    for at in addresses(line) {
        let start = at + 3;
        let rest =
            line.get(start..line.len().min(start + NAME_BYTES_MAX + VALUE_BYTES_MAX)).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || b"<>\\".contains(byte);
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let whole = rest.get(..length).unwrap_or_default();
        let Some(sign) = whole.iter().position(|byte| b"/?#".contains(byte)) else { continue };
        let (authority, behind) = whole.split_at_checked(sign).unwrap_or_default();
        let Some(colon) = memchr::memchr(b':', authority).filter(|_| !authority.contains(&b'@')) else {
            continue;
        };
        let port = authority.get(colon + 1..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'@', behind).map(|end| sign + end) else { continue };
        let host = whole.get(end + 1..).and_then(<[u8]>::first).is_some_and(u8::is_ascii_alphanumeric);
        // An address of version 6 is in brackets, and a variable in braces.
        if host
            && !port.iter().all(u8::is_ascii_digit)
            && !authority.iter().any(|byte| b"[{$%".contains(byte))
        {
            let span = start + colon + 1..start + end;
            found.push(("password".to_owned(), span, CandidateSource::Place));
        }
    }
}

/// Defaults of variables: `${NAME:-value}` in shells, `${name:value}` in Spring.
fn in_defaults(line: &[u8], found: &mut Vec<NamedValue>) {
    for open in places(line, b"${") {
        let rest = line.get(open + 2..).unwrap_or_default();
        let near = rest.get(..rest.len().min(NAME_BYTES_MAX + VALUE_BYTES_MAX)).unwrap_or_default();
        let Some(end) = memchr::memchr(b'}', near) else { continue };
        let inner = rest.get(..end).unwrap_or_default();
        let Some(sign) = memchr::memchr(b':', inner) else { continue };
        let name = String::from_utf8_lossy(inner.get(..sign).unwrap_or_default()).into_owned();
        let dash = usize::from(inner.get(sign + 1) == Some(&b'-'));
        let message = matches!(inner.get(sign + 1), Some(b'?' | b'+' | b'='));
        if !message && names_a_secret(&name) {
            found.push((name, open + 2 + sign + 1 + dash..open + 2 + end, CandidateSource::Place));
        }
    }
}

/// A token before `@`, without a colon: `https://value@host`.
fn in_addresses(line: &[u8], found: &mut Vec<NamedValue>) {
    for at in addresses(line) {
        let rest = line.get(at + 3..).unwrap_or_default();
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.~%".contains(byte);
        let length = rest.iter().take_while(|byte| good(byte)).count();
        let value = rest.get(..length).unwrap_or_default();
        let behind = rest.get(length..).and_then(|rest| rest.strip_prefix(b"@"));
        let number = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
        if let Some(host) = behind
            && length >= TOKEN_BYTES_MIN
            && number
            && !is_user(value, host)
            && !(length == SENTRY_DIGITS && is_project(host))
        {
            found.push(("token".to_owned(), at + 3..at + 3 + length, CandidateSource::Place));
        }
    }
}

/// Whether the text before `@` is a person's or an organisation's name, and no token: an e-mail address, whose own sign
/// is encoded or not, or words with numbers after them: `contoso-team-2024@dev.azure.com`.
fn is_user(value: &[u8], host: &[u8]) -> bool {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || b"/?#<>".contains(byte);
    let host = host.split(ends).next().unwrap_or_default();
    places(value, b"%40").next().is_some() || host.contains(&b'@') || is_made_of_words(value)
}

/// Whether a path ends in a number, as in a DSN.
fn is_project(host: &[u8]) -> bool {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || b"?#<>),;".contains(byte);
    let whole = host.split(ends).next().unwrap_or_default();
    let slash = whole.iter().rposition(|byte| *byte == b'/');
    let number = slash.and_then(|at| whole.get(at + 1..)).unwrap_or_default();
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

/// YAML on one line: `{ user: app, password: value }`.
fn in_flows(line: &[u8], found: &mut Vec<NamedValue>) {
    let Some(first) = memchr::memchr(b'{', line) else { return };
    let within = line.get(first..).unwrap_or_default();
    for open in memchr::memchr2_iter(b'{', b',', within) {
        let open = first + open + 1;
        let rest = line.get(open..).unwrap_or_default();
        let lead = rest.iter().take_while(|byte| **byte == b' ').count();
        let rest = rest.get(lead..).unwrap_or_default();
        let good = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        let length = rest.iter().take_while(good).count();
        let name = rest.get(..length).unwrap_or_default();
        if rest.get(length..length + 2) != Some(b": ") || length > NAME_BYTES_MAX {
            continue;
        }
        let start = open + lead + length + 2;
        let value = line.get(start..).unwrap_or_default();
        let end = value.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'"' | b'\''));
        if let Some(end) = end.filter(|end| *end > 0) {
            let name = String::from_utf8_lossy(name).into_owned();
            found.push((name, start..start + end, CandidateSource::Name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_parts(line.as_bytes(), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_value_is_found_in_its_part() {
        for line in [
            "c = \"host=db user=app password=kD93hfQ0plm4 dbname=x\"",
            "\"Redis\": \"db:6380,password=kD93hfQ0plm4,ssl=True\"",
            "DB_PASSWORD=\"${DB_PASSWORD:-kD93hfQ0plm4}\"",
            "@Value(\"${db.password:kD93hfQ0plm4}\") String p;",
            "redis: { enabled: true, password: kD93hfQ0plm4 }",
            "mount -t cifs //nas/s /mnt -o username=bob,password=kD93hfQ0plm4 x",
            "u = \"jdbc:oracle:thin:scott/kD93hfQ0plm4@db:1521:x\";",
            "DSN=app/kD93hfQ0plm4@//db:1521/ORCL",
            "c = \"app/kD93hfQ0plm4@//db:1521/ORCL\"",
            "sqlplus -s app/kD93hfQ0plm4@//db/x",
            "sql.Open(\"mysql\", \"app:kD93hfQ0plm4@tcp(db:3306)/x\")",
            "DB_DSN=app:kD93hfQ0plm4@unix(/run/mysqld.sock)/x?parseTime=true",
            "{\"c\": \"Password=kD93hfQ0plm4;Server=db\"}",
            "{\"c\": \"password=kD93hfQ0plm4&user=x\"}",
            "c = \"pwd=kD93hfQ0plm4\"",
        ] {
            assert!(shown(line).contains(&"kD93hfQ0plm4"), "{line}");
        }
        for (line, value) in [
            ("u = \"postgres://app:p@q/DAxLggW9@db/x\"", None),
            ("u = \"postgres://app:pq/DAxL@gW9@db/x\"", Some("pq/DAxL")),
            ("u = \"redis://:p#qDAxL/ggW9@db:6379/0\"", Some("p#qDAxL/ggW9")),
            ("u = \"amqp://app:p?qDAxLggW9@mq\"", Some("p?qDAxLggW9")),
            ("https://h:8080/a@b and https://x.y/p:q@r", None),
            ("https://unpkg.com:443/@babel/x@7.1", None),
            ("http://[::1]:x/a@b ssh://${h}:${p}/a@b http://h:/x@y", None),
        ] {
            assert_eq!(shown(line), Vec::from_iter(value), "{line}");
        }
        let token = "kD93hfQ0plm4kD93hfQ0plm4";
        assert_eq!(shown(&format!("git clone https://{token}@git.x/y.git")), [token]);
        // A token may have dashes, and words before them.
        for token in
            ["acme-deploy-kD93hfQ0plm4Xy", "8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e", "team_5f1a9bcde23f4456ab"]
        {
            assert_eq!(shown(&format!("\turl = https://{token}@git.x/y.git")), [token]);
        }
    }

    #[test]
    fn a_person_or_an_organisation_before_a_host_is_no_token() {
        for user in [
            "jane.doe%40contoso.com",
            "svc-build-a1b2c3d4e5f6g7%40contoso.com",
            "svc-build-a1b2c3d4e5f6g7@contoso.com",
            "organization-name-2024",
            "my-company-devops-team1",
            "Contoso.DevOps.Team2024",
        ] {
            let line = format!("\turl = https://{user}@dev.azure.com/x/_git/y\n");
            assert!(shown(&line).is_empty(), "{line}");
        }
    }

    #[test]
    fn what_is_no_part_is_none() {
        let key = "0123456789abcdef0123456789abcdef";
        for line in [
            "connect(host='x', password=kD93hfQ0plm4)".to_owned(),
            "f(a,password=kD93hfQ0plm4)".to_owned(),
            "jdbc:oracle:thin:@//db:1521/kD93hfQ0plm4".to_owned(),
            "DSN=@//db:1521/kD93hfQ0plm4".to_owned(),
            "https://h/kD93hfQ0plm4@//db".to_owned(),
            "[2001:db8::1]:443 open".to_owned(),
            "mysql://app:kD93hfQ0plm4@tcp(db)/x".to_owned(),
            "user + \":\" + word + \"@tcp(\"".to_owned(),
            "kD93hfQ0plm4@tcp(db:3306)/x".to_owned(),
            "${DB_PASSWORD:?is not set at all}".to_owned(),
            "${MODE:-kD93hfQ0plm4}".to_owned(),
            "x = \"password=\" + kD93hfQ0plm4".to_owned(),
            "x = \"password=kD93hfQ0plm4".to_owned(),
            format!("dsn = \"https://{key}@errors.x/42\""),
            "https://some.user.of.the.team@host/x".to_owned(),
        ] {
            assert!(shown(&line).is_empty(), "{line}");
        }
    }
}
