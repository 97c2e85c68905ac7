//! What finds the values of a scene in anything that was said or written.

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;

/// What finds each of these values.
pub fn needles_of(values: &[Vec<u8>]) -> Needles {
    let all = (0u32..)
        .zip(values)
        .fold(Needles::builder(), |all, (id, value)| all.add(NeedleId(id), &SecretBytes::new(value.clone())));
    all.build().unwrap()
}
