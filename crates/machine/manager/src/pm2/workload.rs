use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_observe::Listing;
use keyroll_port::Failure;
use rustix::process::geteuid;

use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::facts::Notice::Away;
use crate::facts::nightly;
use crate::shell_word::shell_word;
use crate::{
    Applied, AppliedBy, Attempt, Drift, InstanceProcess, ManagerFact, OwnCopies, Pm2, ServiceIdentity,
    Workload,
};

/// An app of pm2.
pub(crate) static PM2: Manager = Manager {
    keys: &[
        Key::new(
            "pm2",
            KeyForm::Path,
            "The ecosystem file of pm2 that declares the app: `/srv/bot/ecosystem.config.js`.",
        ),
        Key::new("app", KeyForm::Text, "With `pm2`: the name of the app."),
        Key::new(
            "home",
            KeyForm::Path,
            "With `pm2`: the folder of pm2 (PM2_HOME). Default: `.pm2` in the home folder of the user who owns the ecosystem file.",
        ),
    ],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ pm2 = \"ecosystem.config.js\", app = \"app\" }",
    facts: &[ManagerFact {
        manager: "`pm2`",
        source: "a file that the ecosystem file reads, or the ecosystem file itself",
        verb: "`pm2 restart ECOSYSTEM --only APP --update-env` in the environment that the app was started in; then its entries in the dump files, if any",
        wrong: "`pm2 restart APP`: the daemon's environment; with `--update-env`: the shell's",
        downtime: "until the new process is ready",
        evidence: "each process's own environment, memory and connections; the dumps, by value",
        test: "only_the_ecosystem_file_with_update_env_applies_a_value",
        services: &[nightly("pm2", Away)],
    }],
    survey: None,
    read: |of| {
        if !of.has("app") {
            return Err(DeclarationError {
                key: Some("pm2"),
                ..DeclarationError::combination("`pm2` goes with `app`, the name of the app")
            });
        }
        let home = of.path("home").map(Path::to_owned);
        Ok(Arc::new(Pm2::new(of.needed_path("pm2")?, of.word("app")?, home)))
    },
};

impl Workload for Pm2 {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        let (ecosystem, app) = (shell_word(self.ecosystem.display().to_string()), shell_word(&self.app));
        AppliedBy::Request(format!(
            "runs pm2 restart {ecosystem} --only {app} --update-env, in the environment that the app was started in"
        ))
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    /// pm2's `kill_timeout`, rounded up.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn supervisor_pid(&self) -> Option<u32> {
        self.daemon_pid()
    }

    /// The dumps, from which pm2 starts the app at the next boot.
    fn kept_files(&self) -> Vec<PathBuf> {
        self.dumps().unwrap_or_default()
    }

    /// The ecosystem file says how an app is started, and is itself a program.
    fn drift(&self, own: &OwnCopies<'_>) -> Drift {
        let mut drift = Drift::default();
        if own.delivered && own.is_own(&self.ecosystem) {
            drift.not_visible.push(format!(
                "whether {} was edited after the plan: keyroll wrote the value there",
                self.ecosystem.display()
            ));
        } else {
            drift.read_at_start.push(("ecosystem", self.ecosystem.clone()));
        }
        drift
    }

    fn manager_command(&self) -> Option<&Path> {
        Some(&self.program)
    }

    /// pm2 is run as its owner.
    fn trusted_files(&self) -> Vec<PathBuf> {
        let owner = self.home.as_ref().unwrap_or(&self.ecosystem).metadata().map(|meta| meta.uid());
        let own = owner.is_ok_and(|owner| owner == geteuid().as_raw());
        if own { vec![self.ecosystem.clone()] } else { Vec::new() }
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        let folder = self.ecosystem.parent().unwrap_or(&self.ecosystem);
        vec![ServiceIdentity::placed("pm2", &self.app, folder)]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("the app {} of pm2", self.app))
    }
}
