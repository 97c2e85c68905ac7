use crate::at::At;
use crate::broken::Broken;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
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
    pub(crate) fn build(shape: &DefaultsShape, broken: &Broken, all: &mut Mistakes) -> Read<Self> {
        let max_parallel = all.note(read_parallel(shape.max_parallel.as_ref(), 1));
        let on_failure = all.note(OnFailure::read(shape.on_failure.as_ref(), OnFailure::Rollback));
        let (unit, phase) = (shape.unit_deadline.as_ref(), shape.phase_deadline.as_ref());
        let unknown = broken.has("unit_deadline") || broken.has("phase_deadline");
        let deadlines = all.note_unless(unknown, || Deadlines::read(unit, phase, Deadlines::default()));
        Some(Self { max_parallel: max_parallel?, on_failure: on_failure?, deadlines: deadlines? })
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
