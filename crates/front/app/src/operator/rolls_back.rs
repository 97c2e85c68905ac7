use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a plan can be rolled back once it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollsBack {
    /// Not at all: a recovery, in which the issuer refuses the present key already.
    Never,
    /// Up to the step in which keyroll or the issuer ends the old key.
    UntilIrreversible,
    /// Up to the last step, in which the operator ends the old key.
    UntilLast,
}
