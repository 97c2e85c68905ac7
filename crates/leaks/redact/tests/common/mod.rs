//! Values and rules of the tests.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{Arc, OnceLock};

use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;

/// One rule of each kind.
pub(crate) fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| {
        let rule = |id: &str, rest: &str| {
            format!("[[rule]]\nid='{id}'\nprovider='p'\ntitle='t'\nsource='https://x.y'\n{rest}\n")
        };
        let all = [
            rule("form", "begins=['tok_']\nregex='tok_[a-z0-9]{8,40}'"),
            rule("within", "holds=['.mid.']\nregex='[a-z0-9]{8}\\.mid\\.[a-z0-9]{8}'"),
            rule("near", "near=['mine']\nregex='[a-f0-9]{16}'"),
            rule(
                "private-key",
                "block=true\nbegins=['-----BEGIN PRIVATE KEY-----', '-----BEGIN RSA PRIVATE KEY-----']\nregex='-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY-----[\\s\\S]{40,15000}?-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY-----'",
            ),
        ];
        Rules::read(&[("mine", &all.concat())]).expect("rules")
    })
}

/// How much of a rule's value may be shown if a cut falls into its start, bytes.
pub(crate) fn head_max(rule: &str) -> usize {
    match rule {
        "form" => "tok".len(),
        // Of known values, too.
        "within" | "near" => 5,
        "private-key" => "-----BEGIN RSA PRIVATE KEY----".len(),
        _ => 0,
    }
}

/// Values in every encoding, named.
pub(crate) fn needles(values: &[(&str, &str)]) -> Arc<Needles> {
    let mut builder = Needles::builder();
    for (number, (name, value)) in (0..).zip(values) {
        let id = NeedleId(number);
        builder = builder.add(id, &SecretBytes::new(value.as_bytes().to_vec())).name(id, *name);
    }
    Arc::new(builder.build().expect("needles"))
}

/// A private key of no cipher.
pub(crate) fn private_key(line_end: &str) -> String {
    let body: Vec<String> =
        (0..4).map(|line| format!("{line:02}abcdefghijklmnopqrstuvwxyz").repeat(2)).collect();
    format!(
        "-----BEGIN RSA PRIVATE KEY-----{line_end}{}{line_end}-----END RSA PRIVATE KEY-----",
        body.join(line_end)
    )
}
