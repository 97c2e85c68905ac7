/// What came of asking an issuer whether a value that was found works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The issuer accepted it.
    Active,
    /// The issuer refused it, in the way that its spec calls so.
    Dead,
    /// It was asked, and the answer does not say.
    Unknown,
    /// Nobody was asked.
    NotAsked,
}

impl Outcome {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::NotAsked => "not asked",
        }
    }
}

/// What came of it, and where. No part of the value or of the answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What came of it.
    pub outcome: Outcome,
    /// By which spec it was asked: a shipped one's name, or a file.
    pub issuer: Option<String>,
    /// Who was asked, `name:port`.
    pub at: Option<String>,
    /// Why the answer does not say, or nobody was asked; or what else is to be known.
    pub why: Option<String>,
}
