use serde::Serialize;
use utoipa::ToSchema;

/// One consumer of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnitShown {
    pub name: String,
    pub stage: String,
}
