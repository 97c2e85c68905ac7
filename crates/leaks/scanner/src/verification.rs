/// The result of asking an issuer whether a found value works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The issuer accepted it.
    Active,
    /// The issuer refused it in the way that its spec calls dead.
    Dead,
    /// The answer is inconclusive.
    Unknown,
    /// The issuer was not asked.
    NotAsked,
}

impl Outcome {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::NotAsked => "not asked",
        }
    }
}

/// The result with its source. Contains no part of the value or of the answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The result.
    pub outcome: Outcome,
    /// The spec: the name of a shipped one, or a file.
    pub issuer: Option<String>,
    /// The host, `name:port`.
    pub at: Option<String>,
    /// Why the answer is inconclusive or nobody was asked, or a remark.
    pub why: Option<String>,
}
