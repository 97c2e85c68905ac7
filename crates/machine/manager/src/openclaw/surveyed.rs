use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_agents::NEW_PROCESS;

use super::{OPENCLAW, OpenClaw};
use crate::{AgentDraft, AgentService, CHECK_COMMAND, DraftValue, SurveyedAgent, SurveyedConsumer};

/// A gateway of OpenClaw that a survey found.
#[derive(Debug)]
pub struct OpenClawGateway {
    /// Its state folder.
    pub state: PathBuf,
    /// The names of its keys, each with the key's model provider.
    pub keys: BTreeSet<(String, String)>,
}

impl SurveyedAgent for OpenClawGateway {
    fn key(&self) -> &'static str {
        OPENCLAW.key()
    }

    fn state(&self) -> Option<&Path> {
        Some(&self.state)
    }

    fn draft(&self, service: &AgentService<'_>) -> Option<AgentDraft> {
        let of_manager = service.declaration.map(|one| one.runs.as_slice());
        if of_manager.into_iter().flatten().any(|(key, _)| !OPENCLAW.takes(key)) {
            return None;
        }
        let of = |name: &String| service.sources.iter().any(|one| one.name == name);
        let mut providers: BTreeSet<&String> =
            self.keys.iter().filter(|(name, _)| of(name)).map(|(_, provider)| provider).collect();
        let provider = providers.pop_first()?;
        let mut runs =
            vec![(OPENCLAW.key(), DraftValue::path(&self.state)), ("provider", DraftValue::text(provider))];
        match of_manager {
            Some(unit) => runs.extend_from_slice(unit),
            None if service.sources.iter().any(|one| one.applied_by == Some(NEW_PROCESS)) => {
                let what = "the command that restarts its gateway: only a new process reads this key";
                let file = "restart-{name}.sh";
                runs.push(("restart", DraftValue::FillIn { file, what, unless_from_file: false }));
            }
            None => {}
        }
        let others = "other model providers use this key too: add a turn of each to `paths`";
        let notes = if providers.is_empty() { Vec::new() } else { vec![others] };
        let check = vec![
            format!("check = {{ {CHECK_COMMAND}, turn = \"{provider}/MODEL\" }}"),
            "exec: a command that succeeds only with a working key in that copy; turn: the model for one turn \
             of the agent, which its settings must allow (gateway.http.endpoints.chatCompletions.enabled)"
                .to_owned(),
        ];
        Some(AgentDraft { runs, notes, check })
    }
}

impl OpenClaw {
    /// Whether a found consumer is this gateway. Reading the same copy is not enough: another program may read it too.
    pub(super) fn is_same_agent(&self, found: &SurveyedConsumer<'_>) -> bool {
        let state = found.agent.and_then(SurveyedAgent::state);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let of_lock =
            || self.home().gateway().is_some_and(|(pid, _)| found.processes.iter().any(|one| one.pid == pid));
        found.reads_same && (state.is_some_and(|state| real(state) == real(&self.state)) || of_lock())
    }
}
