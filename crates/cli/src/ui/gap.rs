use serde::Serialize;

/// A consumer of which only one instance runs, while that is restarted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct GapShown {
    pub(crate) consumer: String,
    /// The shortest and the longest time that it may be away, seconds; past the longest its move has failed.
    pub(crate) announced_s: (u64, u64),
    /// The longest that was measured, seconds; none where none was, or not to its end.
    pub(crate) measured_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<MeasuredBy>,
}

/// What showed that it was back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MeasuredBy {
    /// Its `ready` address answered.
    Ready,
    /// It was seen on the value that it was moved to: it was back before that.
    Proven,
}

impl GapShown {
    /// For people: `not there for 1.24 s (…; announced: 0 to 190 s)`.
    pub(crate) fn text(&self) -> String {
        let (least, most) = self.announced_s;
        let measured = match (self.measured_s, self.by) {
            (Some(s), Some(MeasuredBy::Proven)) => {
                format!("not there for {s:.2} s at most (measured by our checks, until it was seen to work")
            }
            (Some(s), Some(MeasuredBy::Ready) | None) => {
                format!("not there for {s:.2} s (measured by our checks, until `ready` answered")
            }
            (None, _) => {
                "how long it was not there was not measured (no driver saw it end and come back".to_owned()
            }
        };
        format!("{measured}; announced: {least} to {most} s)")
    }
}
