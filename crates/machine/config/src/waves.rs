//! The order of waves.

use std::ops::Range;

use crate::mistake::Mistake;
use crate::{Consumer, Kind};

/// Refuses a consumer that takes the value from the store in an earlier wave than one whose copies are written: the store
/// gives the value out only when all those are moved. `at` = where each consumer names its wave, or else itself.
pub(crate) fn refuse_early(consumers: &[Consumer], at: &[Range<usize>]) -> Result<(), Mistake> {
    let last = consumers.iter().filter(|consumer| !consumer.is_pull()).max_by_key(|consumer| consumer.wave);
    let Some(last) = last else { return Ok(()) };
    let early = |(consumer, _): &(&Consumer, &Range<usize>)| consumer.is_pull() && consumer.wave < last.wave;
    let Some((early, at)) = consumers.iter().zip(at).find(early) else { return Ok(()) };
    let why = format!(
        "the consumer `{}` takes the value from the store and is in wave {}, before the consumer `{}` in wave {}, which \
         keyroll gives the value to; the store gives the new value out only after that",
        early.name, early.wave, last.name, last.wave
    );
    Err(Mistake::new(Kind::BadCombination, why)
        .at(at)
        .help(format!("write `wave = {}` or more for `{}`", last.wave, early.name)))
}
