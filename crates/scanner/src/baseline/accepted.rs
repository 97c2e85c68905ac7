use jiff::civil::Date;

/// Where an acceptance is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcceptedBy {
    /// A comment beside the value.
    Comment,
    /// The baseline.
    Baseline,
    /// A list that was written for another tool, such as `.gitleaksignore`.
    List,
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

impl Accepted {
    /// That it does not count for what opens something: that is replaced.
    pub(crate) fn void(&self) -> String {
        let by = match self.by {
            AcceptedBy::Comment => "its keyroll:allow".to_owned(),
            AcceptedBy::Baseline => "the baseline".to_owned(),
            AcceptedBy::List => format!("that {}", self.reason),
        };
        format!("it opens something: {by} does not count")
    }
}
