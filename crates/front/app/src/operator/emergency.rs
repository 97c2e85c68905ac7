use serde::Serialize;
use utoipa::ToSchema;

/// The times of an emergency: when the alert came, and how long after it each step was done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EmergencyShown {
    /// When the alert came: the time given to the command, otherwise the start of the command.
    pub alerted: String,
    /// The new key was made.
    pub alert_to_minted_s: Option<f64>,
    /// The new key was written to the last copy.
    pub alert_to_stored_s: Option<f64>,
    /// The last consumer settled on the new key; none while one is being moved, and if no consumer was proved to use it.
    pub alert_to_moved_s: Option<f64>,
    /// The issuer was seen to refuse the old key.
    pub alert_to_dead_s: Option<f64>,
    /// How many consumers the rotation has.
    pub consumers: usize,
    /// Those that were not proved to use the new key although keyroll does not wait for them any more, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_proved: Vec<String>,
    /// What was not visible to its driver, such as processes outside the container that it runs in. It holds up no emergency.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_visible: Vec<String>,
}
