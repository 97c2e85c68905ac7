/// What a check showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAnswer {
    /// It works.
    Passed,
    /// It does not work; the status, without any output.
    Failed(String),
    /// No usable answer, such as a time-out; why.
    Unknown(String),
}
