use crate::json::can_be_read;
use crate::{Patterns, RedactingEvents, Report, replace_json};

/// Replaces an answer that is withheld.
pub const NOTICE: &str = "This answer was withheld because it may contain a credential.";

/// The treatment of an answer with a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardMode {
    /// Findings are replaced by markers.
    Redact,
    /// The whole answer is replaced by [`NOTICE`].
    Block,
}

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Plain text.
    Text,
    /// One JSON document.
    Json,
    /// `text/event-stream`.
    Events,
}

/// An answer that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedBody {
    /// The body to send.
    pub body: Vec<u8>,
    /// The findings: names and counts, no value.
    pub report: Report,
    /// Whether the notice replaces the answer, or its rest.
    pub withheld: bool,
}

impl GuardedBody {
    /// A line for the log if something was found, to be logged at the highest level.
    pub fn alarm(&self) -> Option<String> {
        let done = if self.withheld { "withheld" } else { "redacted" };
        match (self.report.is_empty(), self.withheld) {
            (true, false) => None,
            (true, true) => {
                Some("an answer was withheld: it could not be checked for credentials".to_owned())
            }
            (false, _) => Some(format!("an answer was {done}: it contained credentials: {}", self.report)),
        }
    }
}

/// Scans a whole answer before it is sent. Keeps the format, also for the notice.
pub fn guard(patterns: &Patterns, mode: GuardMode, form: BodyForm, answer: &[u8]) -> GuardedBody {
    let mut report = Report::default();
    let (body, unseen) = match form {
        BodyForm::Text => (patterns.replace(answer, &mut report).unwrap_or_else(|| answer.to_vec()), false),
        BodyForm::Json => (replace_json(patterns, answer, &mut report), !can_be_read(answer)),
        BodyForm::Events => {
            let mut events = RedactingEvents::new(patterns);
            let mut body = Vec::with_capacity(answer.len());
            events.push(answer, &mut body);
            events.finish(&mut body);
            report.add(events.report());
            (body, events.is_withheld())
        }
    };
    match mode {
        GuardMode::Block if unseen || !report.is_empty() => {
            GuardedBody { body: notice(form), report, withheld: true }
        }
        GuardMode::Block | GuardMode::Redact => GuardedBody { body, report, withheld: unseen },
    }
}

fn notice(form: BodyForm) -> Vec<u8> {
    let error =
        format!("{{\"type\":\"error\",\"error\":{{\"type\":\"withheld\",\"message\":\"{NOTICE}\"}}}}");
    match form {
        BodyForm::Text => NOTICE.as_bytes().to_vec(),
        BodyForm::Json => error.into_bytes(),
        BodyForm::Events => format!("event: error\ndata: {error}\n\n").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyroll_needle::{NeedleId, Needles};
    use keyroll_secret::SecretBytes;

    use super::*;

    fn patterns() -> Patterns {
        let id = NeedleId(1);
        let value = SecretBytes::new(b"0123456789abcdef".to_vec());
        Patterns::new(Arc::new(Needles::builder().add(id, &value).name(id, "api").build().unwrap()), None)
    }

    #[test]
    fn a_blocked_answer_is_a_notice_in_its_form_and_the_alarm_names_kinds_and_counts() {
        let patterns = patterns();
        let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789abcdef\"}}]}\n\n";
        for (form, answer) in [
            (BodyForm::Text, "a 0123456789abcdef b 0123456789abcdef"),
            (BodyForm::Json, r#"{"a":"0123456789abcdef","b":"\u0030123456789abcdef"}"#),
            (BodyForm::Events, &format!("{event}{event}")),
        ] {
            let blocked = guard(&patterns, GuardMode::Block, form, answer.as_bytes());
            let body = String::from_utf8(blocked.body.clone()).unwrap();
            assert!(blocked.withheld && body.contains(NOTICE) && !body.contains("012345"), "{body}");
            assert_eq!(
                blocked.alarm().unwrap(),
                "an answer was withheld: it contained credentials: 2 (secret api: 2)"
            );
            let redacted = guard(&patterns, GuardMode::Redact, form, answer.as_bytes());
            let body = String::from_utf8(redacted.body.clone()).unwrap();
            assert!(!redacted.withheld && body.matches("[redacted:api]").count() == 2, "{body}");
            assert_eq!(
                redacted.alarm().unwrap(),
                "an answer was redacted: it contained credentials: 2 (secret api: 2)"
            );
        }
    }

    #[test]
    fn a_clean_answer_is_given_as_it_is() {
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"012345\"}}]}\n\ndata: [DONE]\n\n";
        for (form, answer) in
            [(BodyForm::Text, "a"), (BodyForm::Json, "{\"a\": 1}"), (BodyForm::Events, event)]
        {
            for mode in [GuardMode::Redact, GuardMode::Block] {
                let given = guard(&patterns(), mode, form, answer.as_bytes());
                assert!(!given.withheld && given.alarm().is_none());
                if form != BodyForm::Events {
                    assert_eq!(given.body, answer.as_bytes());
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_what_it_says_is_parsed_as_far_as_possible() {
        for answer in [
            r#"{"a":"\u0030\u0031\u0032\u0033456789abcdef",}"#,
            r#"{"a":"\u0030\u0031\u0032\u0033456789abcdef"#,
            r"{'a':'\u0030\u0031\u0032\u0033456789abcdef'}",
        ] {
            let blocked = guard(&patterns(), GuardMode::Block, BodyForm::Json, answer.as_bytes());
            assert!(blocked.withheld && blocked.report.count() == 1, "{answer}");
            assert_eq!(blocked.body, notice(BodyForm::Json));
            let redacted = guard(&patterns(), GuardMode::Redact, BodyForm::Json, answer.as_bytes());
            assert!(!String::from_utf8_lossy(&redacted.body).contains("456789"), "{answer}");
        }
        let clean = br#"{"a":"\u0030\u0031\u0032",}"#;
        assert_eq!(guard(&patterns(), GuardMode::Block, BodyForm::Json, clean).body, clean);
    }

    #[test]
    fn what_cannot_be_scanned_is_withheld() {
        let long = format!("data: {}", "x".repeat(crate::EVENT_BYTES_MAX));
        for mode in [GuardMode::Redact, GuardMode::Block] {
            let given = guard(&patterns(), mode, BodyForm::Events, long.as_bytes());
            assert!(given.withheld && given.body.len() < 500);
            assert_eq!(
                given.alarm().unwrap(),
                "an answer was withheld: it could not be checked for credentials"
            );
        }
    }
}
