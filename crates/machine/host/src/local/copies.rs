//! What copies hold in the bytes of a file or of a Secret's key, and what they would hold.

use keyroll_copy::{Before, CopyError, Edit, Format, Slot, Userlist};
use keyroll_secret::{Fields, SecretBytes};

use super::copy_value::rendered;
use super::pgbouncer_userlist::Pair;
use super::{CopySetup, CopySource, FileSetup};

/// The bytes with every copy changed from one version to the other; an error if a copy holds neither. `before`: what
/// happens to the other login in a file that can hold both.
pub(super) fn edited(
    copies: &[CopySetup],
    bytes: &[u8],
    from: &Fields,
    to: &Fields,
    before: Before,
) -> Result<SecretBytes, CopyError> {
    let mut now = SecretBytes::new(bytes.to_vec());
    let mut formats: Vec<Format> = Vec::new();
    for copy in copies {
        if let CopySetup::Value { format, .. } = copy
            && !formats.contains(format)
        {
            formats.push(*format);
        }
    }
    for format in formats {
        let mut pairs: Vec<(Slot, SecretBytes, SecretBytes)> = Vec::new();
        for copy in copies {
            if let CopySetup::Value { format: of, slot, .. } = copy
                && *of == format
            {
                pairs.push((slot.clone(), rendered(copy, from)?, rendered(copy, to)?));
            }
        }
        let edits: Vec<Edit<'_>> = pairs
            .iter()
            .map(|(slot, expect_old, new)| Edit { slot: slot.clone(), expect_old, new })
            .collect();
        if !edits.is_empty() {
            now = format.replace(now.expose(), &edits)?;
        }
    }
    for copy in copies {
        match copy {
            CopySetup::Value { .. } => {}
            CopySetup::Within(_) => {
                now = swap_within(now.expose(), &rendered(copy, from)?, &rendered(copy, to)?)?;
            }
            CopySetup::Login { user, .. } => {
                let (from, to) = (Pair::of(copy, user, from)?, Pair::of(copy, user, to)?);
                now = Userlist::put(now.expose(), from.login(), to.login(), before)?;
            }
        }
    }
    Ok(now)
}

/// Replaces every occurrence of one text by the other; if neither occurs, the file has drifted.
fn swap_within(bytes: &[u8], from: &SecretBytes, to: &SecretBytes) -> Result<SecretBytes, CopyError> {
    let (from, to) = (from.expose(), to.expose());
    let places = find_all(bytes, from);
    if places.is_empty() {
        let there = !find_all(bytes, to).is_empty();
        let slot = || "the text of the template".to_owned();
        return if there {
            Ok(SecretBytes::new(bytes.to_vec()))
        } else {
            Err(CopyError::Drifted { slot: slot() })
        };
    }
    let mut out = Vec::with_capacity(bytes.len() + places.len() * to.len());
    let mut done = 0;
    for place in places {
        out.extend_from_slice(bytes.get(done..place).unwrap_or_default());
        out.extend_from_slice(to);
        done = place + from.len();
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    Ok(SecretBytes::new(out))
}

fn find_all(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    while !text.is_empty() && at + text.len() <= bytes.len() {
        if bytes.get(at..at + text.len()) == Some(text) {
            places.push(at);
            at += text.len();
        } else {
            at += 1;
        }
    }
    places
}

/// Whether every copy in these bytes holds a version. `without`: the version whose login must be gone.
pub(super) fn holds_version(
    file: &FileSetup,
    bytes: &[u8],
    fields: &Fields,
    without: Option<&Fields>,
) -> bool {
    file.copies.iter().all(|copy| holds(copy, bytes, fields, without))
}

fn holds(copy: &CopySetup, bytes: &[u8], fields: &Fields, without: Option<&Fields>) -> bool {
    let Ok(value) = rendered(copy, fields) else { return false };
    match copy {
        CopySetup::Login { user, .. } => {
            let name = |fields: &Fields| fields.get(user).map(|field| field.value.duplicate());
            let other = without.and_then(name).filter(|other| Some(other) != name(fields).as_ref());
            let there = Pair::of(copy, user, fields).and_then(|pair| Userlist::has(bytes, pair.login()));
            there.unwrap_or(false)
                && other.is_none_or(|other| !Userlist::knows(bytes, &other).unwrap_or(true))
        }
        CopySetup::Value { format, slot, .. } => {
            format.read(bytes, slot).ok().flatten().is_some_and(|there| there == value)
        }
        CopySetup::Within(_) => !find_all(bytes, value.expose()).is_empty(),
    }
}

/// The text that a copy holds with a version.
///
/// # Errors
/// The version lacks a field of it.
pub fn copy_text(copy: &CopySetup, fields: &Fields) -> Result<SecretBytes, CopyError> {
    rendered(copy, fields)
}

/// Whether a copy in these bytes holds a version.
pub fn copy_holds(copy: &CopySetup, bytes: &[u8], fields: &Fields) -> bool {
    holds(copy, bytes, fields, None)
}

/// The bytes with a copy changed from one version to the other.
///
/// # Errors
/// It holds neither version, or cannot carry the other one.
pub fn copy_edited(
    copy: &CopySetup,
    bytes: &[u8],
    from: &Fields,
    to: &Fields,
) -> Result<SecretBytes, CopyError> {
    edited(std::slice::from_ref(copy), bytes, from, to, Before::Stays)
}

/// Whether a copy in these bytes can carry a version.
///
/// # Errors
/// It cannot.
pub fn copy_carries(copy: &CopySetup, bytes: &[u8], fields: &Fields) -> Result<(), CopyError> {
    let value = rendered(copy, fields)?;
    match copy {
        CopySetup::Value { format, slot, .. } => format.carries_value(bytes, slot, &value),
        CopySetup::Within(_) => Ok(()),
        CopySetup::Login { user, .. } => {
            Pair::of(copy, user, fields).and_then(|pair| Userlist::carries(pair.login()))
        }
    }
}

/// Whether a copy in these bytes can carry every value that the issuer may choose. The issuer chooses the secret fields
/// only. For the other fields (host, port, user) Preflight checks the present value, and Stage checks the new one.
///
/// # Errors
/// It cannot.
pub fn copy_carries_all(
    copy: &CopySetup,
    bytes: &[u8],
    chosen: (&[u8], usize),
    now: &Fields,
) -> Result<(), CopyError> {
    let can_be = |name: &str| match now.get(name) {
        Some(field) if !field.secret => (field.value.expose().to_vec(), field.value.expose().len()),
        Some(_) | None => (chosen.0.to_vec(), chosen.1),
    };
    match copy {
        CopySetup::Value { format, slot, source: CopySource::Field(name) } => {
            let (mut alphabet, length) = can_be(name);
            // A document has no white space at its ends, which is all that a whole file does not carry.
            if *format == Format::Whole && alphabet.contains(&b'\n') {
                alphabet.retain(|byte| !byte.is_ascii_whitespace());
            }
            let told = format.carries(bytes, slot, &alphabet, length);
            // A tilde means itself everywhere but at the beginning, where Stage refuses it before a consumer gets it.
            if told.is_err() && alphabet.contains(&b'~') {
                alphabet.retain(|byte| *byte != b'~');
                return format.carries(bytes, slot, &alphabet, length);
            }
            told
        }
        CopySetup::Value { format, slot, source: CopySource::Text(template) } => {
            template.names().into_iter().try_for_each(|name| {
                let (alphabet, length) = can_be(name);
                let carried = template.carries(name, &alphabet, length)?;
                format.carries(bytes, slot, &carried.alphabet, carried.len_max)
            })
        }
        // A fingerprint has digits and letters, whatever the value is.
        CopySetup::Value { source: CopySource::Version(_), .. } => Ok(()),
        CopySetup::Within(template) => template.names().into_iter().try_for_each(|name| {
            let (alphabet, length) = can_be(name);
            template.carries(name, &alphabet, length).map(drop)
        }),
        CopySetup::Login { user, source } => {
            let pair = Pair::of(copy, user, now)?;
            Userlist::put(bytes, pair.login(), pair.login(), Before::Stays)?;
            match source {
                CopySource::Field(name) => {
                    let (alphabet, length) = can_be(name);
                    Userlist::carries_all(&alphabet, length)
                }
                CopySource::Text(template) => template.names().into_iter().try_for_each(|name| {
                    let (alphabet, length) = can_be(name);
                    let carried = template.carries(name, &alphabet, length)?;
                    Userlist::carries_all(&carried.alphabet, carried.len_max)
                }),
                CopySource::Version(_) => Ok(()),
            }
        }
    }
}
