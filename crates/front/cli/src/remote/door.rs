use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_app::env;
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_http::blocking::Connection;
use keyroll_http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use keyroll_http::{HttpError, Method, Request, bearer};
use keyroll_secret::SecretBytes;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::context::Context;

/// How long an answer may take: a little longer than the slowest request, a command that reads.
const WAIT_MAX: Duration = Duration::from_secs(150);
/// The longest answer, bytes: that of a command, with every character escaped.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The longest token, bytes.
const TOKEN_BYTES_MAX: usize = 4_096;
/// A server, and the token with which it is asked.
pub(super) struct Door {
    address: SocketAddr,
    token: SecretBytes,
    /// The file that the token was read from.
    file: PathBuf,
    /// The options that name both in a command to paste, with a blank behind them; empty if the environment names them.
    pub(super) options: String,
}

/// Why there is no answer that can be used.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// The same request may be answered in seconds.
    pub(super) again: bool,
    pub(super) problem: Problem,
}

impl Unanswered {
    pub(super) fn never(problem: Problem) -> Self {
        Self { again: false, problem }
    }
}

impl Door {
    /// The server at this URL, with the token that an option or the environment names. Nothing is sent yet.
    pub(super) fn open(url: &str, context: &mut Context) -> Result<Self, Problem> {
        let address = address(url).ok_or_else(|| {
            let why = "is not one of this machine with a port, such as http://127.0.0.1:9090";
            usage(format!("{} {why}", shown(url))).help(format!(
                "the server listens on loopback; from another machine: {}, then --server http://127.0.0.1:9090",
                tunnel(9_090)
            ))
        })?;
        let globals = context.globals.clone();
        let file = globals.token_file.clone().or_else(|| env::TOKEN_FILE.get().map(Into::into));
        let file = file.ok_or_else(|| {
            usage("neither --token-file nor KEYROLL_TOKEN_FILE names a file with a token")
                .help("an admin makes a token on the machine of the server: keyroll token new --help")
        })?;
        let token = context.ui.value_of_file("the token of the server", &file).map_err(|problem| {
            // A token is never typed, and never comes by stdin.
            match problem.help.as_ref().is_some_and(|help| help.starts_with("chmod ")) {
                true => problem,
                false => {
                    problem.help("name a file with the token: --token-file FILE; keyroll token new makes one")
                }
            }
        })?;
        if token.len() > TOKEN_BYTES_MAX {
            let why = format!("{} has more than {TOKEN_BYTES_MAX} bytes: it is no token", file.display());
            return Err(usage(why).help("keyroll token new --help"));
        }
        let token = SecretBytes::new(token.expose().trim_ascii().to_vec());
        let server = globals.server.map(|_| format!("--server http://{address} ")).unwrap_or_default();
        let named = globals.token_file.map(|file| format!("--token-file {} ", file.display()));
        Ok(Self { address, token, file, options: server + &named.unwrap_or_default() })
    }

    /// What the server has at this path. `what` is the clause of a problem: `read the status`.
    pub(super) fn get(&self, what: &str, path: String) -> Result<Value, Unanswered> {
        self.send(what, Request::get(self.address.to_string(), path))
    }

    /// Asks for something with this body.
    pub(super) fn post(&self, what: &str, path: String, body: &Value) -> Result<Value, Unanswered> {
        self.post_bytes(what, path, Zeroizing::new(body.to_string().into_bytes()))
    }

    /// The same with a body that is erased.
    pub(super) fn post_bytes(
        &self,
        what: &str,
        path: String,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Value, Unanswered> {
        let mut request = Request::get(self.address.to_string(), path);
        request.method = Method::POST;
        if !body.is_empty() {
            request.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        request.body = body;
        self.send(what, request)
    }

    fn send(&self, what: &str, mut request: Request) -> Result<Value, Unanswered> {
        let failed = || Problem::new(Code::ServerRefused, format!("{what} at the server"));
        let token = bearer(&self.token).ok_or_else(|| {
            Unanswered::never(
                failed()
                    .because("the file of the token has more than a token")
                    .help("it must have one line, as `keyroll token new` wrote it"),
            )
        })?;
        request.headers.push((AUTHORIZATION, token));
        let connection = Connection::open(self.address, Instant::now() + WAIT_MAX);
        let answer = connection
            .and_then(|connection| connection.send(request, ANSWER_BYTES_MAX))
            .map_err(|error| Unanswered { again: true, problem: self.unreached(failed(), &error) })?;
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        match (answer.status, body) {
            (200..=299, Some(body)) => Ok(body),
            (200..=299, None) => Err(Unanswered::never(
                failed()
                    .because(format!("the answer of http://{} is not JSON", self.address))
                    .help("is another program listening there? `keyroll serve` answers with JSON"),
            )),
            (status, body) => {
                let again = matches!(status, 429 | 503);
                Err(Unanswered { again, problem: self.refused(failed(), status, &body.unwrap_or_default()) })
            }
        }
    }

    fn unreached(&self, problem: Problem, error: &HttpError) -> Problem {
        let address = self.address;
        match error {
            HttpError::NotSent(_) | HttpError::NoRoots | HttpError::TimedOut { sent: false } => {
                problem.because(format!("http://{address} could not be reached: {error}")).help(format!(
                    "is `keyroll serve` running on its machine, and the tunnel to it open? {}",
                    tunnel(address.port())
                ))
            }
            HttpError::Lost(_) | HttpError::TimedOut { sent: true } => problem
                .because(format!("http://{address} was asked and gave no answer: {error}"))
                .because("the server may have begun it")
                .help("keyroll status shows what is open there"),
        }
    }

    /// The problem that the server told (RFC 9457); without one, it may be another program.
    fn refused(&self, problem: Problem, status: u16, body: &Value) -> Problem {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(detail) = text("detail").or(text("why")) else {
            return problem
                .because(format!("it answered with the status {status}"))
                .help(format!("is it keyroll that listens at http://{}?", self.address));
        };
        if status == 401 {
            let file = self.file.display();
            return problem
                .because(format!("the server does not know the token in {file}; it may be revoked"))
                .help("keyroll token list, on the machine of the server, shows the valid ones");
        }
        let code = text("code").and_then(Code::parse).unwrap_or(problem.code);
        let exit = if status == 409 { Exit::Held } else { Exit::Failed };
        let next = text("help").or(text("next")).map(str::to_owned);
        let next = next.or_else(|| text("rotation").map(|id| format!("keyroll status {id}")));
        let mut problem = problem.because(detail).exits(exit);
        problem.code = code;
        match next {
            Some(next) => problem.help(next),
            None => problem,
        }
    }
}

/// The problem of a command line that does not fit a server.
pub(super) fn usage(why: impl Into<String>) -> Problem {
    Problem::new(Code::UsageWrong, "ask the server").because(why).exits(Exit::Usage)
}

/// How a server of another machine is reached by this port here.
fn tunnel(port: u16) -> String {
    format!("ssh -L {port}:127.0.0.1:9090 HOST")
}

/// A URL in a message. One that has more than a host is not repeated: it may have a password.
fn shown(url: &str) -> String {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-/".contains(&byte);
    if host.bytes().all(plain) && url.chars().all(|c| c.is_ascii_graphic()) {
        format!("the URL {url}")
    } else {
        "the URL".to_owned()
    }
}

/// The address of `http://127.0.0.1:9090`; none for another machine, because nothing is encrypted.
fn address(url: &str) -> Option<SocketAddr> {
    let host = url.strip_prefix("http://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let address = match host.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => host.to_owned(),
    };
    address.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_on_loopback() {
        for (url, shown) in [
            ("http://127.0.0.1:9090", "127.0.0.1:9090"),
            ("http://localhost:9090/", "127.0.0.1:9090"),
            ("http://[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(address(url).map(|at| at.to_string()).as_deref(), Some(shown), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:9090",
            "https://127.0.0.1:9090",
            "http://127.0.0.1",
            "http://192.0.2.1:9090",
            "http://0.0.0.0:9090",
            "http://example.org:9090",
            "http://localhost.example.org:9090",
            "http://user:canary@127.0.0.1:9090",
            "http://127.0.0.1:9090/v1",
        ] {
            assert_eq!(address(url), None, "{url}");
        }
    }

    #[test]
    fn a_url_that_may_have_a_password_is_not_repeated() {
        assert_eq!(shown("http://192.0.2.1:9090"), "the URL http://192.0.2.1:9090");
        for url in ["http://me:canary@x", "http://x/?token=canary", "canary@x", "http://x\ncanary"] {
            assert_eq!(shown(url), "the URL", "{url}");
        }
    }

    #[test]
    fn a_problem_of_the_server_is_shown_as_one_of_keyroll() {
        let door = Door {
            address: "127.0.0.1:9090".parse().unwrap(),
            token: SecretBytes::new(Vec::new()),
            file: "ada.token".into(),
            options: String::new(),
        };
        let asked = || Problem::new(Code::ServerRefused, "apply the plan at the server");
        let body = json!({
            "title": "x", "status": 409, "detail": "could not find the plan: no plan has this id",
            "code": "K0805", "help": "keyroll status", "rotation": "01a2",
        });
        let problem = door.refused(asked(), 409, &body);
        assert_eq!((problem.code, problem.exit()), (Code::NameNotFound, Exit::Held));
        assert_eq!(problem.causes, ["could not find the plan: no plan has this id"]);
        assert_eq!(problem.help.as_deref(), Some("keyroll status"));
        let known = door.refused(asked(), 503, &json!({"detail": "busy", "rotation": "01a2"}));
        assert_eq!(known.help.as_deref(), Some("keyroll status 01a2"));
        let wrong = door.refused(asked(), 401, &json!({"detail": "no valid token"}));
        assert_eq!(wrong.causes, ["the server does not know the token in ada.token; it may be revoked"]);
        for status in [401, 404, 502] {
            let problem = door.refused(asked(), status, &Value::Null);
            assert_eq!((problem.code, problem.exit()), (Code::ServerRefused, Exit::Failed));
            assert_eq!(problem.causes, [format!("it answered with the status {status}")]);
            let help = "is it keyroll that listens at http://127.0.0.1:9090?";
            assert_eq!(problem.help.as_deref(), Some(help));
        }
    }
}
