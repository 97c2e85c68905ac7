//! Judges a spec beyond what the parser refuses, for the person who writes it.
//!
//! Pure: the day and the rules of `keyroll leaks` are given.

mod answers;
mod example_hosts;
mod literals;
mod lost_mints;
mod reads;
mod remark;
mod rules;
mod sources;

use jiff::civil::Date;

use crate::document::Document;
use crate::parse::{SpecError, parse, place};
use remark::Remark;

pub use rules::KnownRule;

/// Who maintains a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The project: the spec comes with the program.
    Shipped,
    /// The operator.
    Own,
}

/// What a spec is compared with that its text does not contain.
#[derive(Debug, Clone, Copy)]
pub struct LintContext<'a> {
    /// Who maintains the spec.
    pub origin: Origin,
    /// Today, for the age of `checked`.
    pub today: Date,
    /// The rules of `keyroll leaks`; without any, the spec's `rules` are not judged.
    pub rules: &'a [KnownRule<'a>],
}

/// A warning about a spec that the parser accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecWarning {
    /// The permanent name of the rule that the spec does not keep: `dead-status-alone`.
    pub rule: &'static str,
    /// The key of the spec, joined by dots; an item of an array is its number: `op.verify.dead.0`.
    pub key: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is doubtful, a clause. It repeats no value of the text.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The warnings about a spec, in the order of its lines. `file_name` is used in the error only.
///
/// # Errors
/// The parser refuses the text.
pub fn lint(text: &str, file_name: &str, context: &LintContext<'_>) -> Result<Vec<SpecWarning>, SpecError> {
    let document = parse(text, file_name)?;
    let located = |remark: Remark| {
        let (line, column) = place(text, &remark.key);
        let Remark { rule, key, message, help } = remark;
        SpecWarning { rule, key, line, column, message, help }
    };
    let mut warnings: Vec<SpecWarning> = judge(&document, context).into_iter().map(located).collect();
    warnings
        .sort_by(|one, other| (one.line, one.column, one.rule).cmp(&(other.line, other.column, other.rule)));
    Ok(warnings)
}

fn judge(document: &Document, context: &LintContext<'_>) -> Vec<Remark> {
    let mut remarks = sources::judge(document, context.today);
    remarks.extend(answers::judge(document));
    remarks.extend(lost_mints::judge(document));
    remarks.extend(reads::judge(document));
    remarks.extend(literals::judge(document));
    remarks.extend(rules::judge(document, context.rules));
    match context.origin {
        // A shipped spec for an issuer with a host per customer has such a host on purpose.
        Origin::Shipped => {}
        Origin::Own => remarks.extend(example_hosts::judge(document)),
    }
    remarks
}
