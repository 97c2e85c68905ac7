use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyroll_agents::OpenClawHome;
use keyroll_codes::Code;
use keyroll_http::header::{HeaderName, HeaderValue};
use keyroll_port::{Class, Failure};

use super::answer::CheckAnswer;
use crate::http::Url;
use crate::openclaw::listener::gateway_listens;

/// The prompt for the model. It costs a call.
const QUESTION: &str = "Answer with the one word: ready";

/// One turn of each agent, pinned to one model: a turn with its own choice would be answered by a fallback, and prove
/// nothing of this one. Each begins a session of its own, and nothing of it is kept but what the agent itself keeps.
///
/// Source: in 2026.9.6 a model that the caller names has no fallbacks (`x-openclaw-model`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The state folder of the installation.
    pub state: std::path::PathBuf,
    /// `provider/model`.
    pub model: String,
    /// The agent; `None` = every agent in the settings, since each may have its own key and cool-down.
    pub agent: Option<String>,
}

impl Turn {
    /// Asks once.
    ///
    /// # Errors
    /// `K0362`: the turn cannot be requested.
    pub(crate) fn ask(&self, deadline: Instant) -> Result<CheckAnswer, Failure> {
        let home = OpenClawHome::at(&self.state);
        let failed = || {
            let what = format!("ask OpenClaw in {} for a turn with {}", self.state.display(), self.model);
            Failure::new(Class::Permanent, Code::CheckUnusable, what)
        };
        let settings = home.settings().map_err(|error| failed().because(error.to_string()))?;
        if !settings.answers_http {
            return Err(failed()
                .because("its gateway answers no turns over HTTP")
                .help("set gateway.http.endpoints.chatCompletions.enabled to true in openclaw.json"));
        }
        let Some(token) = settings.token() else {
            return Err(failed()
                .because("gateway.auth.token in its settings is not a plain token")
                .help("use `check.exec` with a command of your own, or write the gateway's token into openclaw.json"));
        };
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", settings.port);
        let url = Url::parse(&url).map_err(|why| failed().because(why))?;
        let model = HeaderValue::from_str(&self.model).map_err(|_| {
            failed().because("the name of the model has characters that an HTTP header cannot contain")
        })?;
        if let Err(why) = gateway_listens(&home, settings.port) {
            return Ok(CheckAnswer::Unknown(why));
        }
        let agents = match &self.agent {
            Some(agent) => vec![agent.as_str()],
            None if settings.agents.is_empty() => vec!["default"],
            None => settings.agents.iter().map(String::as_str).collect(),
        };
        for agent in agents {
            let body = serde_json::json!({
                "model": format!("openclaw/{agent}"),
                "messages": [{ "role": "user", "content": QUESTION }],
            });
            let named = (HeaderName::from_static("x-openclaw-model"), model.clone());
            match url.post_as(token, named, body.to_string().into_bytes(), deadline) {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => {
                    let why = self.left_alone(&home);
                    let said = format!("agent {agent}: HTTP status {}{why}", answer.status);
                    return Ok(CheckAnswer::Failed(said));
                }
                Err(why) => return Ok(CheckAnswer::Unknown(format!("agent {agent}: {why}"))),
            }
        }
        Ok(CheckAnswer::Passed)
    }

    /// The cool-down during which OpenClaw does not call the provider, whatever its key is now; empty = none.
    #[expect(
        clippy::disallowed_methods,
        reason = "an agent tells the time of its turns by the clock of the day"
    )]
    fn left_alone(&self, home: &OpenClawHome) -> String {
        let provider = self.model.split('/').next().unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        match home.cool_downs(provider, now) {
            Ok(all) => all.first().map_or_else(String::new, |one| {
                let left = one.until_unix_ms.saturating_sub(now) / 1_000;
                format!("; it leaves {provider} alone for {left} s more ({})", one.reason)
            }),
            Err(why) => format!("; whether it leaves {provider} alone for a while is not visible: {why}"),
        }
    }
}
