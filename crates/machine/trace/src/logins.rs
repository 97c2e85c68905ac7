//! Logins that keyroll finds but cannot rotate yet.

use std::path::Path;

use keyroll_copy::{Format, Userlist};
use keyroll_leak::no_secret;
use keyroll_secret::SecretBytes;

use crate::entries::{Held, Spotted, told};
use crate::kinds::{format_of, original};

/// The logins that have no slot: the `default` of a `.netrc`, and PgBouncer's list of logins.
pub(crate) fn without_place(path: &Path, bytes: &[u8]) -> Vec<Held> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let found: Vec<(String, usize, SecretBytes)> = if original(&name) == "userlist.txt" {
        // A list that PgBouncer could not read is read line by line.
        Userlist::logins(bytes).unwrap_or_default()
    } else if format_of(path, bytes) == Some(Format::Netrc) {
        default(bytes).into_iter().map(|(at, value)| ("default".to_owned(), at, value)).collect()
    } else {
        Vec::new()
    };
    let found = found.into_iter().filter(|(_, _, value)| no_secret(value.expose()).is_none());
    told(bytes, found.map(|(name, at, value)| Spotted::named(at, value, name)).collect())
}

/// The password after `default`, which applies to every machine without an entry, with its offset.
fn default(bytes: &[u8]) -> Option<(usize, SecretBytes)> {
    let mut at = 0;
    let mut words = bytes.split(u8::is_ascii_whitespace).map(|word| {
        at += word.len() + 1;
        (at - word.len() - 1, word)
    });
    let mut words = words.by_ref().filter(|(_, word)| !word.is_empty());
    let mut inside = false;
    loop {
        match words.next()?.1 {
            b"default" => inside = true,
            b"password" if inside => {
                let (at, value) = words.next()?;
                return Some((at, SecretBytes::new(value.to_vec())));
            }
            b"machine" => {
                inside = false;
                words.next()?;
            }
            b"login" | b"account" | b"password" => drop(words.next()?),
            // The text of a macro is not a login, and its end is an empty line, which is not a word.
            b"macdef" => return None,
            _ => {}
        }
    }
}
