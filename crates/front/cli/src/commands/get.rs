use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_app::env;
use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::wall_clock;
use keyroll_app::wiring::served;
use keyroll_codes::Code;
use keyroll_served::{Answered, Request};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::args::{GetArgs, GetFormat};
use crate::context::Context;
use crate::ui::raw;

/// How long the server may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The default of `--expires` where it is printed, seconds: the SDKs of AWS ask again some 15 minutes before.
const EXPIRES_S: u32 = 3_600;

fn problem(secret: &str) -> Problem {
    Problem::new(Code::ValueNotServed, format!("get {} from keyroll's socket", secret.escape_debug()))
}

/// Prints a value for the program that runs this command. The server sees which program that is.
pub(super) fn run(args: &GetArgs, _context: &mut Context) -> Result<Exit, Problem> {
    // A helper is also asked to store and to erase, which nobody needs here.
    if args.action != "get" {
        return Ok(Exit::Done);
    }
    if std::io::stdout().is_terminal() && !args.show {
        return Err(problem(&args.secret)
            .because("stdout is a terminal, which would keep it in its history")
            .help("--show prints it all the same")
            .exits(Exit::Usage));
    }
    let keeps = expires(args);
    let answer = ask(args, &Request::Get { secret: args.secret.clone(), have: None, wait: None, keeps })?;
    let given: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let Some(Value::Object(fields)) = given.get("fields") else { return Err(refused(args, &answer)) };
    let text = match args.format {
        GetFormat::Json => Zeroizing::new(String::from_utf8_lossy(&answer).into_owned()),
        GetFormat::Value | GetFormat::Aws | GetFormat::Git | GetFormat::Docker | GetFormat::Kube => {
            shown(args, &given, fields)?
        }
    };
    raw::out().write_all(text.as_bytes()).map_err(|error| raw::not_written(&error))?;
    Ok(Exit::Done)
}

/// How long the program says that it keeps the value: by `--expires`, or by what is printed for it.
fn expires(args: &GetArgs) -> Option<u32> {
    match args.format {
        GetFormat::Aws | GetFormat::Kube => Some(args.expires.unwrap_or(EXPIRES_S)),
        GetFormat::Value | GetFormat::Json | GetFormat::Git | GetFormat::Docker => args.expires,
    }
}

/// The answer to one request, on a connection of its own.
#[expect(clippy::disallowed_methods, reason = "a socket of this machine, which is keyroll's own")]
fn ask(args: &GetArgs, request: &Request) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let path = args.socket.clone().unwrap_or_else(usual);
    let unopened = |error: std::io::Error| {
        problem(&args.secret)
            .because(format!("{}: {error}", path.display()))
            .help("start keyroll serve, or name its socket: --socket PATH, or KEYROLL_SOCKET")
    };
    let mut stream = UnixStream::connect(&path).map_err(unopened)?;
    let limits = stream.set_read_timeout(Some(ANSWER_MAX));
    limits.and_then(|()| stream.set_write_timeout(Some(ANSWER_MAX))).map_err(unopened)?;
    let failed = |error: std::io::Error| problem(&args.secret).because(format!("the server: {error}"));
    let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut answer = Zeroizing::new(Vec::with_capacity(64 * 1024));
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer).map_err(failed)?;
    match answer.last() {
        Some(b'\n') => Ok(answer),
        Some(_) | None => {
            Err(problem(&args.secret).because("the server closed the connection").help("its log says why"))
        }
    }
}

/// Where the socket is unless somebody says so.
fn usual() -> PathBuf {
    env::SOCKET
        .get()
        .map(PathBuf::from)
        .or_else(|| served::socket_of_user().filter(|path| path.exists()))
        .unwrap_or_else(|| PathBuf::from(served::OF_ROOT))
}

fn refused(args: &GetArgs, answer: &[u8]) -> Problem {
    match serde_json::from_slice(answer) {
        Ok(Answered::Refused { error, help, .. }) => {
            help.into_iter().fold(problem(&args.secret).because(error), |problem, help| problem.help(help))
        }
        Ok(_) | Err(_) => problem(&args.secret).because("its answer is not understood"),
    }
}

/// The value in the form of a program.
fn shown(args: &GetArgs, given: &Value, fields: &Map<String, Value>) -> Result<Zeroizing<String>, Problem> {
    let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
    let value = match &args.field {
        Some(name) => field(&[name]),
        None => given.get("value").and_then(Value::as_str),
    };
    let lacks = |what: &str| {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        problem(&args.secret).because(format!("it has no {what}: its fields are {}", names.join(", ")))
    };
    let value = || {
        value.ok_or_else(|| match &args.field {
            Some(name) => lacks(&format!("field {name}")),
            None => lacks("single value").help("name one: --field NAME"),
        })
    };
    let user = || field(&["username", "user"]);
    let until = || wall_clock::in_seconds(args.expires.unwrap_or(EXPIRES_S));
    let json = |value: Value| Zeroizing::new(format!("{value}\n"));
    Ok(match args.format {
        GetFormat::Value | GetFormat::Json => Zeroizing::new(format!("{}\n", value()?)),
        GetFormat::Aws => {
            let id = field(&["access_key_id", "id"]).ok_or_else(|| lacks("access_key_id"))?;
            let key =
                field(&["secret_access_key", "secret", "value"]).ok_or_else(|| lacks("secret_access_key"))?;
            let all = json!({
                "Version": 1, "AccessKeyId": id, "SecretAccessKey": key, "Expiration": until(),
            });
            let token = field(&["session_token"]).map(|token| ("SessionToken".to_owned(), token.into()));
            json(
                all.as_object()
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .chain(token)
                    .collect(),
            )
        }
        GetFormat::Git => {
            // Without one, git has its own: the address's, or credential.username.
            let user = user().map_or_else(String::new, |user| format!("username={user}\n"));
            let value = value()?;
            if value.contains('\n') {
                return Err(problem(&args.secret).because("it has several lines, which git cannot take"));
            }
            Zeroizing::new(format!("{user}password={value}\n"))
        }
        GetFormat::Docker => json(json!({
            "ServerURL": "", "Username": user().unwrap_or("keyroll"), "Secret": value()?,
        })),
        GetFormat::Kube => json(json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": { "token": value()?, "expirationTimestamp": until() },
        })),
    })
}
