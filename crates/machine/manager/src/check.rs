mod answer;
mod turn;

use std::path::PathBuf;
use std::time::Instant;

use keyroll_agents::OpenClawHome;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::command::{CommandLine, Output, With, run};
use crate::http::Url;
use crate::instance::filled;
use crate::openclaw::listener::gateway_is_ready;
use crate::user::User;

pub use answer::CheckAnswer;
pub use turn::Turn;

/// A check whether a consumer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A command; exit status 0 = it works. Standard input is empty, the output is thrown away.
    Exec {
        /// The command.
        command: CommandLine,
        /// The local user that it runs as; keyroll's own where none is named.
        user: Option<String>,
    },
    /// A GET; a status of 200 to 299 = it works. Redirects are not followed.
    Http {
        /// `http://`, with a numeric address or `localhost`; `{instance}` stands for the instance's name.
        url: String,
        /// A text that the first 64 KiB of the body must contain.
        contains: Option<String>,
    },
    /// A turn of an agent.
    Turn(Turn),
    /// The gateway of this state folder of OpenClaw reports that it is ready; no other listener at its port is asked.
    Gateway(PathBuf),
}

/// Runs the check once. `said` receives the standard error of a failed command, which may hold a value.
///
/// # Errors
/// The check itself is wrong or cannot be started (`K0004`, `K0404`, `K0362`): it shows nothing.
pub fn check(
    check: &Check,
    instance: Option<&str>,
    deadline: Instant,
    said: &mut Option<SecretBytes>,
) -> Result<CheckAnswer, Failure> {
    match check {
        Check::Exec { command, user } => exec(&command.filled(instance)?, user.as_deref(), deadline, said),
        Check::Http { url, contains } => http(&filled(url, instance)?, contains.as_deref(), deadline),
        Check::Turn(turn) => turn.ask(deadline),
        Check::Gateway(state) => Ok(match gateway_is_ready(&OpenClawHome::at(state), deadline) {
            Ok(()) => CheckAnswer::Passed,
            Err(why) => CheckAnswer::Unknown(why),
        }),
    }
}

fn exec(
    command: &CommandLine,
    user: Option<&str>,
    deadline: Instant,
    said: &mut Option<SecretBytes>,
) -> Result<CheckAnswer, Failure> {
    let user = user.map(User::named).transpose()?;
    let with = With { user: user.as_ref(), ..With::output(Output::Complaint) };
    match run(command, &with, deadline, &mut |_| {}) {
        Ok(ended) if ended.status.success() => Ok(CheckAnswer::Passed),
        Ok(ended) => {
            *said = ended.output;
            Ok(CheckAnswer::Failed(ended.status.to_string()))
        }
        Err(failure) if failure.class == Class::Unknown => {
            Ok(CheckAnswer::Unknown("no answer in time".into()))
        }
        Err(failure) => Err(failure),
    }
}

fn http(url: &str, contains: Option<&str>, deadline: Instant) -> Result<CheckAnswer, Failure> {
    let parsed = Url::parse(url).map_err(|why| {
        Failure::new(Class::Permanent, Code::CheckUnusable, format!("check `{}`", url.escape_debug()))
            .because(why)
            .help("correct `check.http` in the configuration")
    })?;
    let answer = match parsed.get(deadline) {
        Ok(answer) => answer,
        Err(why) => return Ok(CheckAnswer::Unknown(why)),
    };
    if !(200..300).contains(&answer.status) {
        return Ok(CheckAnswer::Failed(format!("HTTP status {}", answer.status)));
    }
    let holds = |text: &str| answer.body.windows(text.len().max(1)).any(|window| window == text.as_bytes());
    match contains {
        Some(text) if !text.is_empty() && !holds(text) => {
            Ok(CheckAnswer::Failed("the body does not hold the expected text".into()))
        }
        Some(_) | None => Ok(CheckAnswer::Passed),
    }
}
