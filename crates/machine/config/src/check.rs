//! The checks of a consumer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyroll_manager::{LOOPBACK_FORM, loopback_address};

use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::shape::{CheckShape, PathShape};
use crate::url::read_url;
use crate::{Argument, Argv, Kind, Name, Reference};

/// A check that a value works for a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A command of its own. If it contains `{copy}`, a control with a wrong copy proves that the check can fail.
    Exec(Argv),
    /// A request to the running process; `{instance}` and `{port}` may stand in it.
    Http(Argument),
    /// A request to each worker of a LiteLLM proxy for each of its models.
    LiteLlm(LiteLlmCheck),
    /// One turn of an agent, pinned to a model.
    Turn {
        /// `provider/model`.
        model: String,
        /// The agent; `None` = every agent in the settings.
        agent: Option<String>,
        /// A command that must succeed before the turn, as in [`Check::Exec`].
        after: Option<Argv>,
    },
}

impl Check {
    /// The command of the check, if it has one.
    pub fn command(&self) -> Option<&Argv> {
        match self {
            Self::Exec(argv) | Self::Turn { after: Some(argv), .. } => Some(argv),
            Self::Http(_) | Self::LiteLlm(_) | Self::Turn { after: None, .. } => None,
        }
    }
}

/// How the workers of a LiteLLM proxy are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteLlmCheck {
    /// The address of the proxy.
    pub address: SocketAddr,
    /// The proxy's configuration file.
    pub config: PathBuf,
    /// The proxy's own key, if it has one.
    pub key: Option<Reference>,
    /// One of its models; `None` = every model that uses the credential.
    pub model: Option<String>,
}

/// One flow that must work besides the consumer's main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCheck {
    /// Its name.
    pub name: Name,
    /// Its check.
    pub check: Check,
}

/// One of the further flows; `before`: those that were read; `read` reads its check.
pub(crate) fn read_path(
    path: &PathShape,
    before: &[PathCheck],
    read: &dyn Fn(&At<CheckShape>) -> Result<Check, Mistake>,
) -> Result<PathCheck, Mistake> {
    let name = Name::read("a path", &path.name)?;
    if before.iter().any(|other| other.name == name) {
        let why = format!("path `{name}` is named twice");
        return Err(Mistake::new(Kind::Duplicate, why).at(&path.name.span));
    }
    Ok(PathCheck { name, check: read(&path.check)? })
}

/// Refuses a check of a consumer without copies that needs one, or a program of its own kind. For a consumer that follows the
/// store keyroll makes a file for each check, which `{copy}` stands for.
pub(crate) fn refuse_check(check: &Check, follows: bool) -> Result<(), Mistake> {
    let why = match check {
        Check::Exec(argv) if !follows && argv.uses("copy") => {
            "`check.exec`: a consumer with `serves` has no copy that `{copy}` could stand for"
        }
        Check::Turn { .. } => "`check.turn` asks an agent: it goes with `runs.openclaw`",
        Check::LiteLlm(_) => "`check.litellm` asks a proxy: a proxy has `runs`, and copies under `reads`",
        Check::Exec(_) | Check::Http(_) => return Ok(()),
    };
    let copy = if follows { ", \"{copy}\"" } else { "" };
    Err(Mistake::new(Kind::BadCombination, why)
        .help(format!("write `check = {{ exec = [\"./check.sh\"{copy}] }}`")))
}

/// Checks `provider/model`, which becomes a line of a request.
fn read_model(text: &At<String>) -> Result<String, Mistake> {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/' | b'@' | b'+');
    let parts =
        text.value.split_once('/').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
    match parts && text.value.len() <= 256 && text.value.bytes().all(plain) {
        true => Ok(text.value.clone()),
        false => Err(Mistake::new(Kind::BadName, "`turn` is a model with its provider: `openai/gpt-5.4`")
            .at(&text.span)),
    }
}

fn read_agent(text: &At<String>) -> Result<String, Mistake> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match (1..=64).contains(&text.value.len()) && text.value.bytes().all(plain) {
        true => Ok(text.value.clone()),
        false => {
            Err(Mistake::new(Kind::BadName, "`agent` is the id of an agent: letters, digits, `_` and `-`")
                .at(&text.span))
        }
    }
}

fn read_loopback(url: &At<String>) -> Result<SocketAddr, Mistake> {
    let wrong = || Mistake::new(Kind::WrongForm, format!("`check.litellm` {LOOPBACK_FORM}")).at(&url.span);
    loopback_address(&url.value).ok_or_else(wrong)
}

fn read_litellm(
    url: &At<String>,
    shape: &At<CheckShape>,
    folder: &Path,
    at_rest: bool,
) -> Result<Check, Mistake> {
    let check = &shape.value;
    let wrong = |why: &str| Mistake::new(Kind::BadCombination, why).at(&shape.span);
    if check.exec.is_some() || check.http.is_some() {
        return Err(wrong("`check` needs one of `exec`, `http`, `litellm` and `turn`"));
    }
    if at_rest {
        return Err(wrong("`check.litellm` asks a running proxy, and nothing runs"));
    }
    let config =
        check.config.as_ref().ok_or_else(|| wrong("`litellm` goes with `config`, its configuration file"))?;
    Ok(Check::LiteLlm(LiteLlmCheck {
        address: read_loopback(url)?,
        config: resolve(folder, "check.config", config)?,
        key: check.key.as_ref().map(|key| Reference::read(folder, "check.key", key)).transpose()?,
        model: check.model.as_ref().map(|model| model.value.clone()),
    }))
}

/// `holes`: the placeholders that its texts may have; `at_rest`: nothing runs.
pub(crate) fn read_check(
    shape: &At<CheckShape>,
    folder: &Path,
    holes: &[&str],
    at_rest: bool,
) -> Result<Check, Mistake> {
    let wrong = |why: &str| Err(Mistake::new(Kind::BadCombination, why).at(&shape.span));
    if let Some(url) = &shape.value.litellm {
        return read_litellm(url, shape, folder, at_rest);
    }
    if shape.value.config.is_some() || shape.value.key.is_some() || shape.value.model.is_some() {
        return wrong("`config`, `key` and `model` of a check go with `litellm`");
    }
    let exec = shape.value.exec.as_ref().map(|words| read_exec(words, shape, folder, holes)).transpose()?;
    if let Some(model) = &shape.value.turn {
        if shape.value.http.is_some() {
            return wrong("`check.turn` goes with `exec`, and not with `http`");
        }
        let agent = shape.value.agent.as_ref().map(read_agent).transpose()?;
        return Ok(Check::Turn { model: read_model(model)?, agent, after: exec });
    }
    if let Some(agent) = &shape.value.agent {
        return Err(Mistake::new(Kind::BadCombination, "`agent` goes with `turn`").at(&agent.span));
    }
    match (exec, &shape.value.http) {
        (Some(argv), None) => Ok(Check::Exec(argv)),
        (None, Some(_)) if at_rest => {
            wrong("`check.http` asks a running process, and nothing runs: use `check.exec`")
        }
        (None, Some(_)) => match read_url("check.http", shape.value.http.as_ref(), holes)? {
            Some(url) => Ok(Check::Http(url)),
            None => wrong("`check` needs exactly one of `exec`, `http`, `litellm` and `turn`"),
        },
        (None, None) | (Some(_), Some(_)) => wrong(
            "`check` needs exactly one of `exec`, `http`, `litellm` and `turn`; `exec` may stand beside `turn`",
        ),
    }
}

fn read_exec(
    words: &At<Vec<At<String>>>,
    shape: &At<CheckShape>,
    folder: &Path,
    holes: &[&str],
) -> Result<Argv, Mistake> {
    let with_copy: Vec<&str> = holes.iter().copied().chain(["copy"]).collect();
    let argv = Argv::read(folder, "check.exec", words, &with_copy)?;
    match argv.words().iter().any(|word| word.uses("copy") && word.text() != "{copy}") {
        true => Err(Mistake::new(Kind::BadPlaceholder, "`check.exec`: `{copy}` stands alone as a word")
            .at(&shape.span)),
        false => Ok(argv),
    }
}
