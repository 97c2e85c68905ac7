use crate::json::can_be_read;
use crate::{EventShield, Report, Sought, replace_json};

/// What stands in the place of an answer that was withheld.
pub const NOTICE: &str = "This answer was withheld because it may contain a credential.";

/// What is done with an answer in which something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What was found is replaced by markers.
    Redact,
    /// The whole answer is replaced by [`NOTICE`].
    Block,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is read.
    Text,
    /// One JSON text.
    Json,
    /// `text/event-stream`.
    Events,
}

/// An answer that may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// What is sent.
    pub body: Vec<u8>,
    /// What was found: kinds and counts, no value.
    pub report: Report,
    /// The notice stands in the place of the answer, or of its rest.
    pub withheld: bool,
}

impl Guarded {
    /// The line for a log where something was found, at its highest level.
    pub fn alarm(&self) -> Option<String> {
        let done = if self.withheld { "withheld" } else { "redacted" };
        match (self.report.is_empty(), self.withheld) {
            (true, false) => None,
            (true, true) => {
                Some("an answer was withheld: it could not be checked for credentials".to_owned())
            }
            (false, _) => Some(format!("an answer was {done}: it held credentials: {}", self.report)),
        }
    }
}

/// Looks at a whole answer before it is given. In the form that was asked for, also where it was withheld.
pub fn guard(sought: &Sought, mode: Mode, form: Form, answer: &[u8]) -> Guarded {
    let mut report = Report::default();
    let (body, unseen) = match form {
        Form::Text => (sought.replace(answer, &mut report).unwrap_or_else(|| answer.to_vec()), false),
        Form::Json => (replace_json(sought, answer, &mut report), !can_be_read(answer)),
        Form::Events => {
            let mut shield = EventShield::new(sought);
            let mut body = Vec::with_capacity(answer.len());
            shield.push(answer, &mut body);
            shield.finish(&mut body);
            report.add(shield.report());
            (body, shield.is_withheld())
        }
    };
    match mode {
        Mode::Block if unseen || !report.is_empty() => Guarded { body: notice(form), report, withheld: true },
        Mode::Block | Mode::Redact => Guarded { body, report, withheld: unseen },
    }
}

fn notice(form: Form) -> Vec<u8> {
    let error =
        format!("{{\"type\":\"error\",\"error\":{{\"type\":\"withheld\",\"message\":\"{NOTICE}\"}}}}");
    match form {
        Form::Text => NOTICE.as_bytes().to_vec(),
        Form::Json => error.into_bytes(),
        Form::Events => format!("event: error\ndata: {error}\n\n").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyroll_needle::{NeedleId, Needles};
    use keyroll_secret::SecretBytes;

    use super::*;

    fn sought() -> Sought {
        let id = NeedleId(1);
        let value = SecretBytes::new(b"0123456789abcdef".to_vec());
        Sought::new(Arc::new(Needles::builder().add(id, &value).name(id, "api").build().unwrap()), None)
    }

    #[test]
    fn a_blocked_answer_is_a_notice_in_its_form_and_the_alarm_names_kinds_and_counts() {
        let sought = sought();
        let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789abcdef\"}}]}\n\n";
        for (form, answer) in [
            (Form::Text, "a 0123456789abcdef b 0123456789abcdef"),
            (Form::Json, r#"{"a":"0123456789abcdef","b":"\u0030123456789abcdef"}"#),
            (Form::Events, &format!("{event}{event}")),
        ] {
            let blocked = guard(&sought, Mode::Block, form, answer.as_bytes());
            let body = String::from_utf8(blocked.body.clone()).unwrap();
            assert!(blocked.withheld && body.contains(NOTICE) && !body.contains("012345"), "{body}");
            assert_eq!(
                blocked.alarm().unwrap(),
                "an answer was withheld: it held credentials: 2 (secret api: 2)"
            );
            let redacted = guard(&sought, Mode::Redact, form, answer.as_bytes());
            let body = String::from_utf8(redacted.body.clone()).unwrap();
            assert!(!redacted.withheld && body.matches("[redacted:api]").count() == 2, "{body}");
            assert_eq!(
                redacted.alarm().unwrap(),
                "an answer was redacted: it held credentials: 2 (secret api: 2)"
            );
        }
    }

    #[test]
    fn a_clean_answer_is_given_as_it_is() {
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"012345\"}}]}\n\ndata: [DONE]\n\n";
        for (form, answer) in [(Form::Text, "a"), (Form::Json, "{\"a\": 1}"), (Form::Events, event)] {
            for mode in [Mode::Redact, Mode::Block] {
                let given = guard(&sought(), mode, form, answer.as_bytes());
                assert!(!given.withheld && given.alarm().is_none());
                if form != Form::Events {
                    assert_eq!(given.body, answer.as_bytes());
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_what_it_says_is_looked_at_as_near_to_it_as_can_be() {
        for answer in [
            r#"{"a":"\u0030\u0031\u0032\u0033456789abcdef",}"#,
            r#"{"a":"\u0030\u0031\u0032\u0033456789abcdef"#,
            r"{'a':'\u0030\u0031\u0032\u0033456789abcdef'}",
        ] {
            let blocked = guard(&sought(), Mode::Block, Form::Json, answer.as_bytes());
            assert!(blocked.withheld && blocked.report.count() == 1, "{answer}");
            assert_eq!(blocked.body, notice(Form::Json));
            let redacted = guard(&sought(), Mode::Redact, Form::Json, answer.as_bytes());
            assert!(!String::from_utf8_lossy(&redacted.body).contains("456789"), "{answer}");
        }
        let clean = br#"{"a":"\u0030\u0031\u0032",}"#;
        assert_eq!(guard(&sought(), Mode::Block, Form::Json, clean).body, clean);
    }

    #[test]
    fn what_cannot_be_looked_at_is_withheld() {
        let long = format!("data: {}", "x".repeat(crate::EVENT_BYTES_MAX));
        for mode in [Mode::Redact, Mode::Block] {
            let given = guard(&sought(), mode, Form::Events, long.as_bytes());
            assert!(given.withheld && given.body.len() < 500);
            assert_eq!(
                given.alarm().unwrap(),
                "an answer was withheld: it could not be checked for credentials"
            );
        }
    }
}
