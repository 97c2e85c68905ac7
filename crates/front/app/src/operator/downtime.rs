use serde::Serialize;
use utoipa::ToSchema;

/// The downtime of a consumer with a single instance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DowntimeShown {
    pub consumer: String,
    /// The shortest and longest announced downtime, seconds; after the longest, its move has failed.
    pub announced_s: (u64, u64),
    /// The longest measured downtime, seconds; none if none was measured to its end.
    pub measured_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<MeasuredBy>,
}

/// What proved that the consumer was back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredBy {
    /// Its `ready` address answered.
    Ready,
    /// It was seen on its new value, and was back before that.
    Proven,
}

impl DowntimeShown {
    /// For people: `not there for 1.24 s (…; announced: 0 to 190 s)`.
    pub fn text(&self) -> String {
        let (least, most) = self.announced_s;
        let measured = match (self.measured_s, self.by) {
            (Some(s), Some(MeasuredBy::Proven)) => {
                format!("downtime at most {s:.2} s (measured by keyroll's checks, until it was seen to work")
            }
            (Some(s), Some(MeasuredBy::Ready) | None) => {
                format!("downtime {s:.2} s (measured by keyroll's checks, until `ready` answered")
            }
            (None, _) => "downtime not measured (no driver ran for the whole downtime".to_owned(),
        };
        format!("{measured}; announced: {least} to {most} s)")
    }
}
