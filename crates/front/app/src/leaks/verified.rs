use keyroll_scanner::Verification;
use serde::Serialize;

/// The issuer's answer about a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifiedShown {
    /// `active`, `dead`, `unknown`, `not asked`.
    pub outcome: &'static str,
    /// The spec that the issuer was asked by: the name of a shipped one, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The host that was asked, `name:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Why the result is unknown, or a remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl VerifiedShown {
    /// The issuer's answer, as it is shown.
    pub fn of(asked: &Verification) -> Self {
        let Verification { outcome, issuer, at, why } = asked;
        Self { outcome: outcome.name(), issuer: issuer.clone(), at: at.clone(), why: why.clone() }
    }

    /// The same in words: `unknown at api.example:443: status 503, no media type`.
    pub fn text(&self) -> String {
        let at = self.at.as_ref().filter(|_| self.outcome != "not asked");
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{}{at}{why}", self.outcome)
    }
}
