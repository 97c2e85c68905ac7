use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_agents::Takes;
use keyroll_leak::mask_words;
use keyroll_observe::{Listing, ProcessId};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;
use rustix::process::geteuid;

use super::OpenClaw;
use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::shell_word::shell_word;
use crate::systemd::declared_unit;
use crate::{
    AgentRows, Applied, AppliedBy, Attempt, Check, CommandLine, Comparison, Generation, InstanceProcess,
    ServiceIdentity, Start, SurveyedConsumer, Workload,
};

/// It answers its present requests before it ends (seen with 2026.9.6).
const STOP_GRACE: Duration = Duration::from_secs(315);

/// The gateway of OpenClaw.
pub(crate) static OPENCLAW: Manager = Manager {
    keys: &[
        Key::new(
            "openclaw",
            KeyForm::Path,
            "The state folder of OpenClaw: `/home/claw/.openclaw`. keyroll finds out from which source the gateway takes its key, and applies a new key accordingly. If only a new process reads that source, add `restart`, a command that ends and starts the gateway, or `unit`, its systemd unit.",
        ),
        Key::new(
            "provider",
            KeyForm::Text,
            "With `openclaw`: the model provider whose key this is, by its name in OpenClaw's settings.",
        ),
        Key::new(
            "program",
            KeyForm::Path,
            "With `openclaw`: the path of the program `openclaw`. Default: `openclaw` in the PATH.",
        ),
    ],
    with: &["restart", "unit", "user", "drain"],
    only: "`openclaw` goes with `provider` and `program`, with `restart` or `unit`, and with `drain` only: its own files say which process it is, and it says itself when it is ready",
    example: "{ openclaw = \"/home/claw/.openclaw\", provider = \"openai\" }",
    facts: &[],
    survey: None,
    read: |of| {
        let only = || DeclarationError::combination(OPENCLAW.only);
        let start = match (of.command("restart"), of.has("unit")) {
            (Some(_), true) => return Err(only()),
            (Some(line), false) => Some(Start::Command(line.clone())),
            (None, true) => Some(Start::Unit(Box::new(declared_unit(of, "unit", "service")?))),
            (None, false) => None,
        };
        if of.has("user") && !of.has("unit") {
            return Err(only());
        }
        if !of.has("provider") {
            return Err(DeclarationError {
                key: Some("openclaw"),
                ..DeclarationError::combination(
                    "`openclaw` goes with `provider`, the model provider whose key this is",
                )
            });
        }
        Ok(Arc::new(OpenClaw {
            state: of.needed_path("openclaw")?.to_owned(),
            provider: of.word("provider")?,
            program: of.path("program").unwrap_or(Path::new("openclaw")).to_owned(),
            start,
            reads: of.reads.to_vec(),
        }))
    },
};

impl OpenClaw {
    /// What makes the gateway take a new key, by the source that it has now.
    fn takes_by(&self) -> AppliedBy {
        let Ok(bound) = self.bound_now() else {
            return AppliedBy::Request(
                "does what the source of its key needs, which is not visible now".to_owned(),
            );
        };
        let openclaw = shell_word(self.program.display().to_string());
        let reload = format!("{openclaw} secrets reload");
        AppliedBy::Request(match (bound.takes, &self.start) {
            (Takes::Restart, Some(Start::Command(line))) => return AppliedBy::line(line),
            (Takes::Restart, Some(Start::Unit(unit))) => return unit.applied_by(),
            (Takes::Restart, None) => {
                "needs `restart` or `unit`: only a new process takes the value".to_owned()
            }
            (Takes::Itself, _) => return AppliedBy::Nothing("it reads its settings again by itself"),
            (Takes::InPlace, _) => return AppliedBy::Nothing("it restarts itself in its process"),
            (Takes::Reload, _) => format!("runs {reload}"),
            (Takes::Store(name), _) => {
                let name = shell_word(mask_words(&name));
                format!(
                    "runs {openclaw} secrets store set {name} with the value on its standard input, then {reload}"
                )
            }
            (Takes::Profile(id), _) => {
                let (provider, id) = (shell_word(&self.provider), shell_word(mask_words(&id)));
                format!(
                    "runs {openclaw} models auth paste-api-key --provider {provider} --profile-id {id} with the value on its \
                     standard input"
                )
            }
        })
    }
}

impl Workload for OpenClaw {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt)
    }

    fn applied_by(&self) -> AppliedBy {
        self.takes_by()
    }

    fn also_ends(&self) -> Option<String> {
        self.cool_down_to_end()
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.gateway_instances(listing)
    }

    fn needs_listing(&self) -> bool {
        true
    }

    /// Without an answer, the stricter case is assumed.
    fn starts_new_process(&self) -> bool {
        self.bound(None).map_or(true, |bound| bound.takes == Takes::Restart)
    }

    fn generations(&self, file: &Path) -> Result<Option<Vec<Generation>>, Failure> {
        self.in_place(file)
    }

    /// A gateway that restarts within its process has a downtime too.
    fn has_downtime(&self) -> bool {
        self.bound(None).map_or(true, |bound| matches!(bound.takes, Takes::Restart | Takes::InPlace))
    }

    fn is_asked(&self) -> bool {
        true
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotVisible("it receives the value through its own interface")
    }

    fn objections(&self) -> Vec<Failure> {
        self.reasons_against()
    }

    fn helpers(&self, listing: &Listing) -> Vec<ProcessId> {
        self.own_helpers(listing)
    }

    fn left_files(&self) -> Vec<PathBuf> {
        self.home().left()
    }

    fn has_rows(&self) -> bool {
        true
    }

    fn rows(&self) -> AgentRows {
        self.key_rows()
    }

    fn refuse_other_row(&self, file: &Path, versions: &[SecretBytes]) -> Result<(), Failure> {
        self.refuse_row_of_another(file, versions)
    }

    fn agent_state(&self) -> Option<&Path> {
        Some(&self.state)
    }

    fn is_same_agent(&self, found: &SurveyedConsumer<'_>) -> bool {
        self.is_same_agent(found)
    }

    fn restart_command(&self) -> Option<&CommandLine> {
        match &self.start {
            Some(Start::Command(line)) => Some(line),
            Some(Start::Unit(_)) | None => None,
        }
    }

    fn readiness(&self) -> Option<Check> {
        Some(Check::Gateway(self.state.clone()))
    }

    fn manager_command(&self) -> Option<&Path> {
        Some(&self.program).filter(|program| !program.is_absolute()).map(PathBuf::as_path)
    }

    /// Its program is run as the owner of the installation.
    fn trusted_files(&self) -> Vec<PathBuf> {
        let owner = self.state.metadata().map(|meta| meta.uid());
        let own = owner.is_ok_and(|owner| owner == geteuid().as_raw());
        if own && self.program.is_absolute() { vec![self.program.clone()] } else { Vec::new() }
    }

    fn search_roots(&self) -> Vec<PathBuf> {
        vec![self.state.clone()]
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        let mut all = vec![ServiceIdentity::placed("openclaw", &self.provider, &self.state)];
        if let Some(Start::Unit(unit)) = &self.start {
            all.extend(unit.identities());
        }
        all
    }
}
