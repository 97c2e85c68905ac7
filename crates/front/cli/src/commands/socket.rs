//! keyroll's socket, for the commands that ask it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_app::env;
use keyroll_app::problem::Problem;
use keyroll_app::wiring::served;
use keyroll_codes::Code;
use keyroll_served::{Answered, Request};
use serde_json::Value;
use zeroize::Zeroizing;

/// How long the server may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Where the server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket(PathBuf);

/// A version that was given.
pub(super) struct Given {
    pub(super) version: u32,
    pub(super) value: Option<Zeroizing<String>>,
    pub(super) fields: Vec<(String, Zeroizing<String>)>,
}

pub(super) fn problem(secret: &str) -> Problem {
    Problem::new(Code::ValueNotServed, format!("get {} from keyroll's socket", secret.escape_debug()))
}

impl Socket {
    /// The named one, else where it is unless somebody says so.
    pub(super) fn of(named: Option<&Path>) -> Self {
        let usual = || {
            env::SOCKET
                .get()
                .map(PathBuf::from)
                .or_else(|| served::socket_of_user().filter(|path| path.exists()))
                .unwrap_or_else(|| PathBuf::from(served::OF_ROOT))
        };
        Self(named.map_or_else(usual, Path::to_owned))
    }

    #[expect(clippy::disallowed_methods, reason = "a socket of this machine, which is keyroll's own")]
    fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(&self.0)?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(stream)
    }

    /// The answer to one request, on a connection of its own. `wait`: how much longer than usual the answer may take.
    pub(super) fn ask(
        &self,
        secret: &str,
        request: &Request,
        wait: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let unopened = |error: io::Error| {
            problem(secret)
                .because(format!("{}: {error}", self.0.display()))
                .help("start keyroll serve, or name its socket: --socket PATH, or KEYROLL_SOCKET")
        };
        let mut stream = self.connect().map_err(unopened)?;
        stream.set_read_timeout(Some(ANSWER_MAX + wait)).map_err(unopened)?;
        let failed = |error: io::Error| problem(secret).because(format!("the server: {error}"));
        let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        stream.write_all(&line).map_err(failed)?;
        let mut answer = Zeroizing::new(Vec::with_capacity(64 * 1024));
        BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer).map_err(failed)?;
        match answer.last() {
            Some(b'\n') => Ok(answer),
            Some(_) | None => {
                Err(problem(secret).because("the server closed the connection").help("its log says why"))
            }
        }
    }
}

/// The version in an answer; `None` if it is still the one that the program has.
pub(super) fn given(secret: &str, answer: &[u8]) -> Result<Option<Given>, Problem> {
    let read: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(|text| Zeroizing::new(text.to_owned()));
    let version = read.get("version").and_then(Value::as_u64).and_then(|version| u32::try_from(version).ok());
    if let (Some(version), Some(Value::Object(fields))) = (version, read.get("fields")) {
        let fields = fields.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
        return Ok(Some(Given { version, value: read.get("value").and_then(text), fields }));
    }
    match serde_json::from_slice(answer) {
        Ok(Answered::Unchanged { .. }) => Ok(None),
        Ok(Answered::Refused { error, help, .. }) => {
            Err(help.into_iter().fold(problem(secret).because(error), |problem, help| problem.help(help)))
        }
        Ok(Answered::Done { .. }) | Err(_) => Err(problem(secret).because("its answer is not understood")),
    }
}

impl Given {
    /// The first of these fields that it has.
    pub(super) fn field(&self, names: &[&str]) -> Option<&str> {
        let of = |wanted: &str| self.fields.iter().find(|(name, _)| name == wanted);
        names.iter().find_map(|name| of(name)).map(|(_, value)| value.as_str())
    }

    /// One field, or else its only secret one.
    pub(super) fn chosen(&self, secret: &str, field: Option<&str>) -> Result<&str, Problem> {
        let value = match field {
            Some(name) => self.field(&[name]),
            None => self.value.as_ref().map(|value| value.as_str()),
        };
        value.ok_or_else(|| match field {
            Some(name) => self.lacks(secret, &format!("field {name}")),
            None => self.lacks(secret, "single value").help("name one of its fields"),
        })
    }

    pub(super) fn lacks(&self, secret: &str, what: &str) -> Problem {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        problem(secret).because(format!("it has no {what}: its fields are {}", names.join(", ")))
    }
}
