use jiff::civil::Date;

/// Where an acceptance is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcceptedBy {
    /// A comment beside the value.
    Comment,
    /// The baseline.
    Baseline,
}

/// Somebody knows of it, and says why it may stay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// Where it is written.
    pub by: AcceptedBy,
    /// Why.
    pub reason: String,
    /// The last day on which it counts.
    pub until: Option<Date>,
}
