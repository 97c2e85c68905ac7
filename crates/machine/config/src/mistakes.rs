//! The mistakes of one reading.

use crate::mistake::Mistake;
use crate::{ConfigError, Kind};

/// How many mistakes an error lists.
const LISTED_MAX: usize = 20;

/// What was read; `None`: it has a mistake, which was noted.
pub(crate) type Read<T> = Option<T>;

/// The mistakes of one reading, as they are found.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn push(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that was read; a mistake is noted.
    pub(crate) fn note<T>(&mut self, read: Result<T, Mistake>) -> Read<T> {
        match read {
            Ok(value) => Some(value),
            Err(mistake) => {
                self.push(mistake);
                None
            }
        }
    }

    /// The same for a value that is not read where a mistake of its form is known already.
    pub(crate) fn note_unless<T>(
        &mut self,
        is_known: bool,
        read: impl FnOnce() -> Result<T, Mistake>,
    ) -> Read<T> {
        if is_known { None } else { self.note(read()) }
    }

    /// All values that were read, if all could be; every mistake is noted.
    pub(crate) fn note_all<T>(&mut self, all: impl IntoIterator<Item = Result<T, Mistake>>) -> Read<Vec<T>> {
        let read: Vec<Option<T>> = all.into_iter().map(|one| self.note(one)).collect();
        read.into_iter().collect()
    }

    /// One error with all of them, in the order of the file; each once.
    pub(crate) fn into_error(mut self, text: &str, file: &str) -> ConfigError {
        self.0.sort_by_key(Mistake::start);
        self.0.dedup_by(|next, one| next.is_same(one));
        let left_off = self.0.len().saturating_sub(LISTED_MAX);
        let mut listed = self.0.into_iter().take(LISTED_MAX).map(|mistake| mistake.into_error(text, file));
        // Without a mistake there is no error.
        let first = listed
            .next()
            .unwrap_or_else(|| ConfigError::new(Kind::WrongForm, file, "it cannot be read", None, None));
        first.with_further(listed.collect(), left_off)
    }
}
