use std::borrow::Cow;

use keyroll_inventory::Cleaner;
use serde::Serialize;
use serde_json::Value;

/// Words of the protocol and of reports, by which the driver decides. They say nothing of a value, also where somebody on the
/// host has one of them for a value: cut out, they would hide a process from the report.
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

fn clean(value: &mut Value, cleaner: &Cleaner) {
    match value {
        Value::String(text) if OWN.contains(&text.as_str()) => {}
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
    use crate::frame::{Item, WhyItem};

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

    #[test]
    fn what_only_has_the_form_of_a_credential_is_cut_out_too() {
        let token = keyroll_testkit::github_token();
        let written = cleaned(&Item::Differs(token.clone()), &Cleaner::new(None)).unwrap();
        assert!(!written.to_string().contains(&token), "{written}");
    }
}
