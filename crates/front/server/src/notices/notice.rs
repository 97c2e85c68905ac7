//! What is sent, and why it was not.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use keyroll_app::operator::plain;
use keyroll_app::records::old_key::clock_s;
use keyroll_app::redact;
use keyroll_config::NoticeKind;
use keyroll_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::signature::private;

/// How long one delivery may take, from the look-up of the name to the answer.
pub(super) const TIME_MAX: Duration = Duration::from_secs(10);
/// The longest text of a notice, characters.
const TEXT_CHARS_MAX: usize = 2_000;
/// The bytes of the digest that name a message.
const ID_BYTES: usize = 16;

/// What a recipient is sent. It has names, counts, ids and commands; never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    /// What it is about: the same in its reminders, and when it is over.
    pub(crate) id: String,
    /// The id of this message: the same when it is sent again.
    pub(crate) message: String,
    /// The word of a `NoticeKind`.
    pub(crate) kind: String,
    /// `new`, `changed`, `reminder`, `over` or `test`.
    pub(crate) state: String,
    /// RFC 3339, UTC.
    pub(crate) at: String,
    /// RFC 3339, UTC.
    pub(crate) since: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) rotation: Option<String>,
    pub(crate) incident: Option<String>,
    /// One sentence.
    pub(crate) text: String,
    /// The next command.
    pub(crate) next: Option<String>,
    /// The name of this machine.
    pub(crate) host: String,
}

/// Why a notice was not sent, as a sentence that has neither an address beyond its host nor a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// A later attempt may succeed: nobody answered, the receiver is busy, or a file on this machine cannot be used.
    Later(String),
    /// The receiver refuses it, and will do so until something is changed.
    Never(String),
}

impl Undelivered {
    /// The same without what looks like a value.
    pub(super) fn passed(self) -> Self {
        match self {
            Self::Later(why) => Self::Later(plain(&why)),
            Self::Never(why) => Self::Never(plain(&why)),
        }
    }
}

impl Notice {
    /// A test, at this time in Unix seconds.
    pub(crate) fn test(now_s: u64) -> Self {
        Self {
            id: "test".to_owned(),
            message: Self::message_of("test", now_s, 0),
            kind: NoticeKind::Server.word().to_owned(),
            state: "test".to_owned(),
            at: rfc3339(&clock_s(now_s)),
            since: None,
            secret: None,
            owner: None,
            rotation: None,
            incident: None,
            text: "this is a test of keyroll's notices: nothing happened".to_owned(),
            next: Some("keyroll status".to_owned()),
            host: host(),
        }
    }

    /// The id of a message about this thing: of the `number`th one since it was first seen at this time in Unix seconds.
    pub(super) fn message_of(id: &str, first_s: u64, number: u64) -> String {
        let named = [id, &first_s.to_string(), &number.to_string()].join("\0");
        let digest = digest(&SHA256, named.as_bytes());
        let digits: String =
            digest.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("msg_{digits}")
    }

    /// The notice as it is sent: each text on one line, without control characters and without what looks like a value.
    pub(super) fn passed(&self) -> Self {
        let one = |text: &str| plain(text).chars().take(TEXT_CHARS_MAX).collect::<String>();
        let some = |text: &Option<String>| text.as_deref().map(one);
        Self {
            id: one(&self.id),
            message: one(&self.message),
            kind: one(&self.kind),
            state: one(&self.state),
            at: one(&self.at),
            since: some(&self.since),
            secret: some(&self.secret),
            owner: some(&self.owner),
            rotation: some(&self.rotation),
            incident: some(&self.incident),
            text: one(&self.text),
            next: some(&self.next),
            host: one(&self.host),
        }
    }

    /// `waiting: openai on web-1 (reminder)`.
    pub(super) fn title(&self) -> String {
        let about = self.secret.as_ref().or(self.incident.as_ref()).or(self.rotation.as_ref());
        let what = match (self.state.as_str(), about) {
            ("test", _) => "test".to_owned(),
            (_, Some(about)) => format!("{}: {about}", self.kind),
            (_, None) => self.kind.clone(),
        };
        let state = match self.state.as_str() {
            "changed" | "reminder" | "over" => format!(" ({})", self.state),
            _ => String::new(),
        };
        format!("{what} on {}{state}", self.host)
    }
}

/// A time as it is shown, `2026-11-26 09:00:00Z`, with the T of RFC 3339.
pub(crate) fn rfc3339(shown: &str) -> String {
    shown.replacen(' ', "T", 1)
}

/// The name of this machine.
pub(super) fn host() -> String {
    plain(&rustix::system::uname().nodename().to_string_lossy())
}

/// The only line of a file that nobody else can read. From now on it is redacted from everything that is written.
pub(super) fn private_line(path: &Path) -> Result<Zeroizing<String>, Undelivered> {
    let failed =
        |why: &str| Undelivered::Later(format!("could not read the secret in {}: {why}", path.display()));
    let (bytes, owner) = private(path).map_err(|problem| Undelivered::Later(problem.sentence()))?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Err(failed(&format!("it belongs to user {owner}")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("it is not a line of text"))?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(failed("it must have exactly one line"));
    }
    redact::remember(&SecretBytes::from(text.to_owned()));
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(state: &str, at: &str, since: Option<&str>) -> Notice {
        Notice {
            id: "waiting/openai".to_owned(),
            kind: "waiting".to_owned(),
            state: state.to_owned(),
            at: at.to_owned(),
            since: since.map(str::to_owned),
            secret: Some("openai".to_owned()),
            text: "it waits".to_owned(),
            host: "web-1".to_owned(),
            ..Notice::test(0)
        }
    }

    #[test]
    fn each_message_has_an_id_of_its_own() {
        let first = Notice::message_of("waiting/1", 7, 0);
        assert_eq!(first, Notice::message_of("waiting/1", 7, 0));
        assert!(first.len() == 36 && first.starts_with("msg_"), "{first}");
        for other in [("waiting/1", 7, 1), ("waiting/1", 8, 0), ("waiting/2", 7, 0)] {
            assert_ne!(first, Notice::message_of(other.0, other.1, other.2), "{other:?}");
        }
    }

    #[test]
    fn a_title_says_what_it_is_about() {
        assert_eq!(notice("new", "", None).title(), "waiting: openai on web-1");
        assert_eq!(notice("reminder", "", None).title(), "waiting: openai on web-1 (reminder)");
        assert_eq!(notice("test", "", None).title(), "test on web-1");
        let blind = Notice { secret: None, kind: "server".to_owned(), ..notice("over", "", None) };
        assert_eq!(blind.title(), "server on web-1 (over)");
    }

    #[test]
    fn what_is_sent_has_one_line_and_is_bounded() {
        let told = Notice {
            text: "a\r\nb".to_owned(),
            owner: Some("x\u{202e}y\u{1b}".to_owned()),
            next: Some("z".repeat(5_000)),
            ..notice("new", "", None)
        };
        let sent = told.passed();
        assert!(!sent.text.contains(['\r', '\n']), "{}", sent.text);
        assert!(!sent.owner.unwrap().contains(['\u{202e}', '\u{1b}']));
        assert_eq!(sent.next.unwrap().len(), TEXT_CHARS_MAX);
    }
}
