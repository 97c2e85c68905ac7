use super::remark::Remark;
use crate::document::Document;

/// A rule of `keyroll leaks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRule<'a> {
    /// Its id.
    pub id: &'a str,
    /// The texts that its values begin with; empty if they have no common beginning.
    pub begins: &'a [String],
}

/// A missing or unknown link from `op.verify` to the rules of `keyroll leaks`; nothing if no rule is known.
pub(crate) fn judge(document: &Document, known: &[KnownRule<'_>]) -> Vec<Remark> {
    if known.is_empty() {
        return Vec::new();
    }
    let verify = &document.op.verify;
    if verify.rules.is_empty() {
        return missing(document, known).into_iter().collect();
    }
    let named = verify.rules.iter().enumerate();
    let unknown = named.filter(|(_, id)| !known.iter().any(|rule| rule.id == id.as_str()));
    let remark = |(number, _)| Remark {
        rule: "unknown-rule",
        key: format!("op.verify.rules.{number}"),
        message: "no rule of keyroll leaks has this id".to_owned(),
        help: "keyroll leaks prints the id of a rule with each finding, such as gitlab-token".to_owned(),
    };
    unknown.map(remark).collect()
}

/// The one rule that finds the keys of a spec which names none.
fn missing(document: &Document, known: &[KnownRule<'_>]) -> Option<Remark> {
    let prefix = &document.fields.get(document.sole_field()?)?.prefix;
    let mut finding = known.iter().filter(|rule| rule.begins.contains(prefix));
    // Of several rules, the prefix alone does not say which one is meant.
    let (only, None) = (finding.next()?, finding.next()) else { return None };
    Some(Remark {
        rule: "rule-not-named",
        key: "op.verify".to_owned(),
        message: format!(
            "keyroll leaks finds these keys by its rule {}, but --verify cannot ask this issuer about them",
            only.id
        ),
        help: format!("add to [op.verify]: rules = [\"{}\"]", only.id),
    })
}
