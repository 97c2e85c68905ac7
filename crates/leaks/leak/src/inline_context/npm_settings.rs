use std::ops::Range;

use crate::allowlist::no_secret;
use crate::byte_search::places;
use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::base64_login::{decoded, password_of};
use crate::inline_context::words::is_quote;

/// Settings of npm whose values are credentials, and how each is written. Source: npmrc(5) of npm 9.
const SETTINGS: [(&[u8], Written); 3] =
    [(b"_authToken", Written::Plain), (b"_auth", Written::Login), (b"_password", Written::Encoded)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Plain,
    /// `user:password` in base64.
    Login,
    /// In base64.
    Encoded,
}

/// `//registry/:_authToken=value`, also in a command that writes the file; a login `_auth=value` at the start of a line.
pub(crate) fn in_npm(line: &[u8], found: &mut Vec<NamedValue>) {
    let from = line.len() - line.trim_ascii_start().len();
    let first = Some(from).filter(|from| line.get(*from) == Some(&b'_')).map(|from| (from, true));
    let others = places(line, b":_").map(|at| (at + 1, false));
    for (start, is_alone) in first.into_iter().chain(others) {
        if let Some((name, span)) = setting(line, start, is_alone) {
            found.push((name, span, CandidateSource::Place));
        }
    }
}

/// The setting whose name begins here. Without a registry before it, programs use such names too: only a login counts.
fn setting(line: &[u8], start: usize, is_alone: bool) -> Option<(String, Range<usize>)> {
    let rest = line.get(start..)?;
    let (name, written) = SETTINGS.iter().find(|(name, _)| {
        let behind = rest.strip_prefix(*name).map(<[u8]>::trim_ascii_start);
        behind.is_some_and(|behind| behind.starts_with(b"="))
    })?;
    let sign = start + memchr::memchr(b'=', rest)?;
    let behind = line.get(sign + 1..)?;
    let skipped = behind.iter().take_while(|byte| byte.is_ascii_whitespace() || is_quote(**byte)).count();
    let value = behind.get(skipped..)?;
    let ends = |byte: &u8| byte.is_ascii_whitespace() || is_quote(*byte) || matches!(byte, b';' | b'\\');
    let length = value.iter().position(ends).unwrap_or(value.len());
    let value = value.get(..length)?;
    let plain = match written {
        Written::Plain => Some(value.to_vec()),
        Written::Login => password_of(value).map(|password| password.to_vec()),
        Written::Encoded => decoded(value).map(|password| password.to_vec()),
    };
    let is_login = *written == Written::Login && plain.is_some();
    // Some registries take a password as it is.
    let plain = zeroize::Zeroizing::new(plain.unwrap_or_else(|| value.to_vec()));
    let start = sign + 1 + skipped;
    let name = String::from_utf8_lossy(name).into_owned();
    (no_secret(&plain).is_none() && (is_login || !is_alone)).then_some((name, start..start + length))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_npm(line.as_bytes(), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_setting_of_npm_is_behind_the_address_of_its_registry() {
        let value = "kD93hfQ0plm4Xy7";
        let (login, coded) = (STANDARD.encode(format!("app:{value}")), STANDARD.encode(value));
        for (line, value) in [
            (format!("//registry.acme.dev/:_authToken={value}"), value),
            (format!("//registry.acme.dev/npm/:_authToken = \"{value}\""), value),
            (format!("RUN echo '//registry.acme.dev/:_authToken={value}' > ~/.npmrc"), value),
            (format!("npm config set //registry.acme.dev/:_authToken={value}"), value),
            (format!("_auth={login}"), login.as_str()),
            (format!("//registry.acme.dev/:_auth=\"{login}\""), login.as_str()),
            (format!("//registry.acme.dev/:_password={coded}"), coded.as_str()),
        ] {
            assert_eq!(shown(&line), [value], "{line}");
        }
    }

    #[test]
    fn a_reference_and_a_placeholder_are_none() {
        let made_up = STANDARD.encode("app:changeme");
        for line in [
            "//registry.npmjs.org/:_authToken=${NPM_TOKEN}",
            "//registry.npmjs.org/:_authToken=<your token>",
            "//registry.npmjs.org/:username=kD93hfQ0plm4Xy7",
            "the :_authToken of a registry",
            "_auth = kD93hfQ0plm4Xy7",
            "_password = kD93hfQ0plm4Xy7",
            &format!("_auth={made_up}"),
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
