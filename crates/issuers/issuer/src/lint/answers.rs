use super::remark::Remark;
use crate::document::Document;
use crate::keys::key_of;
use crate::matcher::Matcher;

/// Cases of `op.verify` that may call a working key dead, and cases that never decide.
pub(crate) fn judge(document: &Document) -> Vec<Remark> {
    let mut remarks = status_alone(document);
    let verify = &document.op.verify;
    let lists = [("alive", &verify.alive), ("denied", &verify.denied), ("dead", &verify.dead)];
    for (at, (late_name, late_cases)) in lists.iter().enumerate() {
        for (early_name, early_cases) in lists.iter().take(at) {
            let hidden = late_cases.iter().enumerate();
            let hidden = hidden.filter(|(_, late)| early_cases.iter().any(|early| hides(early, late)));
            remarks.extend(hidden.map(|(number, _)| Remark {
                rule: "case-never-reached",
                key: format!("op.verify.{late_name}.{number}"),
                message: format!(
                    "an answer of this case also matches a case of `{early_name}`, which keyroll tries first"
                ),
                help: format!(
                    "add a condition to the case of `{early_name}` that only its own answers meet: json, json_has or \
                     body_has"
                ),
            }));
        }
    }
    remarks
}

/// A case of `dead` without a look at the body, unless the spec says why the status suffices.
fn status_alone(document: &Document) -> Vec<Remark> {
    let mut explained = document.provenance.assumed.iter().filter_map(|sentence| key_of(sentence));
    if explained.any(|key| key == "op.verify.dead") {
        return Vec::new();
    }
    let bare = |case: &Matcher| case.json.is_empty() && case.json_has.is_empty() && case.body_has.is_empty();
    let cases = document.op.verify.dead.iter().enumerate().filter(|(_, case)| bare(case));
    let remark = |(number, _)| {
        Remark {
        rule: "dead-status-alone",
        key: format!("op.verify.dead.{number}"),
        message: "a status alone means dead; a working key without a scope, or from another address, may get the \
                  same status"
            .to_owned(),
        help: "add what only the answer to a wrong key contains, such as json = { \"/error/code\" = [\"invalid_key\"] \
               } or body_has = [\"invalid key\"]; if the issuer uses this status for nothing else, say so in \
               `assumed`: \"op.verify.dead: …\""
            .to_owned(),
    }
    };
    cases.map(remark).collect()
}

/// Whether every answer that matches the later case, with a status that both have, matches the earlier one too.
fn hides(early: &Matcher, late: &Matcher) -> bool {
    let status = early.status.iter().any(|status| late.status.contains(status));
    let json = early.json.iter().all(|(pointer, allowed)| {
        late.json.get(pointer).is_some_and(|values| values.iter().all(|value| allowed.contains(value)))
    });
    let mut has = early.json_has.iter();
    let has = has.all(|pointer| late.json_has.contains(pointer) || late.json.contains_key(pointer));
    let within = |text: &String| early.body_has.iter().any(|part| text.contains(part.as_str()));
    let body = early.body_has.is_empty() || (!late.body_has.is_empty() && late.body_has.iter().all(within));
    status && json && has && body
}
