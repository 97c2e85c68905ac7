use serde::Deserialize;

/// The answer to `secrets reload --json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// Whether the answer itself reports success. It does so even where the old key was kept.
    pub ok: bool,
    /// How many references kept their old value or have none.
    pub warning_count: u64,
}

impl Reloaded {
    /// Reads the answer; `None` where it has not the form of this release.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text.get(text.find('{')?..)?.trim_end()).ok()
    }

    /// Whether every reference was read again.
    pub fn is_whole(&self) -> bool {
        self.ok && self.warning_count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_kept_an_old_key_is_not_whole_although_it_says_ok() {
        let read = |text: &str| Reloaded::read(text).map(|it| it.is_whole());
        assert_eq!(read("{\"ok\":true,\"warningCount\":0}\n"), Some(true));
        assert_eq!(read("a line before\n{ \"ok\": true, \"warningCount\": 1 }"), Some(false));
        assert_eq!(read("{\"ok\":false,\"warningCount\":0}"), Some(false));
        for none in ["", "ok", "{\"ok\":true}", "{\"warningCount\":0}", "{\"ok\":true,\"warningCount\":0} {"]
        {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
