//! The values in the lines of a file whose format is known by its name, where no name of a secret is beside them.

use std::ops::Range;

use crate::allowlist::no_secret_under;
use crate::byte_search::places;
use crate::candidate::{CandidateSource, LINE_BYTES_MAX, NamedValue};
use crate::confidence::is_random_key;
use crate::inline_context::base64_login::password_of;
use crate::inline_context::words::{unquoted, words};
use crate::names_a_secret;
use crate::places::FileFormat;

/// The largest file that is one value, bytes: a private key of 16,384 bits takes 13 KiB.
const WHOLE_BYTES_MAX: usize = 16 * 1024;

/// The shortest user of a URL without a password that is a token, bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// The length of a hash of crypt(3) in its oldest form, which has no mark, bytes.
const OLD_HASH_BYTES: usize = 13;

/// Words of settings before a password, in lower case.
const PASSWORD_WORDS: [&[u8]; 9] = [
    b"password",
    b"passwd",
    b"pass",
    b"passphrase",
    b"bindpw",
    b"rootpw",
    b"rootbindpw",
    b"ldap_default_authtok",
    b"secret",
];

/// ProFTPD's directive with database, user and password.
const SQL_LOGIN: &[u8] = b"SQLConnectInfo";

/// The types of a proxy.
const PROXIES: [&[u8]; 5] = [b"http", b"https", b"socks4", b"socks5", b"raw"];

/// The types of IPsec's secrets, and of those that protect the key in a file.
const IPSEC_SECRETS: [&[u8]; 4] = [b"PSK", b"XAUTH", b"EAP", b"PIN"];
const IPSEC_KEYS: [&[u8]; 4] = [b"RSA", b"ECDSA", b"PKCS8", b"P12"];

/// Options of curl with a login.
const CURL_LOGINS: [&[u8]; 4] = [b"user", b"u", b"proxy-user", b"U"];

/// In place of a password: GitHub takes a token as the user.
const NO_PASSWORD: &[u8] = b"x-oauth-basic";

/// Receives a name, the range of its value in the line, and how it was found.
type Take<'t> = &'t mut dyn FnMut(&str, Range<usize>, CandidateSource);

/// Reads one line.
type LineReader = fn(&[u8], Take<'_>);

/// Whether the lines of a format are read by their positions.
pub fn has_line_reader(format: FileFormat) -> bool {
    reader(format).is_some() || format == FileFormat::Whole
}

fn reader(format: FileFormat) -> Option<LineReader> {
    match format {
        FileFormat::Userlist => Some(in_userlist),
        FileFormat::Pgpass => Some(in_pgpass),
        FileFormat::Htpasswd => Some(in_htpasswd),
        FileFormat::RedisUsers => Some(in_redis_users),
        FileFormat::ProxyList => Some(in_proxies),
        FileFormat::IpsecSecrets => Some(in_ipsec_secrets),
        FileFormat::PppSecrets => Some(in_ppp_secrets),
        FileFormat::Curlrc => Some(in_curlrc),
        FileFormat::HostLogins => Some(in_host_logins),
        FileFormat::Words | FileFormat::Netrc => Some(in_words),
        FileFormat::GitCredentials | FileFormat::GitLog => Some(in_addresses),
        FileFormat::GitConfig => Some(in_git_config),
        FileFormat::Dotenv
        | FileFormat::Ini
        | FileFormat::OdbcIni
        | FileFormat::Json
        | FileFormat::Toml
        | FileFormat::Yaml
        | FileFormat::Compose
        | FileFormat::Npmrc
        | FileFormat::Settings
        | FileFormat::Whole => None,
    }
}

/// Adds the values in the lines of a text, or a part of one, of this format.
pub(crate) fn in_file_of(format: FileFormat, text: &[u8], found: &mut Vec<NamedValue>) {
    if format == FileFormat::Whole {
        let value = one_value(text).map(|span| ("secret".to_owned(), span, CandidateSource::Name));
        return found.extend(value);
    }
    let Some(read) = reader(format) else { return };
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        if line.len() <= LINE_BYTES_MAX {
            read(line, &mut |name, span, by| {
                found.push((name.to_owned(), start + span.start..start + span.end, by));
            });
        }
        start += end + 1;
    }
}

/// The only word of a text: it may be one value. A document or a single setting is none.
pub fn one_value(text: &[u8]) -> Option<Range<usize>> {
    let word = text.trim_ascii();
    let other = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    let is_one = text.len() <= WHOLE_BYTES_MAX
        && !matches!(word.first(), None | Some(b'{' | b'['))
        && !word.iter().any(other)
        && !is_setting(word);
    let start = text.len() - text.trim_ascii_start().len();
    is_one.then(|| start..start + word.len())
}

/// Whether a word is `NAME=value`.
fn is_setting(word: &[u8]) -> bool {
    let variable = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let name = memchr::memchr(b'=', word).and_then(|sign| word.get(..sign)).unwrap_or_default();
    !name.is_empty()
        && word.len() > name.len() + 2
        && (name.iter().all(variable) || str::from_utf8(name).is_ok_and(names_a_secret))
}

/// PgBouncer's `"user" "password"`; a quote inside is doubled, and anything may be between the two. Source:
/// `load_auth_file` of PgBouncer 1.18.
fn in_userlist(line: &[u8], take: Take<'_>) {
    let from = line.len() - line.trim_ascii_start().len();
    let Some(user) = between_quotes(line, from) else { return };
    let behind = user.end + 1;
    let open = line.get(behind..).and_then(|rest| memchr::memchr(b'"', rest));
    if let Some(password) = open.and_then(|open| between_quotes(line, behind + open)) {
        take("password", password, CandidateSource::Name);
    }
}

/// The text between two quotes, of which the first is at `open`.
fn between_quotes(line: &[u8], open: usize) -> Option<Range<usize>> {
    line.get(open).filter(|byte| **byte == b'"')?;
    let mut at = open + 1;
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return Some(open + 1..at),
            _ => at += 1,
        }
    }
}

/// libpq's `host:port:database:user:password`, a `\` before `:` and `\`. Source: "The Password File" of PostgreSQL 16.
fn in_pgpass(line: &[u8], take: Take<'_>) {
    let length = line.trim_ascii_end().len();
    if line.starts_with(b"#") {
        return;
    }
    let (mut at, mut fields) = (0, 0);
    while fields < 4 {
        match line.get(at) {
            None => return,
            Some(b'\\') => at += 2,
            Some(b':') => {
                fields += 1;
                at += 1;
            }
            Some(_) => at += 1,
        }
    }
    if at < length {
        take("password", at..length, CandidateSource::Name);
    }
}

/// `user:password` of web servers. A hash opens nothing; its oldest form is known by its length alone.
fn in_htpasswd(line: &[u8], take: Take<'_>) {
    let length = line.trim_ascii_end().len();
    let line = line.get(..length).unwrap_or_default();
    let Some(sign) = memchr::memchr(b':', line).filter(|sign| *sign > 0) else { return };
    let (user, password) = (line.get(..sign).unwrap_or_default(), line.get(sign + 1..).unwrap_or_default());
    let of_hash = |byte: &u8| byte.is_ascii_alphanumeric() || b"./".contains(byte);
    let is_hash = password.len() == OLD_HASH_BYTES && password.iter().all(of_hash);
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(byte);
    if user.iter().all(named) && !is_hash {
        take("password", sign + 1..length, CandidateSource::Name);
    }
}

/// `user name on >password ~* +@all`; `#` is before a hash. Source: the ACL guide of Redis 7. `sentinel auth-pass main
/// password`, of sentinel.conf.
fn in_redis_users(line: &[u8], take: Take<'_>) {
    let words = words(line);
    let raw = |word: &Range<usize>| line.get(word.clone()).unwrap_or_default();
    let is_user = |first: &Range<usize>| raw(first).eq_ignore_ascii_case(b"user");
    if words.first().is_some_and(is_user) {
        for word in words.iter().skip(2).filter(|word| raw(word).starts_with(b">")) {
            take("password", word.start + 1..word.end, CandidateSource::Name);
        }
    }
    if let [first, second, _, password] = words.as_slice()
        && raw(first).eq_ignore_ascii_case(b"sentinel")
        && raw(second).eq_ignore_ascii_case(b"auth-pass")
    {
        take("password", unquoted(line, password), CandidateSource::Name);
    }
}

/// `socks5 host port user password`, of proxychains.
fn in_proxies(line: &[u8], take: Take<'_>) {
    if let [kind, _, _, _, password] = words(line).as_slice()
        && PROXIES.contains(&line.get(kind.clone()).unwrap_or_default())
    {
        take("password", password.clone(), CandidateSource::Name);
    }
}

/// `: PSK "secret"`, `name : EAP "secret"`, `: RSA file "passphrase"`. Source: ipsec.secrets(5) of strongSwan 5.9.
fn in_ipsec_secrets(line: &[u8], take: Take<'_>) {
    let words = words(line);
    let raw = |word: &Range<usize>| line.get(word.clone()).unwrap_or_default();
    let Some(sign) = words.iter().position(|word| raw(word).ends_with(b":")) else { return };
    let Some(kind) = words.get(sign + 1).map(raw) else { return };
    let behind = if IPSEC_SECRETS.contains(&kind) { 2 } else { 3 };
    if behind == 2 || IPSEC_KEYS.contains(&kind) {
        words.get(sign + behind).into_iter().for_each(|word| {
            take("secret", unquoted(line, word), CandidateSource::Name);
        });
    }
}

/// Client, server, secret, addresses. Source: the manual of pppd 2.4, AUTHENTICATION.
fn in_ppp_secrets(line: &[u8], take: Take<'_>) {
    if let [client, _, secret, ..] = words(line).as_slice()
        && line.get(client.start) != Some(&b'#')
    {
        take("secret", unquoted(line, secret), CandidateSource::Name);
    }
}

/// `user = "name:password"`, `-u name:password`. Source: curl(1), `--config`, of curl 7.88.
fn in_curlrc(line: &[u8], take: Take<'_>) {
    let sign = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b':');
    let from =
        line.iter().position(|byte| *byte != b'-' && !byte.is_ascii_whitespace()).unwrap_or(line.len());
    let option = line.get(from..).unwrap_or_default();
    let length = option.iter().position(sign).unwrap_or(option.len());
    if !CURL_LOGINS.contains(&option.get(..length).unwrap_or_default()) {
        return;
    }
    let behind = option.get(length..).unwrap_or_default();
    let start = from + length + behind.iter().take_while(|byte| sign(byte)).count();
    let login = unquoted(line, &(start..line.trim_ascii_end().len().max(start)));
    if let Some(password) = of_login(line, &login) {
        take("password", password, CandidateSource::Name);
    }
}

/// `BUNDLE_GEMS__ACME__DEV: "user:password"`, `npmAuthIdent: "user:password"`. Sources: bundle-config(1) of Bundler 2.4,
/// the manual of Yarn 4.
fn in_host_logins(line: &[u8], take: Take<'_>) {
    let words = words(line);
    let [name, value] = words.as_slice() else { return };
    let raw = line.get(name.clone()).and_then(|name| name.strip_suffix(b":")).unwrap_or_default();
    let of_host = raw.starts_with(b"BUNDLE_") && memchr::memmem::find(raw, b"__").is_some();
    if !of_host && raw != b"npmAuthIdent" {
        return;
    }
    let login = unquoted(line, value);
    match of_login(line, &login) {
        Some(password) if line.get(password.clone()) == Some(NO_PASSWORD) => {
            take("token", login.start..password.start - 1, CandidateSource::Name);
        }
        Some(password) => take("password", password, CandidateSource::Name),
        // Yarn takes it in base64 too.
        None if line
            .get(login.clone())
            .and_then(password_of)
            .is_some_and(|password| !password.is_empty()) =>
        {
            take("password", login, CandidateSource::Name);
        }
        None => {}
    }
}

/// The password in `user:password`.
fn of_login(line: &[u8], login: &Range<usize>) -> Option<Range<usize>> {
    let sign = memchr::memchr(b':', line.get(login.clone())?).filter(|sign| *sign > 0)?;
    let password = login.start + sign + 1..login.end;
    (!password.is_empty()).then_some(password)
}

/// Words that name the next one: `poll host user name password secret`, `bindpw secret`.
fn in_words(line: &[u8], take: Take<'_>) {
    if line.trim_ascii_start().starts_with(b"#") {
        return;
    }
    let words = words(line);
    let raw = |word: &Range<usize>| line.get(word.clone()).unwrap_or_default();
    if let [first, _, _, password, ..] = words.as_slice()
        && raw(first).eq_ignore_ascii_case(SQL_LOGIN)
    {
        take("password", unquoted(line, password), CandidateSource::Name);
    }
    for (at, word) in words.iter().enumerate() {
        let text = raw(word);
        // `name=value` is one word, `name =` and `name:` are followed by the value.
        let sign = memchr::memchr2(b'=', b':', text).unwrap_or(text.len());
        let name = text.get(..sign).unwrap_or_default();
        if !PASSWORD_WORDS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let mut behind = words.iter().skip(at + 1).filter(|word| !matches!(raw(word), b"=" | b":" | b"is"));
        let value = match word.start + sign + 1..word.end {
            rest if !rest.is_empty() => Some(rest),
            _ => behind.next().cloned(),
        };
        if let Some(value) = value {
            let end = raw(&value).strip_suffix(b";").map_or(value.end, |text| value.start + text.len());
            take("password", unquoted(line, &(value.start..end)), CandidateSource::Name);
        }
    }
}

/// `https://token@host`: a token as the user of an address without a password.
fn in_addresses(line: &[u8], take: Take<'_>) {
    for at in places(line, b"://") {
        let start = at + b"://".len();
        let rest = line.get(start..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'"' | b'\'');
        let authority = rest.iter().position(ends).map_or(rest, |end| rest.get(..end).unwrap_or_default());
        let Some(sign) = memchr::memrchr(b'@', authority) else { continue };
        let user = authority.get(..sign).unwrap_or_default();
        if user.len() >= TOKEN_BYTES_MIN && !user.contains(&b':') && is_random_key(user) {
            take("token", start..start + sign, CandidateSource::Place);
        }
    }
}

/// The same, and `extraheader = PRIVATE-TOKEN: value`. A header with a scheme is found in any text.
fn in_git_config(line: &[u8], take: Take<'_>) {
    in_addresses(line, take);
    let Some(sign) = memchr::memchr(b'=', line) else { return };
    if !line.get(..sign).unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"extraheader") {
        return;
    }
    let end = line.trim_ascii_end().len();
    let behind = line.get(sign + 1..end).unwrap_or_default();
    let blanks = behind.len() - behind.trim_ascii_start().len();
    let header = unquoted(line, &(sign + 1 + blanks..end));
    let text = line.get(header.clone()).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', text) else { return };
    let name = String::from_utf8_lossy(text.get(..colon).unwrap_or_default()).into_owned();
    let value = text.get(colon + 1..).unwrap_or_default().trim_ascii_start();
    if names_a_secret(&name) && !value.contains(&b' ') {
        take(&name, header.end - value.len()..header.end, CandidateSource::Name);
    }
}

/// Whether a text may be a list of logins whose format its name would tell, by its first line: cheap, for texts whose
/// names are not known yet.
pub fn may_have_a_format(text: &[u8]) -> bool {
    const HEAD_BYTES: usize = 4096;
    const MARKS: [&[u8]; 3] = [b"[ProxyList]", b": PSK ", b"extraheader"];
    let head = text.get(..HEAD_BYTES).unwrap_or(text);
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.filter(|line| {
        let first = line.trim_ascii_start().first();
        first.is_some_and(|byte| !matches!(byte, b'#' | b';'))
    });
    let Some(first) = lines.next() else { return false };
    let found = |readers: &[LineReader]| {
        let mut any = false;
        let mut take = |name: &str, span: Range<usize>, _: CandidateSource| {
            let value = first.get(span).unwrap_or_default();
            any |= no_secret_under(Some(name), value).is_none();
        };
        readers.iter().for_each(|read| read(first, &mut take));
        any
    };
    let begins = |word: &[u8]| first.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_word = !first.trim_ascii_end().iter().any(u8::is_ascii_whitespace);
    first.starts_with(b"\"") && found(&[in_userlist])
        || is_word && found(&[in_pgpass, in_htpasswd, in_addresses])
        || begins(b"user ") && found(&[in_redis_users, in_curlrc])
        || begins(b"BUNDLE_") && found(&[in_host_logins])
        || begins(b"poll ") && found(&[in_words])
        || MARKS.iter().any(|mark| memchr::memmem::find(head, mark).is_some())
}
