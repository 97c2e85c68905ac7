use std::collections::BTreeMap;

use keyroll_app::leaks::{Identities, LeakShown, LeaksShown, PlaceShown};
use keyroll_scanner::Report;
use serde_json::{Value, json};

/// SARIF 2.1.0 (OASIS), with the parts that GitHub's code scanning reads.
///
/// Without a baseline or a store, identities are valid in one run only. The results then have no `partialFingerprints`:
/// with them, code scanning would show each result as new in every run. Without them, it computes fingerprints of the
/// lines itself:
/// <https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>.
pub(crate) fn sarif(report: &Report, sum: &LeaksShown) -> String {
    let shown: Vec<LeakShown> = report.findings.iter().map(LeakShown::of).collect();
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    for one in &shown {
        rules.entry(&one.rule).or_insert_with(|| rule(one));
    }
    let numbers: BTreeMap<&str, usize> = rules.keys().copied().zip(0..).collect();
    let results: Vec<Value> = shown
        .iter()
        .map(|one| {
            let titled = LeakShown { title: one.titled(), ..one.clone() };
            result(&titled, numbers.get(one.rule.as_str()).copied(), sum.identities)
        })
        .collect();
    let skipped = report.skipped.iter().map(|one| {
        json!({ "level": "warning", "message": { "text": format!("not scanned: {}: {}", one.what, one.why) } })
    });
    let all = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "keyroll",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": sum.whole && (report.texts > 0 || sum.not_visible == 0),
                "toolExecutionNotifications": skipped.collect::<Vec<_>>(),
            }],
            "results": results,
            "properties": { "identities": sum.identities },
        }],
    });
    format!("{all:#}\n")
}

fn rule(one: &LeakShown) -> Value {
    let text = match &one.secret {
        Some(secret) => format!("A value of the secret {secret}, which keyroll manages"),
        None => one.title.clone(),
    };
    json!({
        "id": one.rule,
        "shortDescription": { "text": text },
        "help": { "text": "Replace and revoke it; removing the line is not enough, because others may have read it." },
        "properties": { "tags": ["security", "secret"] },
    })
}

fn result(one: &LeakShown, rule: Option<usize>, identities: Identities) -> Value {
    let level = match (one.opens(), one.is_over()) {
        (true, _) => "error",
        (false, true) => "note",
        (false, false) => "warning",
    };
    let form = one.form.as_ref().map(|form| format!(", {form}")).unwrap_or_default();
    let remark = one.remark.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    let mut result = json!({
        "ruleId": one.rule,
        "level": level,
        "message": { "text": format!("{} ({}{form}) in {}{remark}", one.title, one.standing(), one.place.way()) },
        "locations": [{ "physicalLocation": location(&one.place) }],
    });
    let accepted = one.accepted.as_ref().map(|accepted| {
        let kind = if accepted.by == "comment" { "inSource" } else { "external" };
        json!([{ "kind": kind, "justification": accepted.reason }])
    });
    if let Some(fields) = result.as_object_mut() {
        fields.extend(rule.map(|rule| ("ruleIndex".to_owned(), json!(rule))));
        let identity = identities.stay().then(|| json!({ "keyroll/v1": one.identity }));
        fields.extend(identity.map(|identity| ("partialFingerprints".to_owned(), identity)));
        fields.extend(accepted.map(|accepted| ("suppressions".to_owned(), accepted)));
        let verified = one.verified.as_ref().map(|verified| json!({ "verified": verified }));
        fields.extend(verified.map(|verified| ("properties".to_owned(), verified)));
    }
    result
}

fn location(place: &PlaceShown) -> Value {
    let path = place.path.as_ref().or(place.source.as_ref()).map_or("", String::as_str);
    let uri = match place.host.as_deref().filter(|host| *host != "local") {
        Some(host) if path.starts_with('/') => uri(host, path),
        // It is no path of the repository that this report may be uploaded to.
        Some(host) => uri("", &format!("{host} › {path}")),
        None => uri("", path),
    };
    let mut location = json!({ "artifactLocation": { "uri": uri } });
    // A location within an archive has no line in the file itself.
    if let Some(fields) = location.as_object_mut().filter(|_| place.inside.is_empty()) {
        let region = json!({
            "startLine": place.line, "startColumn": place.column,
            "endLine": place.end_line, "endColumn": place.end_column,
        });
        fields.insert("region".to_owned(), region);
    }
    location
}

/// A path as a URI reference (RFC 3986), relative if the path is; with the host of a file (RFC 8089).
fn uri(host: &str, path: &str) -> String {
    // Redact first: in percent-encoded text a value would not be recognised.
    let path = keyroll_app::redact::pass(path.strip_prefix("./").unwrap_or(path));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let coded = path.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    let coded: String = coded.collect();
    if path.starts_with('/') { format!("file://{host}{coded}") } else { coded }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_reference() {
        assert_eq!(uri("", "./src/a b.rs"), "src/a%20b.rs");
        assert_eq!(uri("", "/srv/é#1"), "file:///srv/%C3%A9%231");
        assert_eq!(uri("web-1", "/srv/app.env"), "file://web-1/srv/app.env");
    }
}
