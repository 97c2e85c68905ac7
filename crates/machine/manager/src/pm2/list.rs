//! The apps in pm2's lists: those that its daemon has, and those that a reboot starts. Both lists hold whole
//! environments.

use std::collections::BTreeMap;

use keyroll_secret::SecretBytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Variables that an app has from the place where it was first started: a restart from another place would replace
/// them, and an ecosystem file may read them. None of them is a value.
const OF_THE_STARTER: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL"];

/// Fields that a saved app does not have. Source: pm2 7.0.4, what `pm2 save` removes.
const NOT_SAVED: [&str; 3] = ["instances", "pm_id", "prev_restart_delay"];

/// An app, by reference into the list: a value in it is not copied.
pub(crate) struct Listed<'a>(BTreeMap<String, &'a RawValue>);

#[derive(Deserialize)]
struct App<'a> {
    name: String,
    #[serde(borrow)]
    pm2_env: BTreeMap<String, &'a RawValue>,
}

impl Listed<'_> {
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.get("status").is_some_and(|status| status.get() == "\"stopped\"")
    }

    /// The variables that it was started with and that do not come from its ecosystem file.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let own: Option<BTreeMap<String, &RawValue>> =
            self.0.get("env").and_then(|env| serde_json::from_str(env.get()).ok());
        let own = own.unwrap_or_default();
        // A restart by an ecosystem file leaves only the file's variables in `env`; the others stand beside it.
        let value = |name| serde_json::from_str(own.get(name).or_else(|| self.0.get(name))?.get()).ok();
        OF_THE_STARTER.into_iter().filter_map(|name| Some((name, value(name)?))).collect()
    }

    /// As `pm2 save` writes it.
    fn saved(&self, into: &mut Vec<u8>) {
        into.push(b'{');
        let kept = self.0.iter().filter(|(name, _)| !NOT_SAVED.contains(&name.as_str()));
        for (place, (name, value)) in kept.enumerate() {
            if place > 0 {
                into.push(b',');
            }
            into.extend(serde_json::Value::from(name.as_str()).to_string().as_bytes());
            into.push(b':');
            into.extend(value.get().as_bytes());
        }
        into.push(b'}');
    }
}

/// The instances of an app in the answer to `pm2 jlist`, which may begin with a notice.
pub(crate) fn listed<'a>(answer: &'a SecretBytes, app: &str) -> Option<Vec<Listed<'a>>> {
    let lines = answer.expose().split(|byte| *byte == b'\n');
    let list = lines.filter_map(|line| serde_json::from_slice::<Vec<App<'a>>>(line).ok()).next_back()?;
    Some(list.into_iter().filter(|one| one.name == app).map(|one| Listed(one.pm2_env)).collect())
}

/// The saved list with this app as it runs now. Every other app, and how often it occurs, stays as it was.
pub(crate) fn with_apps(saved: &SecretBytes, app: &str, now: &[Listed<'_>]) -> Option<SecretBytes> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let entries: Vec<&RawValue> = serde_json::from_slice(saved.expose()).ok()?;
    let room: usize = now.iter().flat_map(|one| one.0.values()).map(|value| value.get().len() + 64).sum();
    let mut all = Vec::with_capacity(saved.len() + (room + 64) * entries.len());
    let mut instances = now.iter().chain(now.last().into_iter().cycle());
    for (place, entry) in entries.into_iter().enumerate() {
        all.extend(if place == 0 { "[\n" } else { ",\n" }.as_bytes());
        let named: Named = serde_json::from_str(entry.get()).ok()?;
        match (named.name == app).then(|| instances.next()).flatten() {
            Some(instance) => instance.saved(&mut all),
            None => all.extend(entry.get().as_bytes()),
        }
    }
    all.extend(if all.is_empty() { "[]" } else { "\n]" }.as_bytes());
    Some(SecretBytes::new(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = concat!(
        "In-memory PM2 is out-of-date, do:\n[PM2] [notice]\n",
        r#"[{"name":"bot","pm2_env":{"name":"bot","status":"online","pm_id":0,"env":{"PATH":"/a","B":1},"x":1.50,"LANG":"\u0043"}},"#,
        r#"{"name":"other","pm2_env":{"status":"stopped"}}]"#
    );

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn an_app_is_read_behind_a_notice_with_what_its_starter_gave_it() {
        let list = bytes(LIST);
        let bot = listed(&list, "bot").unwrap();
        let [bot] = bot.as_slice() else { panic!("one") };
        assert!(!bot.is_stopped());
        assert_eq!(bot.environment(), [("PATH", "/a".to_owned()), ("LANG", "C".to_owned())]);
        assert!(listed(&list, "other").unwrap().iter().all(Listed::is_stopped));
        assert!(listed(&list, "none").unwrap().is_empty());
        assert!(listed(&bytes("Error"), "bot").is_none());
    }

    #[test]
    fn only_the_app_itself_changes_in_a_saved_list() {
        let list = bytes(LIST);
        let now = listed(&list, "bot").unwrap();
        let saved = r#"[ {"name":"gone", "x":1e2}, {"name":"bot","status":"stopped"}, {"name":"bot"}]"#;
        let new = with_apps(&bytes(saved), "bot", &now).unwrap();
        let bot = r#"{"LANG":"\u0043","env":{"PATH":"/a","B":1},"name":"bot","status":"online","x":1.50}"#;
        let wanted = format!("[\n{{\"name\":\"gone\", \"x\":1e2}},\n{bot},\n{bot}\n]");
        assert_eq!(String::from_utf8_lossy(new.expose()), wanted);
        assert_eq!(with_apps(&bytes("[]"), "bot", &now).unwrap().expose(), b"[]");
        assert!(with_apps(&bytes("[{"), "bot", &now).is_none());
    }
}
