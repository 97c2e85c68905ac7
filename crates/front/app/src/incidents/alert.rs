use keyroll_secret::SecretBytes;

/// One leaked key, as a source tells of it. The texts may hold the value: they are shown only after it was removed.
pub struct Alert {
    /// The id that the source gives it: the same alert again has the same id. None if the source gives none.
    pub id: Option<String>,
    /// What the source calls it: `gitlab_personal_access_token`.
    pub kind: String,
    /// Where it was seen: an address, or a path.
    pub place: Option<String>,
    /// The value, where the source sends it.
    pub value: Option<SecretBytes>,
    /// The stored version that a scan on this machine found there: its secret and its number.
    pub known: Option<(String, u32)>,
    /// Text in which the value may be.
    pub text: Option<SecretBytes>,
    /// Where GitHub has its value: the repository, and the number of the alert.
    pub github: Option<(String, u64)>,
    /// Why the value is missing.
    pub missing: Option<String>,
    /// When the place came to hold it, as the source says.
    pub since: Option<String>,
}

impl Alert {
    /// An alert of which only the kind is known so far.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            id: None,
            kind: kind.into(),
            place: None,
            value: None,
            known: None,
            text: None,
            github: None,
            missing: None,
            since: None,
        }
    }
}
