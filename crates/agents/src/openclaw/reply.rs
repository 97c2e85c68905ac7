use serde::Deserialize;

/// What `secrets reload --json` answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// Whether it says so itself. It does, too, where the old key was kept.
    pub ok: bool,
    /// How many references kept their old value or have none.
    pub warning_count: u64,
}

impl Reloaded {
    /// Reads the answer; `None` where it is none of this release's.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text.get(text.find('{')?..)?.trim_end()).ok()
    }

    /// Whether every reference was read again.
    pub fn is_whole(&self) -> bool {
        self.ok && self.warning_count == 0
    }
}

/// A key that the gateway does not use for a while: it answers by itself, and asks nobody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unusable {
    /// `inline-api-key:PROVIDER`, or a profile's name.
    #[serde(rename = "profileId")]
    pub id: String,
    /// `cooldown` or `disabled`.
    #[serde(default)]
    pub kind: String,
    /// Why it says so: `auth`, `billing`.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long still, milliseconds.
    #[serde(default)]
    pub remaining_ms: u64,
}

#[derive(Deserialize)]
struct Status {
    auth: Auth,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    #[serde(default)]
    unusable_profiles: Vec<Unusable>,
}

impl Unusable {
    /// Those in the answer of `models status --json`; `None` where it is none of this release's. Nothing else of that answer
    /// is taken: the key that it shows a part of is the one that the command read, not the gateway's.
    pub fn read(text: &str) -> Option<Vec<Self>> {
        let status: Status = serde_json::from_str(text.get(text.find('{')?..)?.trim_end()).ok()?;
        Some(status.auth.unusable_profiles)
    }

    /// Whether it stands between a provider and its key.
    pub fn is_of(&self, provider: &str) -> bool {
        let id = self.id.strip_prefix("inline-api-key:").unwrap_or(&self.id);
        id.split(':').next() == Some(provider)
    }
}
