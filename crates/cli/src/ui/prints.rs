use serde::Serialize;

/// What a file of prints has, and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PrintsShown {
    pub(crate) path: String,
    pub(crate) secrets: usize,
    /// Versions that have a value in it.
    pub(crate) versions: usize,
    pub(crate) values: usize,
    /// Values that would be guessed from their print, or cannot be found by one.
    pub(crate) left_out: usize,
    /// Versions whose values are kept no more.
    pub(crate) ended: usize,
}

impl PrintsShown {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let count = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let mut text = format!(
            "wrote the prints of {}, of {} of {}, to {}",
            count(self.values, "value"),
            count(self.versions, "version"),
            count(self.secrets, "secret"),
            self.path
        );
        if self.left_out > 0 {
            let were = if self.left_out == 1 { "was" } else { "were" };
            text.push_str(&format!("; {} {were} left out", count(self.left_out, "value")));
        }
        if self.ended > 0 {
            text.push_str(&format!(
                "; of {} the values are kept no more",
                count(self.ended, "retired version")
            ));
        }
        text
    }
}
