use std::path::Path;

use regex::Regex;

use crate::at::At;
use crate::mistake::Mistake;
use crate::shape::LogShape;
use crate::{Argument, Kind};

/// The longest regular expression of a log, in bytes.
const PATTERN_BYTES_MAX: usize = 1_024;

/// A consumer's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The source of its lines; may contain `{instance}`.
    pub source: LogSource,
    /// A line that shows an accepted credential: a valid expression of the `regex` crate.
    pub success: Option<String>,
    /// A line that shows a refused credential: a valid expression of the `regex` crate.
    pub failure: Option<String>,
}

/// The source of a log's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A file, absolute.
    File(Argument),
    /// The journal of systemd: the unit's name.
    Journal(Argument),
    /// The output of a container: its name.
    Docker(Argument),
}

/// What a service connects to with the credential: all clients of it log the same message when the credential is
/// refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogKind {
    Postgres,
    Redis,
    Http,
}

impl LogKind {
    fn read(text: &At<String>) -> Result<Self, Mistake> {
        match text.value.as_str() {
            "postgres" => Ok(Self::Postgres),
            "redis" => Ok(Self::Redis),
            "http" => Ok(Self::Http),
            _ => Err(Mistake::one_of("log.kind", text, &["postgres", "redis", "http"])),
        }
    }

    /// A line that shows an accepted credential; `None` if clients log no such line.
    fn success(self) -> Option<&'static str> {
        match self {
            // Logged with `log_connections`, also by a pooler in front of the server. Source: postgres,
            // src/backend/utils/init/postinit.c ("connection authorized: user=") and src/backend/libpq/auth.c
            // ("connection authenticated: identity=").
            Self::Postgres => Some(r"connection (authenticated|authorized): "),
            // HTTP clients log nothing, and a status of 2xx in a service's own log may be its answer to another client.
            Self::Redis | Self::Http => None,
        }
    }

    /// A line that shows a refused credential.
    fn failure(self) -> &'static str {
        match self {
            // The message and its translations' SQLSTATE (28P01 invalid_password, 28000
            // invalid_authorization_specification: no such role, or it may not log in). Source: PostgreSQL's manual,
            // appendix A; src/backend/libpq/auth.c, src/backend/utils/init/miscinit.c.
            Self::Postgres => {
                r#"password authentication failed for user|role ".*" (is not permitted to log in|does not exist)|\b(28P01|28000)\b"#
            }
            // Source: redis, src/acl.c and src/server.c: WRONGPASS (from 6.0), NOAUTH; "invalid password" before that.
            Self::Redis => r"\b(WRONGPASS|NOAUTH)\b|invalid username-password pair|ERR invalid password",
            // RFC 9110, section 15.5.2 (401); RFC 6750, section 3.1 (invalid_token); RFC 6749, section 5.2
            // (invalid_client, invalid_grant). 403 is not among them: it refuses a right, not a credential.
            Self::Http => {
                r"(?i-u)\b401\b|unauthori[sz]ed|invalid[ _-]?(api[ _-]?key|token|client|grant|credentials)|authentication[ _](failed|error)"
            }
        }
    }
}

impl Log {
    pub(crate) fn read(shape: &At<LogShape>, folder: &Path, holes: &[&str]) -> Result<Self, Mistake> {
        let log = &shape.value;
        let wrong = |why: &str| Err(Mistake::new(Kind::BadCombination, why).at(&shape.span));
        let source = match (&log.file, &log.journal, &log.docker) {
            (Some(file), None, None) => {
                LogSource::File(Argument::read_path(folder, "log.file", file, holes)?)
            }
            (None, Some(unit), None) => LogSource::Journal(read_name("log.journal", unit, holes)?),
            (None, None, Some(name)) => LogSource::Docker(read_name("log.docker", name, holes)?),
            _ => return wrong("`log` needs one of `file`, `journal`, `docker`"),
        };
        if log.success.is_none() && log.failure.is_none() && log.kind.is_none() {
            return wrong("`log` needs `kind`, `success` or `failure`: without a pattern it shows nothing");
        }
        let kind = log.kind.as_ref().map(LogKind::read).transpose()?;
        let own = |key: &str, text: &Option<At<String>>| {
            text.as_ref().map(|text| read_pattern(key, text)).transpose()
        };
        let success = own("log.success", &log.success)?;
        let failure = own("log.failure", &log.failure)?;
        Ok(Self {
            source,
            success: success.or_else(|| kind.and_then(LogKind::success).map(str::to_owned)),
            failure: failure.or_else(|| kind.map(|kind| kind.failure().to_owned())),
        })
    }
}

/// The name of a unit or a container: a command line argument that is not a flag.
fn read_name(key: &str, text: &At<String>, holes: &[&str]) -> Result<Argument, Mistake> {
    let named = |c: char| c.is_ascii_alphanumeric() || "@:._-\\{}".contains(c);
    let bare = text.value.starts_with('-') || !text.value.chars().all(named);
    match bare {
        true => Err(Mistake::new(Kind::WrongForm, format!("`{key}` is not a name")).at(&text.span)),
        false => Argument::read(key, text, holes),
    }
}

fn read_pattern(key: &str, text: &At<String>) -> Result<String, Mistake> {
    let wrong = |why: &str| Err(Mistake::new(Kind::BadPattern, format!("`{key}` {why}")).at(&text.span));
    if text.value.len() > PATTERN_BYTES_MAX {
        return wrong("is longer than 1024 bytes");
    }
    match Regex::new(&text.value) {
        Ok(pattern) if pattern.is_match("") => wrong("matches every line, so it shows nothing"),
        Ok(_) => Ok(text.value.clone()),
        Err(_) => wrong("is not a regular expression (syntax of Rust's regex crate)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that the programs themselves write.
    #[test]
    fn the_lines_of_each_kind_show_what_they_should() {
        let refused = [
            (LogKind::Postgres, r#"psql: error: FATAL:  password authentication failed for user "app""#),
            (LogKind::Postgres, r#"FATAL:  role "app" is not permitted to log in"#),
            (LogKind::Postgres, r#"FATAL:  role "app_old" does not exist"#),
            (LogKind::Postgres, "asyncpg.exceptions.InvalidPasswordError: 28P01"),
            (LogKind::Redis, "WRONGPASS invalid username-password pair or user is disabled."),
            (LogKind::Redis, "(error) NOAUTH Authentication required."),
            (LogKind::Redis, "ERR invalid password"),
            (LogKind::Http, r#"HTTP Request: POST https://api.example/v1 "HTTP/1.1 401 Unauthorized""#),
            (LogKind::Http, r#"{"error":{"code":"invalid_api_key"}}"#),
            (LogKind::Http, r#"error="invalid_token""#),
        ];
        for (kind, line) in refused {
            assert!(Regex::new(kind.failure()).unwrap().is_match(line), "{kind:?}: {line}");
            let success = kind.success().map(|pattern| Regex::new(pattern).unwrap());
            assert!(!success.is_some_and(|pattern| pattern.is_match(line)), "{kind:?}: {line}");
        }
        let nothing = [
            (LogKind::Postgres, r#"FATAL:  database "orders" does not exist"#),
            (LogKind::Postgres, "LOG:  connection authorized: user=app database=orders"),
            (LogKind::Redis, "OOM command not allowed when used memory > 'maxmemory'."),
            (LogKind::Http, r#"HTTP Request: POST https://api.example/v1 "HTTP/1.1 200 OK""#),
            (LogKind::Http, "HTTP/1.1 403 Forbidden"),
            (LogKind::Http, "took 4011 ms"),
        ];
        for (kind, line) in nothing {
            assert!(!Regex::new(kind.failure()).unwrap().is_match(line), "{kind:?}: {line}");
        }
        let accepted = Regex::new(LogKind::Postgres.success().unwrap()).unwrap();
        assert!(accepted.is_match("LOG:  connection authorized: user=app database=orders"));
    }
}
