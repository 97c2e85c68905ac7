use crate::quantity::quantity;
use serde::Serialize;

/// The contents of a fingerprint file, and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrintsShown {
    pub path: String,
    pub secrets: usize,
    /// Versions with a value in the file.
    pub versions: usize,
    pub values: usize,
    /// Values that were refused: they could be guessed from a fingerprint, or cannot be found by one.
    pub left_out: usize,
    /// Versions whose values are no longer stored.
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
