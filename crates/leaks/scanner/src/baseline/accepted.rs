use jiff::civil::Date;

/// Where an acceptance is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcceptedBy {
    /// A comment beside the value.
    Comment,
    /// The baseline.
    Baseline,
    /// The list of another tool, such as `.gitleaksignore`.
    List,
}

/// An acceptance of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// Where it is recorded.
    pub by: AcceptedBy,
    /// Why it may stay.
    pub reason: String,
    /// The last day on which it counts.
    pub until: Option<Date>,
}

impl Accepted {
    /// Why it does not count for a value that works: a working value must be replaced.
    pub(crate) fn void(&self) -> String {
        let by = match self.by {
            AcceptedBy::Comment => "its keyroll:allow".to_owned(),
            AcceptedBy::Baseline => "the baseline".to_owned(),
            AcceptedBy::List => format!("that {}", self.reason),
        };
        format!("its value works: {by} does not count")
    }
}
