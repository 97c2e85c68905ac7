use crate::at::At;
use crate::mistake::Mistake;
use crate::shape::DefaultsShape;
use crate::{Deadlines, Kind};

/// The largest `max_parallel`: consumers of one rotation moved at the same time.
const PARALLEL_MAX: u32 = 64;

/// What happens when a consumer fails before the point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The rotation rolls back.
    Rollback,
    /// The rotation pauses for the operator.
    Pause,
}

/// The defaults, which a secret may override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Hosts of one service moved at the same time; at least 1.
    pub max_parallel: u32,
    /// What happens when a consumer fails.
    pub on_failure: OnFailure,
    /// How long a rotation waits.
    pub deadlines: Deadlines,
}

impl Defaults {
    pub(crate) fn build(shape: &DefaultsShape) -> Result<Self, Mistake> {
        Ok(Self {
            max_parallel: read_parallel(shape.max_parallel.as_ref(), 1)?,
            on_failure: OnFailure::read(shape.on_failure.as_ref(), OnFailure::Rollback)?,
            deadlines: Deadlines::read(
                shape.unit_deadline.as_ref(),
                shape.phase_deadline.as_ref(),
                Deadlines::default(),
            )?,
        })
    }
}

impl OnFailure {
    pub(crate) fn read(text: Option<&At<String>>, default: Self) -> Result<Self, Mistake> {
        let Some(text) = text else { return Ok(default) };
        match text.value.as_str() {
            "rollback" => Ok(Self::Rollback),
            "pause" => Ok(Self::Pause),
            _ => Err(Mistake::one_of("on_failure", text, &["rollback", "pause"])),
        }
    }
}

/// Reads `max_parallel`, or its default.
pub(crate) fn read_parallel(number: Option<&At<u32>>, default: u32) -> Result<u32, Mistake> {
    let Some(number) = number else { return Ok(default) };
    if (1..=PARALLEL_MAX).contains(&number.value) {
        return Ok(number.value);
    }
    Err(Mistake::new(Kind::WrongForm, format!("`max_parallel` must be 1 to {PARALLEL_MAX}")).at(&number.span))
}
