use crate::quantity::quantity;
use serde::Serialize;

/// What a file of prints has, and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrintsShown {
    pub path: String,
    pub secrets: usize,
    /// Versions that have a value in it.
    pub versions: usize,
    pub values: usize,
    /// Values that would be guessed from their print, or cannot be found by one.
    pub left_out: usize,
    /// Versions whose values are kept no more.
    pub ended: usize,
}

impl PrintsShown {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "wrote the fingerprints of {}, of {} of {}, to {}",
            quantity(self.values, "value"),
            quantity(self.versions, "version"),
            quantity(self.secrets, "secret"),
            self.path
        );
        if self.left_out > 0 {
            let were = if self.left_out == 1 { "was" } else { "were" };
            text.push_str(&format!("; {} {were} refused", quantity(self.left_out, "value")));
        }
        if self.ended > 0 {
            text.push_str(&format!(
                "; the values of {} were dropped",
                quantity(self.ended, "retired version")
            ));
        }
        text
    }
}
