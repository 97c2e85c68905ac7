use std::collections::BTreeSet;

use jiff::civil::Date;

use super::remark::Remark;
use crate::document::Document;
use crate::keys::{key_of, keys};
use crate::provenance::{Source, day};

/// Keys that need no statement of their own: a fact of each is a part of another key's, or a choice and no fact.
const WITHOUT_STATEMENT: [&str; 6] =
    ["auth", "op.verify", "op.verify.denied", "last_used", "effects", "human"];

/// The two lists of `op.verify` that decide whether a key is alive.
const VERDICTS: [&str; 2] = ["op.verify.alive", "op.verify.dead"];

/// Facts without a source, assumptions about a key that does not exist, and pages that were last read long ago.
pub(crate) fn judge(document: &Document, today: Date) -> Vec<Remark> {
    let mut remarks = unstated(document);
    remarks.extend(mistyped(document));
    remarks.extend(outdated(document, today));
    remarks
}

fn unstated(document: &Document) -> Vec<Remark> {
    let provenance = &document.provenance;
    let said = provenance.sources.iter().flat_map(Source::says).map(String::as_str);
    let assumed = provenance.assumed.iter().filter_map(|sentence| key_of(sentence));
    let named: BTreeSet<&str> = said.chain(assumed).collect();
    let stated = |key: &str| {
        let whole = key.rsplit_once('.').map(|(whole, _)| whole);
        named.contains(key) || whole.is_some_and(|whole| named.contains(whole))
    };
    let needed = keys(document).into_iter().filter(|(key, there)| *there && !WITHOUT_STATEMENT.contains(key));
    let mut missing: Vec<&str> = needed.map(|(key, _)| key).filter(|key| !stated(key)).collect();
    if VERDICTS.iter().all(|verdict| missing.contains(verdict)) {
        missing.retain(|key| !VERDICTS.contains(key));
        missing.push("op.verify");
    }
    if missing.is_empty() {
        return Vec::new();
    }
    if provenance.sources.iter().all(|page| page.says().is_empty()) {
        return vec![Remark {
            rule: "no-statement",
            key: "provenance.sources".to_owned(),
            message: "no source says which keys of the spec it states".to_owned(),
            help: format!(
                "write each page as {{ at = \"https://…\", says = [\"fields\"] }}, and a fact that no page states as \
                 a sentence in `assumed` that begins with its key; not stated yet: {}",
                missing.join(", ")
            ),
        }];
    }
    let remark = |key: &str| Remark {
        rule: "no-statement",
        key: key.to_owned(),
        message: format!("no source states `{key}`, and no assumption is about it"),
        help: format!(
            "add \"{key}\" to `says` of the page that states it; if no page does, add the sentence \"{key}: …\" to \
             `assumed`"
        ),
    };
    missing.into_iter().map(remark).collect()
}

/// Sentences of `assumed` that begin with a word in the form of a key, but with no key.
fn mistyped(document: &Document) -> Vec<Remark> {
    let known = keys(document);
    let about = |(number, sentence): (usize, &String)| {
        let key = key_of(sentence).filter(|key| !known.iter().any(|(name, _)| name == key))?;
        let nearest = known.iter().map(|(name, _)| (strsim::damerau_levenshtein(key, name), *name)).min();
        let (edits, near) = nearest?;
        // Another word before a colon is a part of the sentence.
        (edits <= 1 || key.starts_with("op.")).then(|| Remark {
            rule: "unknown-assumed-key",
            key: format!("provenance.assumed.{number}"),
            message: "this assumption begins with a key that no spec has".to_owned(),
            help: format!("the nearest key is `{near}`"),
        })
    };
    document.provenance.assumed.iter().enumerate().filter_map(about).collect()
}

fn outdated(document: &Document, today: Date) -> Vec<Remark> {
    let provenance = &document.provenance;
    let Ok(year_ago) = today.checked_sub(jiff::Span::new().years(1)) else { return Vec::new() };
    let is_old = |text: &str| day(text).is_some_and(|read| read < year_ago);
    let remark = |key: String, what: &str| Remark {
        rule: "checked-long-ago",
        key,
        message: format!("{what} more than a year ago"),
        help: format!("read it again, correct the spec, and write checked = \"{today}\""),
    };
    let whole = is_old(&provenance.checked).then(|| {
        let what = "the facts of this spec were last compared with their sources";
        remark("provenance.checked".to_owned(), what)
    });
    let pages = provenance.sources.iter().enumerate().filter(|(_, page)| page.checked().is_some_and(is_old));
    let pages = pages
        .map(|(number, _)| remark(format!("provenance.sources.{number}.checked"), "this page was last read"));
    whole.into_iter().chain(pages).collect()
}
