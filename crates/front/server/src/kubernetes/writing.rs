//! What is kept between two times that the configuration is written.

use std::path::Path;

use keyroll_controller::{Base, Bases, Composer};

/// From what the file is written.
pub(super) struct Writing {
    pub(super) bases: Bases,
    pub(super) composer: Composer,
}

impl Writing {
    /// That of a server that begins with this base file.
    pub(super) fn new(base: Base, file: &Path) -> Self {
        Self { bases: Bases::new(base), composer: Composer::new(file.to_owned()) }
    }
}
