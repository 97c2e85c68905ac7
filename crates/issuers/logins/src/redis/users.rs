use crate::id::Mark;

use super::link::{Link, RedisError};
use crate::directory::Login;

/// The start of a mark's pattern after its credential was ended. A pattern has no spaces.
const ENDED_PATTERN: &str = "revoked/";

/// One user, as `ACL LIST` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) login: Login,
    /// The SHA-256 of each of its passwords, in hex.
    pub(super) hashes: Vec<String>,
    /// All other rules, as words that `ACL SETUSER` takes unchanged. Not whether the user is on, and not our mark.
    pub(super) rules: Vec<String>,
}

/// All users.
pub(super) async fn read(link: &mut Link) -> Result<Vec<User>, RedisError> {
    let reply = link.ask(&["ACL", "LIST"]).await?;
    let lines = reply.texts().ok_or_else(RedisError::odd)?;
    lines.into_iter().map(|line| parse(line).ok_or_else(RedisError::odd)).collect()
}

/// The mark of a credential: a selector, which is a second set of rules, with a pattern and without any command. It
/// permits nothing, is saved with the user, and is the only place where a user can carry a text of ours.
pub(super) fn selector(mark: &Mark) -> Option<String> {
    match mark {
        Mark::Foreign => None,
        Mark::Ours(label) => Some(format!("(~{label})")),
        Mark::Ended(label) => Some(format!("(~{ENDED_PATTERN}{label})")),
    }
}

fn mark_of(word: &str) -> Option<Mark> {
    let rules = word.strip_prefix("(~")?.strip_suffix(')')?;
    let pattern = rules.strip_suffix(" resetchannels -@all")?;
    let text = match pattern.strip_prefix(ENDED_PATTERN) {
        Some(label) => Mark::read(Some(&crate::id::ended(label))),
        None => Mark::read(Some(pattern)),
    };
    (!pattern.contains(' ') && text != Mark::Foreign).then_some(text)
}

/// `user NAME on #HASH ~keys &channels +commands (selector)`.
fn parse(line: &str) -> Option<User> {
    let mut words = words(line).into_iter();
    if words.next()? != "user" {
        return None;
    }
    let name = words.next()?;
    let (mut on, mut open, mut mark) = (false, false, Mark::Foreign);
    let (mut hashes, mut rules) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(ours) = mark_of(&word) {
            mark = ours;
            continue;
        }
        match word.as_str() {
            "on" => on = true,
            "off" => on = false,
            "nopass" => open = true,
            _ => match word.strip_prefix('#') {
                Some(hash) => hashes.push(hash.to_owned()),
                None => rules.push(word),
            },
        }
    }
    let login = Login { name, on, passwords: hashes.len(), open, mark };
    Some(User { login, hashes, rules })
}

/// The words of a line; a part in brackets is one word, as Redis itself reads it.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    for part in line.split(' ') {
        match words.last_mut().filter(|_| inside) {
            Some(word) => {
                word.push(' ');
                word.push_str(part);
            }
            None => words.push(part.to_owned()),
        }
        inside = (inside || part.starts_with('(')) && !part.ends_with(')');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_with_its_rules_and_its_mark() {
        let line = "user app_a on sanitize-payload #ab12 ~orders:* &* +@all -@dangerous (~x resetchannels -@all +get) \
                    (~keyroll/0192/3 resetchannels -@all)";
        let user = parse(line).unwrap();
        assert_eq!((user.login.name.as_str(), user.login.on, user.login.open), ("app_a", true, false));
        assert_eq!(user.login.mark, Mark::Ours("keyroll/0192/3".to_owned()));
        assert_eq!(user.hashes, ["ab12"]);
        assert_eq!(user.rules.last().unwrap(), "(~x resetchannels -@all +get)");
        assert_eq!(user.rules.len(), 6);
        let ended = parse("user app_a off (~revoked/keyroll/r/1 resetchannels -@all) -@all").unwrap();
        assert_eq!(ended.login.mark, Mark::Ended("keyroll/r/1".to_owned()));
        assert!(ended.login.is_off());
    }

    #[test]
    fn a_selector_that_permits_something_is_no_mark() {
        for rules in
            ["(~keyroll/r/1 resetchannels -@all +get)", "(~keyroll/r/1 ~x resetchannels -@all)", "(~x -@all)"]
        {
            let user = parse(&format!("user app on {rules}")).unwrap();
            assert_eq!(user.login.mark, Mark::Foreign, "{rules}");
            assert_eq!(user.rules, [rules]);
        }
        assert_eq!(parse("nonsense"), None);
    }
}
