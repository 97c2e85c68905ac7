//! The mutants, by what they break.

use crate::mutant::Mutant;

/// Every mutant.
pub const ALL: &[Mutant] = &[];
