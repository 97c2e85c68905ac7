//! `POST /v1/commands`: runs a command that only reads, in a process of its own, and answers what it wrote.
//!
//! The front decides which commands these are and which role each needs, because it has their types. No command here takes
//! a path or stdin from the caller: it would read as the user of the server. It runs in `/`, so that a name without a slash
//! is no file of the server's folder either.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::child::{Output, TEXT_BYTES_MAX, output};
use crate::answer::{Refusal, json};
use crate::guard::without_role;
use crate::server::Server;
use crate::tokens::Caller;

/// The commands that run at once.
pub(crate) const READERS_MAX: usize = 4;
/// When a caller may try again if that many run, seconds.
const AGAIN_S: u64 = 2;
/// How long a command may take.
const TIME_MAX: Duration = Duration::from_secs(120);
/// The most words of a command, and the longest word, characters.
const WORDS_MAX: usize = 16;
const WORD_LENGTH_MAX: usize = 256;

/// How a request is written.
const FORM: &str = "{\"words\": [\"status\"], \"json\": false}";

/// A word of a command.
#[derive(ToSchema)]
#[schema(as = Word, pattern = r"^[^\x00-\x1f\x7f-\x9f]{0,256}$")]
#[expect(dead_code, reason = "its form stands in the description of the API")]
struct Word(String);

/// A command that only reads.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadCommand {
    /// The command and its arguments, without `keyroll` and without an option that every command takes.
    #[schema(value_type = Vec<Word>, min_items = 1, max_items = 16)]
    words: Vec<String>,
    /// Whether stdout is events, as with `--json`.
    #[serde(default)]
    json: bool,
}

/// What the command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CommandOutput {
    /// The exit code.
    exit: u8,
    /// What it wrote to stdout.
    out: String,
    /// What it wrote to stderr.
    err: String,
}

/// Runs a command that only reads, and answers what it wrote.
///
/// A command that shows what keyroll knows already needs the role `viewer`; one that searches the machine or asks an issuer
/// needs `operator`.
#[utoipa::path(
    post,
    path = "/v1/commands",
    request_body = ReadCommand,
    responses(
        (status = 200, description = "The command has ended; its exit code may be another than 0", body = CommandOutput),
        (status = 400, description = "The body is not understood"),
        (status = 422, description = "The server does not run this command"),
        (status = 429, description = "Too many commands run at once"),
        (status = 503, description = "The command could not run"),
        (status = 504, description = "The command took too long, and was ended"),
    )
)]
pub(crate) async fn run(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Response> {
    let asked: ReadCommand = body::read(request, FORM).await?;
    check(&asked.words).map_err(|why| Refusal::new(why).answered(StatusCode::BAD_REQUEST))?;
    let needed = (server.readable)(&asked.words).map_err(|why| {
        let help =
            Some("run it on the machine of the server: `keyroll --help` lists the commands".to_owned());
        Refusal { help, ..Refusal::new(why) }.answered(StatusCode::UNPROCESSABLE_ENTITY)
    })?;
    if !caller.role.allows(needed) {
        return Err(without_role(&server, &caller, needed, "this command"));
    }
    let Ok(place) = server.readers.clone().try_acquire_owned() else {
        let why = format!("{READERS_MAX} commands run already: this one was not begun");
        return Err(Refusal::new(why).later(StatusCode::TOO_MANY_REQUESTS, AGAIN_S));
    };
    let mut command = server.drives.reader();
    command.args(asked.json.then_some("--json")).args(&asked.words);
    command.current_dir("/").stderr(Stdio::piped());
    match output(command, TIME_MAX, place).await.and_then(|ended| ended.map(written).transpose()) {
        Ok(Some(written)) => Ok(json(StatusCode::OK, &written)),
        Ok(None) => {
            let why = format!("the command took longer than {} s, and was ended", TIME_MAX.as_secs());
            let help = Some("run it on the machine of the server".to_owned());
            Err(Refusal { help, ..Refusal::new(why) }.answered(StatusCode::GATEWAY_TIMEOUT))
        }
        Err(error) => Err(Refusal::new(format!("the command could not run: {error}")).soon()),
    }
}

/// Refuses what is no command. The sentence repeats nothing of it: a word may be a value in the wrong place.
fn check(words: &[String]) -> Result<(), String> {
    if words.is_empty() || words.len() > WORDS_MAX {
        return Err(format!("a command has 1 to {WORDS_MAX} words"));
    }
    if words.iter().any(|word| word.chars().count() > WORD_LENGTH_MAX) {
        return Err(format!("a word of the command has more than {WORD_LENGTH_MAX} characters"));
    }
    if words.iter().any(|word| word.chars().any(char::is_control)) {
        return Err("a word of the command has a control character".to_owned());
    }
    Ok(())
}

fn written(ended: Output) -> io::Result<CommandOutput> {
    let exit = ended.status.code().and_then(|code| u8::try_from(code).ok());
    let exit = exit.ok_or_else(|| io::Error::other("a signal ended it"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, mut err) = (text(&ended.out.bytes), text(&ended.err.bytes));
    if ended.out.cut || ended.err.cut {
        err.push_str(&format!("\nthe server cut the output after {} MiB\n", TEXT_BYTES_MAX >> 20));
    }
    Ok(CommandOutput { exit, out, err })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::super::child::Text;
    use super::*;

    #[test]
    fn a_command_has_bounds() {
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(check(&all(&["status", "01a2"])), Ok(()));
        let long = "canary".repeat(WORD_LENGTH_MAX);
        for bad in [
            all(&[]),
            all(&["canary\n"]),
            all(&["canary\u{1b}[2J"]),
            all(&[long.as_str()]),
            all(&["canary"; WORDS_MAX + 1]),
        ] {
            let said = check(&bad).unwrap_err();
            assert!(!said.contains("canary") && said.len() < 100, "{said}");
        }
    }

    #[test]
    fn the_output_is_text_and_says_where_it_was_cut() {
        let ended = |code: i32, out: &[u8], cut: bool| Output {
            out: Text { bytes: out.to_vec(), cut },
            err: Text { bytes: b"note\n".to_vec(), cut: false },
            status: ExitStatus::from_raw(code),
        };
        let whole = written(ended(4 << 8, b"ab\xff", false)).unwrap();
        assert_eq!((whole.exit, whole.out.as_str(), whole.err.as_str()), (4, "ab\u{fffd}", "note\n"));
        assert!(written(ended(0, b"x", true)).unwrap().err.contains("cut the output after 4 MiB"));
        assert!(written(ended(9, b"", false)).is_err(), "a signal");
    }
}
