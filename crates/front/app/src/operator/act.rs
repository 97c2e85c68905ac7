use serde::Serialize;
use utoipa::ToSchema;

/// Something that somebody asked for, as the journal recorded it before it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Act)]
pub struct ActShown {
    /// Its number in the journal.
    pub entry: u64,
    /// When it was asked for, UTC.
    pub asked_at: String,
    /// Who asked: `token ada`, `user root`, `alert github`, `schedule`.
    pub by: String,
    /// The beginning of the token's digest, or the number of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What was asked for: `apply`.
    pub what: String,
    /// The secret, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The rotation, plan, incident or token that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What was given with it: keyroll's own words, what was waived, how many approvals there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl ActShown {
    /// What was asked for and who asked, in words: `resume --confirm, by token ada (3f9a)`.
    pub fn text(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(" {detail}")).unwrap_or_default();
        let refused = self.refused.as_ref().map(|why| format!("; refused: {why}")).unwrap_or_default();
        format!("{}{detail}, by {}{refused}", self.what, self.who())
    }

    /// Who asked, with what tells them from another one: `token ada (3f9a)`.
    pub fn who(&self) -> String {
        let id = self.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        format!("{}{id}", self.by)
    }
}
