use std::borrow::Cow;

use keyroll_inventory::Cleaner;
use serde::Serialize;
use serde_json::Value;

use crate::forms::is_kind;
use crate::order::Reply;

/// Words of the protocol and of reports, by which the driver decides. They say nothing of a value, also where somebody on the
/// host has one of them for a value: cut out, they would hide a process from the report. The kinds of failures are such words
/// too.
const OWN: [&str; 13] = [
    "alive",
    "current",
    "done",
    "in part",
    "likely stale",
    "mixed",
    "not read",
    "not searched",
    "not visible",
    "refused",
    "shadowed",
    "stale",
    "unknown",
];

/// What is written of an item, a note or an end, with every text passed through the cleaner; `None` if it cannot be
/// written. A field that is added later is cleaned too.
pub(crate) fn cleaned(one: &impl Serialize, cleaner: &Cleaner) -> Option<Value> {
    let mut value = serde_json::to_value(one).ok()?;
    clean(&mut value, cleaner);
    Some(value)
}

/// A reply with every text passed through the cleaner, for a driver that knows values which the host does not; `None` if
/// it then has another form.
pub fn cleaned_reply(reply: &Reply, cleaner: &Cleaner) -> Option<Reply> {
    serde_json::from_value(cleaned(reply, cleaner)?).ok()
}

fn clean(value: &mut Value, cleaner: &Cleaner) {
    match value {
        Value::String(text) if OWN.contains(&text.as_str()) || is_kind(text) => {}
        Value::String(text) => {
            let clean = match cleaner.pass(text) {
                Cow::Borrowed(_) => None,
                Cow::Owned(clean) => Some(clean),
            };
            if let Some(clean) = clean {
                *text = clean;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| clean(one, cleaner)),
        Value::Object(fields) => fields.values_mut().for_each(|one| clean(one, cleaner)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use keyroll_needle::{NeedleId, Needles};
    use keyroll_secret::SecretBytes;

    use super::*;
    use crate::forms::{
        ClassForm, DifferenceForm, FailureForm, HoldsForm, PendingChangeForm, ReconciledForm,
    };
    use crate::frame::{Item, WhyItem};
    use crate::order::FileNow;

    #[test]
    fn a_value_is_cut_out_of_every_text_of_an_item() {
        let value = keyroll_testkit::alphanumeric(24);
        let id = NeedleId(0);
        let needles = Needles::builder().add(id, &SecretBytes::from(value.clone())).name(id, "value").build();
        let cleaner = Cleaner::new(Some(needles.unwrap()));
        let text = || format!("at {value}.");
        let item = Item::Why(WhyItem {
            sentences: vec![text()],
            instances: vec![Item::Sentence(text())],
            differing: vec![(text(), vec![text(), "left".to_owned()])],
            chains: Vec::new(),
        });
        let written = cleaned(&item, &cleaner).unwrap();
        assert!(!written.to_string().contains(&value), "{written}");
        let read: Item = serde_json::from_value(written).unwrap();
        let Item::Why(read) = read else { panic!("it is another item") };
        assert_eq!(read.sentences, ["at [redacted:value]."]);
        assert_eq!(read.differing[0].1[1], "left");
    }

    #[test]
    fn a_verdict_stays_though_somebody_has_it_for_a_value() {
        let id = NeedleId(0);
        let value = SecretBytes::from("likely stale".to_owned());
        let needles = Needles::builder().add(id, &value).name(id, "value").build();
        let cleaner = Cleaner::new(Some(needles.unwrap()));
        let said = |text: &str| cleaned(&Item::Sentence(text.to_owned()), &cleaner).unwrap().to_string();
        assert_eq!(said("likely stale"), r#"{"sentence":"likely stale"}"#);
        assert_eq!(said("it is likely stale"), r#"{"sentence":"it is [redacted:value]"}"#);
    }

    fn reply(item: Value) -> Reply {
        let Ok(Item::Reply(reply)) = serde_json::from_value(item) else { panic!("it is another item") };
        *reply
    }

    #[test]
    fn a_reply_loses_a_value_and_keeps_what_the_driver_decides_by() {
        let value = keyroll_testkit::alphanumeric(24);
        let needles = Needles::builder()
            .add(NeedleId(0), &SecretBytes::from(value.clone()))
            .name(NeedleId(0), "value")
            // Words of the protocol that somebody on the host has for values.
            .add(NeedleId(1), &SecretBytes::from("rate_limited".to_owned()))
            .add(NeedleId(2), &SecretBytes::from("unreadable".to_owned()))
            .add(NeedleId(3), &SecretBytes::from("retryable".to_owned()));
        let failure = |cause: &str| FailureForm {
            attempted: "replace /srv/api.env".to_owned(),
            class: ClassForm::Retryable,
            code: "K0404".to_owned(),
            kind: "rate_limited".to_owned(),
            help: Some("keyroll resume".to_owned()),
            causes: vec![cause.to_owned(), "rate_limited by acme".to_owned()],
        };
        let cleaner = Cleaner::new(Some(needles.build().unwrap()));
        let said = Reply::Failed(failure(&format!("it holds {value}.")));
        let written = cleaned(&Item::Reply(Box::new(said)), &cleaner).unwrap();
        assert!(!written.to_string().contains(&value), "{written}");
        let Reply::Failed(heard) = reply(written) else { panic!("it is another reply") };
        assert_eq!(heard.causes[0], "it holds [redacted:value].");
        assert!(!heard.causes[1].starts_with("rate_limited"), "{}", heard.causes[1]);
        assert_eq!(
            FailureForm { causes: Vec::new(), ..heard },
            FailureForm { causes: Vec::new(), ..failure("") }
        );
        let holds = Reply::Copies(vec![(HoldsForm::Unreadable, Some(format!("{value} stands there")))]);
        let Reply::Copies(heard) = reply(cleaned(&Item::Reply(Box::new(holds)), &cleaner).unwrap()) else {
            panic!("it is another reply")
        };
        let why = Some("[redacted:value] stands there".to_owned());
        assert_eq!(heard, [(HoldsForm::Unreadable, why)]);
    }

    #[test]
    fn paths_and_digests_of_a_reply_stay_as_they_are() {
        let file = |digits: usize| FileNow {
            path: "/srv/api.env".to_owned(),
            real: "/srv/releases/2026-11-29T10:00:00Z-9f3c21/config/.env.production".to_owned(),
            digest: "9f3c21aa00b1c2d3".repeat(4)[..digits].to_owned(),
        };
        let change = PendingChangeForm {
            difference: DifferenceForm { name: "api:OPENAI_API_KEY".to_owned(), digest: u64::MAX },
            what: "OPENAI_API_KEY in /srv/api.env differs from what is running".to_owned(),
            since_unix_ms: Some(u64::MAX),
        };
        let all = [
            Reply::Done,
            Reply::Opened { files: vec![file(32), file(64)] },
            Reply::Applied { done: false, changes: vec![change] },
            Reply::Delivered(ReconciledForm::Foreign),
        ];
        for said in all {
            let written = cleaned(&Item::Reply(Box::new(said.clone())), &Cleaner::new(None)).unwrap();
            assert_eq!(reply(written), said);
        }
    }

    #[test]
    fn what_only_has_the_form_of_a_credential_is_cut_out_too() {
        let token = keyroll_testkit::github_token();
        let written = cleaned(&Item::Differs(token.clone()), &Cleaner::new(None)).unwrap();
        assert!(!written.to_string().contains(&token), "{written}");
    }
}
