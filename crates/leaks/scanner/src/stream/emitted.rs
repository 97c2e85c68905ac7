use std::ops::Range;

use crate::finding::{FindingKind, LeakState};

/// The reported findings of a text that later ones may overlap. Findings come in order.
#[derive(Default)]
pub(crate) struct Emitted {
    end: usize,
    /// The known values that extend beyond the last finding's start, and their ends.
    known: Vec<(String, LeakState, usize)>,
}

impl Emitted {
    /// Whether to report a finding: not inside another one, unless both are known values of different secrets, or of
    /// one that works and one that does not.
    pub(crate) fn take(&mut self, span: &Range<usize>, what: &FindingKind) -> bool {
        self.known.retain(|(.., end)| *end > span.start);
        let is_new = match what {
            FindingKind::Known(version) => {
                let state = what.state();
                let same = |(secret, other, end): &(String, LeakState, usize)| {
                    *secret == version.secret && *other == state && *end >= span.end
                };
                let is_new = !self.known.iter().any(same);
                if is_new {
                    self.known.push((version.secret.clone(), state, span.end));
                }
                is_new
            }
            // A match of the path alone has no position.
            FindingKind::Kind { .. } => span.end > self.end || self.end == 0,
        };
        if is_new {
            self.end = self.end.max(span.end);
        }
        is_new
    }

    /// The end of all reported findings.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Moves the start of the text forward.
    pub(crate) fn move_on(&mut self, by: usize) {
        self.end = self.end.saturating_sub(by);
        self.known.retain_mut(|(.., end)| {
            *end = end.saturating_sub(by);
            *end > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretVersion;

    fn known(secret: &str, number: u64, retired: bool) -> FindingKind {
        FindingKind::Known(SecretVersion { secret: secret.to_owned(), number, state: "current", retired })
    }

    #[test]
    fn a_value_within_another_of_another_secret_is_reported_and_a_part_of_the_same_is_not() {
        let mut taken = Emitted::default();
        assert!(taken.take(&(0..40), &known("long", 1, false)));
        assert!(taken.take(&(0..40), &known("same", 1, false)), "two secrets with one value");
        assert!(taken.take(&(5..20), &known("short", 1, false)));
        assert!(
            !taken.take(&(6..30), &known("long", 2, false)),
            "another form of it, or of its next version"
        );
        assert!(taken.take(&(6..30), &known("long", 1, true)), "one that opens nothing hides none that does");
        assert!(!taken.take(&(6..19), &known("short", 1, false)));
        assert!(taken.take(&(25..40), &known("short", 1, false)), "it stands there twice");
        assert!(taken.take(&(30..45), &known("short", 1, false)), "it reaches further");
        taken.move_on(30);
        assert!(!taken.take(&(0..8), &known("long", 1, false)));
        assert!(taken.take(&(20..30), &known("long", 1, false)));
    }

    #[test]
    fn what_goes_by_a_path_alone_is_reported_beside_what_is_there() {
        let kind = FindingKind::Kind { rule: "file".to_owned(), title: "file".to_owned(), provider: None };
        let mut taken = Emitted::default();
        assert!(taken.take(&(0..0), &kind));
        assert!(taken.take(&(0..9), &kind) && !taken.take(&(3..8), &kind));
    }
}
