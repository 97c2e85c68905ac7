//! PgBouncer's `auth_file`: lines `"user" "password"`; a quote inside is doubled; `;` begins a comment. The reader is
//! `load_auth_file` of PgBouncer 1.18: it stops at the first line that it does not understand, and of two lines of one
//! user the last one counts.

use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::spot::{line_of, lines};
use crate::{CopyError, quoted};

/// The longest name and the longest password that PgBouncer reads (MAX_USERNAME, MAX_PASSWORD, each with a NUL).
const NAME_BYTES_MAX: usize = 127;
const PASSWORD_BYTES_MAX: usize = 2047;

const FORMAT: &str = "PgBouncer's list of logins";

/// A user and its password.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The name.
    pub user: &'a SecretBytes,
    /// The password.
    pub password: &'a SecretBytes,
}

/// What happens to the former login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It stays: both logins work.
    Stays,
    /// Its line is removed.
    Goes,
}

/// One line with a login.
struct Line {
    /// The whole line with its end.
    whole: Range<usize>,
    user: Vec<u8>,
    /// The span of the password, quotes included.
    at: Range<usize>,
    password: SecretBytes,
}

/// A list of logins.
pub struct Userlist;

impl Userlist {
    /// Every login: the user, the offset of the password, and the password or its verifier.
    pub fn logins(file: &[u8]) -> Result<Vec<(String, usize, SecretBytes)>, CopyError> {
        let told =
            |line: Line| (String::from_utf8_lossy(&line.user).into_owned(), line.at.start, line.password);
        Ok(read(file)?.into_iter().map(told).collect())
    }

    /// Whether the list has this login with this password.
    pub fn has(file: &[u8], login: Login<'_>) -> Result<bool, CopyError> {
        let lines = read(file)?;
        Ok(one(file, &lines, login.user)?.is_some_and(|line| line.password == *login.password))
    }

    /// Whether the list has a login with this name, whatever its password.
    pub fn knows(file: &[u8], user: &SecretBytes) -> Result<bool, CopyError> {
        let lines = read(file)?;
        Ok(one(file, &lines, user)?.is_some())
    }

    /// The list without this login; `None` if the login is missing or has another password: then the line is not
    /// keyroll's.
    pub fn without(file: &[u8], login: Login<'_>) -> Result<Option<SecretBytes>, CopyError> {
        let lines = read(file)?;
        let line = one(file, &lines, login.user)?.filter(|line| line.password == *login.password);
        line.map(|line| changed(file, Some(whole_line(file, line)), &SecretBytes::new(Vec::new())))
            .transpose()
    }

    /// The list with the login `to`, and with `from` kept or removed. Every other byte stays. If both have one name,
    /// its line gets the new password.
    ///
    /// [`CopyError::Drifted`] if the list has neither login as it should be. [`CopyError::Taken`] if it has a line with
    /// the name of `to` and another password.
    pub fn put(
        file: &[u8],
        from: Login<'_>,
        to: Login<'_>,
        before: Before,
    ) -> Result<SecretBytes, CopyError> {
        let lines = read(file)?;
        let (old, new) = (one(file, &lines, from.user)?, one(file, &lines, to.user)?);
        let drifted = || CopyError::Drifted { slot: slot(from.user) };
        if let Some(line) = old {
            plain(line)?;
        }
        let kept = old.filter(|line| line.password == *from.password);
        let there = new.filter(|line| line.password == *to.password);
        if kept.is_none() && there.is_none() {
            return Err(drifted());
        }
        if from.user == to.user {
            return changed(
                file,
                kept.map(|line| line.at.clone()),
                &quoted_text(to.password, PASSWORD_BYTES_MAX)?,
            );
        }
        if new.is_some() && there.is_none() {
            return Err(CopyError::Taken { slot: slot(to.user) });
        }
        if old.is_some() && kept.is_none() && before == Before::Goes {
            return Err(drifted());
        }
        let entry = entry(to)?;
        match (before, kept, there) {
            (Before::Goes, Some(line), None) => {
                let end = ending(file, line);
                changed(file, Some(line.whole.start..line.whole.end - end.len()), &entry)
            }
            (Before::Stays, Some(line), None) => inserted(file, line, &entry),
            (Before::Goes, Some(line), Some(_)) => {
                changed(file, Some(whole_line(file, line)), &SecretBytes::new(Vec::new()))
            }
            (Before::Stays, Some(_), Some(_)) | (_, None, _) => changed(file, None, &entry),
        }
    }

    /// Whether the list can have this login.
    pub fn carries(login: Login<'_>) -> Result<(), CopyError> {
        entry(login).map(drop)
    }

    /// Whether the list can have every password of up to `len_max` bytes from `alphabet`.
    pub fn carries_all(alphabet: &[u8], len_max: usize) -> Result<(), CopyError> {
        let refused = |why| Err(CopyError::NotCarried { slot: "a password".to_owned(), why });
        match (alphabet.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')), len_max > PASSWORD_BYTES_MAX) {
            (true, _) => refused("its alphabet has a NUL or a line end"),
            (_, true) => refused("PgBouncer reads no password that is so long"),
            (false, false) => Ok(()),
        }
    }
}

fn slot(user: &SecretBytes) -> String {
    format!("the line of {}", String::from_utf8_lossy(user.expose()))
}

/// Refuses a verifier: nobody can compare it with a value, and only the server knows the next one.
fn plain(line: &Line) -> Result<(), CopyError> {
    let text = line.password.expose();
    let md5 = text
        .strip_prefix(b"md5")
        .is_some_and(|rest| rest.len() == 32 && rest.iter().all(u8::is_ascii_hexdigit));
    match md5 || text.starts_with(b"SCRAM-SHA-256$") {
        false => Ok(()),
        true => Err(CopyError::Verifier { slot: slot(&SecretBytes::new(line.user.clone())) }),
    }
}

/// The only line of a user.
fn one<'a>(file: &[u8], lines: &'a [Line], user: &SecretBytes) -> Result<Option<&'a Line>, CopyError> {
    let mut mine = lines.iter().filter(|line| line.user == user.expose());
    let found = mine.next();
    match mine.next() {
        None => Ok(found),
        Some(second) => Err(CopyError::Ambiguous {
            line: line_of(file, second.whole.start),
            why: "a user that stands there twice",
        }),
    }
}

fn read(file: &[u8]) -> Result<Vec<Line>, CopyError> {
    let mut all = Vec::new();
    for span in lines(file) {
        let wrong = || CopyError::Malformed { format: FORMAT, line: line_of(file, span.start) };
        let text = file.get(span.clone()).unwrap_or_default();
        let blanks = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match text.get(blanks) {
            None | Some(b';') => continue,
            Some(b'"') => {}
            Some(_) => return Err(wrong()),
        }
        let (user, behind) = word(text, blanks).ok_or_else(wrong)?;
        // PgBouncer skips everything between the two words.
        let gap = text.get(behind..).unwrap_or_default().iter().position(|byte| *byte == b'"');
        let start = behind + gap.ok_or_else(wrong)?;
        let (password, end) = word(text, start).ok_or_else(wrong)?;
        if user.len() > NAME_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
            return Err(wrong());
        }
        let after = file.get(span.end..).unwrap_or_default();
        let ending = after.iter().position(|byte| *byte == b'\n').map_or(after.len(), |at| at + 1);
        all.push(Line {
            whole: span.start..span.end + ending,
            user,
            at: span.start + start..span.start + end,
            password: SecretBytes::new(password),
        });
    }
    Ok(all)
}

/// The text between two quotes, the first of which is at `start`, and the offset after it.
fn word(text: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = start + 1;
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (b'"', Some(b'"')) => {
                out.push(b'"');
                at += 2;
            }
            (b'"', _) => return Some((out, at + 1)),
            (byte, _) => {
                out.push(*byte);
                at += 1;
            }
        }
    }
}

fn quoted_text(value: &SecretBytes, max: usize) -> Result<SecretBytes, CopyError> {
    let refused = |why| CopyError::NotCarried { slot: "a line of such a list".to_owned(), why };
    let text = quoted::text(value).map_err(refused)?;
    if text.contains(['\n', '\r']) {
        return Err(refused("it has a line end"));
    }
    if text.len() > max {
        return Err(refused("PgBouncer reads nothing that is so long"));
    }
    let mut out = Vec::with_capacity(text.len() * 2 + 2);
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(SecretBytes::new(out))
}

/// A line without its end. A password that looks like a verifier is refused: PgBouncer would take it for one.
fn entry(login: Login<'_>) -> Result<SecretBytes, CopyError> {
    let user = quoted_text(login.user, NAME_BYTES_MAX)?;
    let password = quoted_text(login.password, PASSWORD_BYTES_MAX)?;
    plain(&Line {
        whole: 0..0,
        user: login.user.expose().to_vec(),
        at: 0..0,
        password: login.password.duplicate(),
    })?;
    let mut out = Vec::with_capacity(user.len() + password.len() + 1);
    out.extend_from_slice(user.expose());
    out.push(b' ');
    out.extend_from_slice(password.expose());
    Ok(SecretBytes::new(out))
}

/// The line end of a line; the last line may have none.
fn ending<'a>(file: &'a [u8], line: &Line) -> &'a [u8] {
    let text = file.get(line.whole.clone()).unwrap_or_default();
    let length = match text {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    text.get(text.len() - length..).unwrap_or_default()
}

/// The line and one line end: its own, or that of the line before if it has none.
fn whole_line(file: &[u8], line: &Line) -> Range<usize> {
    if !ending(file, line).is_empty() {
        return line.whole.clone();
    }
    let before = file.get(..line.whole.start).unwrap_or_default();
    let length = match before {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    line.whole.start - length..line.whole.end
}

/// A line right behind another one, with the same end.
fn inserted(file: &[u8], behind: &Line, entry: &SecretBytes) -> Result<SecretBytes, CopyError> {
    let mut end = ending(file, behind);
    let last = end.is_empty();
    if last {
        end = if file.windows(2).any(|pair| pair == b"\r\n") { b"\r\n" } else { b"\n" };
    }
    let mut text = Vec::with_capacity(entry.len() + end.len());
    if last {
        text.extend_from_slice(end);
    }
    text.extend_from_slice(entry.expose());
    if !last {
        text.extend_from_slice(end);
    }
    changed(file, Some(behind.whole.end..behind.whole.end), &SecretBytes::new(text))
}

/// The file with one span replaced.
fn changed(file: &[u8], span: Option<Range<usize>>, with: &SecretBytes) -> Result<SecretBytes, CopyError> {
    let Some(span) = span else { return Ok(SecretBytes::new(file.to_vec())) };
    let mut out = Vec::with_capacity(file.len() + with.len());
    out.extend_from_slice(file.get(..span.start).unwrap_or_default());
    out.extend_from_slice(with.expose());
    out.extend_from_slice(file.get(span.end..).unwrap_or_default());
    if out.len() > crate::FILE_BYTES_MAX {
        return Err(CopyError::TooLarge { bytes: out.len(), max: crate::FILE_BYTES_MAX });
    }
    Ok(SecretBytes::new(out))
}

#[cfg(test)]
mod tests {
    use keyroll_codes::Code;

    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    fn put(file: &str, from: (&str, &str), to: (&str, &str), before: Before) -> Result<String, Code> {
        let (fu, fp, tu, tp) = (secret(from.0), secret(from.1), secret(to.0), secret(to.1));
        let from = Login { user: &fu, password: &fp };
        let to = Login { user: &tu, password: &tp };
        let done = Userlist::put(file.as_bytes(), from, to, before).map_err(|error| error.code())?;
        Ok(String::from_utf8(done.expose().to_vec()).unwrap())
    }

    const OLD: (&str, &str) = ("app", "one");
    const NEW: (&str, &str) = ("app_a", "t\"wo");

    #[test]
    fn a_login_is_added_beside_the_one_that_it_replaces_and_goes_back_byte_for_byte() {
        for file in [
            "; people\n\"ada\"  \"md50123\" ; hers\n \"app\" \"one\" x\n\n\"bob\" \"SCRAM-SHA-256$1\"\n",
            "\"app\" \"one\"",
            "\"app\" \"one\"\r\n\"ada\" \"x\"\r\n",
            "\"ada\" \"x\"\r\n\"app\" \"one\"",
        ] {
            let both = put(file, OLD, NEW, Before::Stays).unwrap();
            for login in [OLD, NEW] {
                let (user, password) = (secret(login.0), secret(login.1));
                let login = Login { user: &user, password: &password };
                assert!(Userlist::has(both.as_bytes(), login).unwrap(), "{both}");
            }
            assert_eq!(put(&both, OLD, NEW, Before::Stays).unwrap(), both, "a second time changes nothing");
            assert_eq!(put(&both, NEW, OLD, Before::Goes).unwrap(), file, "back");
            assert_eq!(put(&both, NEW, OLD, Before::Stays).unwrap(), both);
            let after = put(&both, OLD, NEW, Before::Goes).unwrap();
            assert!(!Userlist::knows(after.as_bytes(), &secret("app")).unwrap(), "{after}");
            assert_eq!(
                after.replace("\"app_a\" \"t\"\"wo\"", ""),
                both.replace("\"app_a\" \"t\"\"wo\"", "")
                    .replace(" \"app\" \"one\" x\n", "")
                    .replace("\"app\" \"one\"\r\n", "")
                    .replace("\"app\" \"one\"\n", "")
            );
            assert_eq!(put(&after, OLD, NEW, Before::Goes).unwrap(), after);
        }
        assert_eq!(put("\"app\" \"one\"\n", OLD, NEW, Before::Goes).unwrap(), "\"app_a\" \"t\"\"wo\"\n");
        assert_eq!(put("\"app\" \"one\" \n", OLD, ("app", "x"), Before::Stays).unwrap(), "\"app\" \"x\" \n");
    }

    #[test]
    fn a_line_of_the_next_name_is_somebody_elses() {
        for file in ["\"app_a\" \"dead\"\n\"app\" \"one\"\n", "\"app\" \"one\"\n\"app_a\" \"md50\""] {
            for before in [Before::Stays, Before::Goes] {
                assert_eq!(put(file, OLD, NEW, before).unwrap_err(), Code::LoginSlotTaken, "{file}");
            }
        }
        // A rollback refuses it too.
        let file = "\"app\" \"other\"\n\"app_a\" \"t\"\"wo\"\n";
        assert_eq!(put(file, NEW, OLD, Before::Stays).unwrap_err(), Code::LoginSlotTaken);
    }

    #[test]
    fn a_login_is_taken_out_with_its_own_password_only() {
        let (user, password) = (secret("app_a"), secret("t\"wo"));
        let taken = |file: &str| {
            let login = Login { user: &user, password: &password };
            let left = Userlist::without(file.as_bytes(), login).unwrap();
            left.map(|left| String::from_utf8(left.expose().to_vec()).unwrap())
        };
        for file in ["; a\n\"app\" \"one\"\n\"bob\" \"x\"", "\"app\" \"one\"", "\"app\" \"one\"\r\n"] {
            let both = put(file, OLD, NEW, Before::Stays).unwrap();
            assert_eq!(taken(&both).as_deref(), Some(file));
            assert_eq!(taken(file), None);
        }
        assert_eq!(taken("\"app_a\" \"two\"\n"), None);
    }

    #[test]
    fn what_somebody_else_wrote_is_left_alone() {
        let refused = |file: &str| put(file, OLD, NEW, Before::Stays).unwrap_err();
        assert_eq!(refused("\"app\" \"other\"\n"), Code::CopyDiffers);
        assert_eq!(refused("\"ada\" \"x\"\n"), Code::CopyDiffers);
        assert_eq!(refused(""), Code::CopyDiffers);
        assert_eq!(refused("\"app\" \"one\"\n\"app\" \"two\"\n"), Code::CopyAmbiguous);
        assert_eq!(refused("# no comment\n\"app\" \"one\"\n"), Code::CopyAmbiguous);
        assert_eq!(refused("\"app\" one\n"), Code::CopyAmbiguous);
        assert_eq!(refused("\"app\" \"one\n"), Code::CopyAmbiguous);
        assert_eq!(refused("\"app\" \"md50123456789abcdef0123456789abcdef\"\n"), Code::ValueNotWritable);
        assert_eq!(refused("\"app\" \"SCRAM-SHA-256$4096:x$y:z\"\n"), Code::ValueNotWritable);
        assert_eq!(
            put("\"app\" \"other\"\n\"app_a\" \"t\"\"wo\"\n", OLD, NEW, Before::Goes).unwrap_err(),
            Code::CopyDiffers
        );
        assert_eq!(
            put("\"app\" \"one\"\n", OLD, ("a", "x\ny"), Before::Stays).unwrap_err(),
            Code::ValueNotWritable
        );
    }
}
