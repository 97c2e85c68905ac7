use serde::Serialize;
use utoipa::ToSchema;

use super::StepShown;

/// A blocker: an undeclared process or copy that holds the old value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Holder {
    /// The host that it runs on, if that is not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub pid: Option<u32>,
    pub name: String,
    /// How it was found: in its memory, by its socket at the issuer, in a file.
    pub found_by: String,
    /// The first choice, as a sentence.
    pub how_to_move: String,
    /// The other choices, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub or_else: Option<String>,
    /// Each choice, the best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepShown>,
    /// What kind of blocker it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
}

impl Holder {
    /// A blocker of this name alone.
    pub(crate) fn nameless(name: &str) -> Self {
        Self {
            kind: "",
            host: None,
            pid: None,
            name: name.to_owned(),
            executable: None,
            folder: None,
            started: None,
            found_by: String::new(),
            how_to_move: String::new(),
            or_else: None,
            steps: Vec::new(),
        }
    }

    /// A blocker in words: what it is, how it was found, and one command for each choice.
    pub fn lines(&self, before: &str) -> Vec<String> {
        let kind = if self.kind.is_empty() { String::new() } else { format!("{}: ", self.kind) };
        let pid = self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let mut lines =
            vec![format!("{before}{kind}{}{pid}", self.name), format!("  found by: {}", self.found_by)];
        let runs = self.executable.as_ref().map(|exe| format!("runs {exe}"));
        let folder = self.folder.as_ref().map(|folder| format!("in {folder}"));
        let started = self.started.as_ref().map(|at| format!("since {at}"));
        let all: Vec<String> = [runs, folder, started].into_iter().flatten().collect();
        if !all.is_empty() {
            lines.push(format!("  {}", all.join(" ")));
        }
        lines.push(format!("  to move it: {}", self.how_to_move));
        lines.extend(self.or_else.as_ref().map(|other| format!("  or: {other}")));
        lines
    }
}
