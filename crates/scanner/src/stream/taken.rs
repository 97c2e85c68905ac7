use std::ops::Range;

use crate::finding::{State, What};

/// What was told of a text, up to where something else may still stand over it. Hits come in the order of their places.
#[derive(Default)]
pub(crate) struct Taken {
    end: usize,
    /// The values that reach beyond the last hit's beginning, and where they end.
    known: Vec<(String, State, usize)>,
}

impl Taken {
    /// Whether a hit is told: one that stands within another is a part of it, unless both are known values of different
    /// secrets, or of one that opens something and one that does no more.
    pub(crate) fn take(&mut self, span: &Range<usize>, what: &What) -> bool {
        self.known.retain(|(.., end)| *end > span.start);
        let is_new = match what {
            What::Known(version) => {
                let state = what.state();
                let same = |(secret, other, end): &(String, State, usize)| {
                    *secret == version.secret && *other == state && *end >= span.end
                };
                let is_new = !self.known.iter().any(same);
                if is_new {
                    self.known.push((version.secret.clone(), state, span.end));
                }
                is_new
            }
            // What goes by a path alone stands nowhere.
            What::Kind { .. } => span.end > self.end || self.end == 0,
        };
        if is_new {
            self.end = self.end.max(span.end);
        }
        is_new
    }

    /// Behind all that was told.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The text is told from so many bytes further on.
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
    use crate::Version;

    fn known(secret: &str, number: u64, retired: bool) -> What {
        What::Known(Version { secret: secret.to_owned(), number, state: "current", retired })
    }

    #[test]
    fn a_value_within_another_of_another_secret_is_told_and_a_part_of_the_same_is_not() {
        let mut taken = Taken::default();
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
    fn what_goes_by_a_path_alone_is_told_beside_what_stands_there() {
        let kind = What::Kind { rule: "file".to_owned(), title: "file".to_owned(), provider: None };
        let mut taken = Taken::default();
        assert!(taken.take(&(0..0), &kind));
        assert!(taken.take(&(0..9), &kind) && !taken.take(&(3..8), &kind));
    }
}
