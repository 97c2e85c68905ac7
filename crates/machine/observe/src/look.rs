use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::pieces::Pieces;

/// The most answers that wait for the caller.
const ANSWERS_MAX: usize = 256;

/// The same limit where an answer may be a whole file.
const LARGE_ANSWERS_MAX: usize = 8;

type Whole<T> = Arc<dyn Fn(&Path, Zeroizing<Vec<u8>>) -> T + Send + Sync>;
type InPieces<T> = Arc<dyn Fn(&Path, &mut Pieces<'_>) -> T + Send + Sync>;

/// The work on one file, on the thread that reads it.
pub struct Look<T> {
    pub(crate) whole: Whole<T>,
    pub(crate) pieces: Option<InPieces<T>>,
    pub(crate) answers_max: usize,
}

impl<T> Look<T> {
    /// Works on the bytes of a whole file.
    pub fn new(whole: impl Fn(&Path, Zeroizing<Vec<u8>>) -> T + Send + Sync + 'static) -> Self {
        Self { whole: Arc::new(whole), pieces: None, answers_max: ANSWERS_MAX }
    }

    /// For answers that may be whole files: only few of them wait for the caller.
    pub(crate) fn with_large_answers(self) -> Self {
        Self { answers_max: LARGE_ANSWERS_MAX, ..self }
    }

    /// Also works on the pieces of a file that is too large to be read whole.
    pub fn and_in_pieces(self, pieces: impl Fn(&Path, &mut Pieces<'_>) -> T + Send + Sync + 'static) -> Self {
        Self { pieces: Some(Arc::new(pieces)), ..self }
    }
}
