use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::go_program::GoProgram;

/// Without the versions it would say that it is 3.18, and take every cluster that it does not ask for 1.20.
const PROGRAM: GoProgram = GoProgram {
    name: "helm",
    module: Some(("helm.sh/helm/v3@v3.18.6", "h1:S/2CqcYnNfLckkHLI0VgQbxgcDaU3N4A/46E3n9wSNY=")),
    sources: &[],
    linked: "-X helm.sh/helm/v3/internal/version.version=v3.18.6 \
             -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
             -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33",
    package: Some("./cmd/helm"),
    beside: None,
};

/// The real Helm 3.18.6, with no settings and no cache of the user.
pub struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// It, or `None` with a line that says what is left out. This builds the program, which takes some minutes where it is not
    /// in the cache.
    ///
    /// # Panics
    /// If it cannot be built although `CI=true`.
    pub fn here_or_skip(left_out: &str) -> Option<Self> {
        match Self::built() {
            Ok(helm) => Some(helm),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{left_out} needs Helm here: {why}");
                eprintln!("left out: {left_out} ({why})");
                None
            }
        }
    }

    fn built() -> Result<Self, String> {
        let home = TempDir::new().map_err(|error| error.to_string())?;
        Ok(Self { program: PROGRAM.built()?, home })
    }

    /// What it says, with the cluster of this file.
    ///
    /// # Errors
    /// It refused; what it said then.
    pub fn run(&self, words: &[&str], kubeconfig: Option<&Path>) -> Result<String, String> {
        let mut helm = Command::new(&self.program);
        helm.args(words).stdin(Stdio::null()).env_remove("KUBECONFIG");
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(folder, self.home.path());
        }
        if let Some(file) = kubeconfig {
            helm.env("KUBECONFIG", file);
        }
        let Output { status, stdout, stderr } = helm.output().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            false => Err(format!("helm {}: {}", words.join(" "), String::from_utf8_lossy(&stderr))),
        }
    }
}
