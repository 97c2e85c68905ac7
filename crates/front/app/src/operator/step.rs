use serde::Serialize;
use utoipa::ToSchema;

/// One way past a wait of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepShown {
    /// What has to be done first, outside of keyroll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The commands after that, in this order; at least one.
    pub commands: Vec<CommandShown>,
}

/// One command of keyroll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CommandShown {
    /// What it does: `resume`, `retry`, `confirm`, `abort`, `accept`, `waive`, `adopt`, `declare`, `correct`, `hand_mint`,
    /// `hand_revoked`, `another_key`, `pay_debt`, `let_go` or `accept_file`. Of an incident `roll_first`, `revoke_now`, `close` or
    /// `report`.
    pub kind: &'static str,
    /// The whole command. What only the operator knows stands there in capitals.
    pub command: String,
    /// Nothing stands there in capitals: it can be run as it is.
    pub complete: bool,
}
