//! The tables of what replaces what.

use syn::{BinOp, ReturnType, Type};

use super::facts::{Facts, is_integer, type_argument, type_name};

/// Methods and what they are replaced by; the types are the same.
const METHODS: [(&str, &str); 26] = [
    ("min", "max"),
    ("max", "min"),
    ("min_by_key", "max_by_key"),
    ("max_by_key", "min_by_key"),
    ("any", "all"),
    ("all", "any"),
    ("first", "last"),
    ("last", "first"),
    ("position", "rposition"),
    ("rposition", "position"),
    ("push_back", "push_front"),
    ("push_front", "push_back"),
    ("pop_back", "pop_front"),
    ("pop_front", "pop_back"),
    ("is_some_and", "is_none_or"),
    ("is_none_or", "is_some_and"),
    ("saturating_add", "saturating_sub"),
    ("saturating_sub", "saturating_add"),
    ("saturating_mul", "saturating_add"),
    ("checked_add", "checked_sub"),
    ("checked_sub", "checked_add"),
    ("checked_mul", "checked_add"),
    ("wrapping_add", "wrapping_sub"),
    ("wrapping_sub", "wrapping_add"),
    ("wrapping_mul", "wrapping_add"),
    ("div_ceil", "saturating_div"),
];

/// What a method is replaced by.
pub(super) fn method(name: &str) -> Option<&'static str> {
    METHODS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

/// Methods without which their receiver has the same type.
const DROPPED: [&str; 5] = ["or", "or_else", "filter", "xor", "and"];

/// Whether a call of this method may be left out, so that its receiver remains.
pub(super) fn may_be_dropped(name: &str) -> bool {
    DROPPED.contains(&name)
}

/// Methods that take a closure whose result is a condition.
const JUDGES: [&str; 17] = [
    "any",
    "all",
    "filter",
    "find",
    "position",
    "rposition",
    "retain",
    "take_while",
    "skip_while",
    "is_some_and",
    "is_none_or",
    "is_ok_and",
    "is_err_and",
    "partition",
    "retain_mut",
    "extract_if",
    "map_while",
];

/// Whether the closure that this method takes returns a condition.
pub(super) fn judges(name: &str) -> bool {
    JUDGES.contains(&name)
}

/// Methods of other crates that return a truth value.
const TRUTHS: [&str; 14] = [
    "is_some",
    "is_none",
    "is_ok",
    "is_err",
    "is_empty",
    "contains",
    "contains_key",
    "starts_with",
    "ends_with",
    "any",
    "all",
    "is_some_and",
    "is_none_or",
    "is_ok_and",
];

/// Whether this method returns a truth value.
pub(super) fn is_truth(name: &str, facts: &Facts) -> bool {
    TRUTHS.contains(&name) || facts.bools.contains(name)
}

/// Operators that replace an operator. If the comparison is a condition, it is also replaced as a whole, and only its
/// bound is changed.
pub(super) fn operators(of: &BinOp, is_condition: bool) -> Vec<&'static str> {
    let (bound, negation) = match of {
        BinOp::Lt(_) => (Some("<="), Some(">=")),
        BinOp::Le(_) => (Some("<"), Some(">")),
        BinOp::Gt(_) => (Some(">="), Some("<=")),
        BinOp::Ge(_) => (Some(">"), Some("<")),
        BinOp::Eq(_) => (None, Some("!=")),
        BinOp::Ne(_) => (None, Some("==")),
        _ => return arithmetic(of).into_iter().collect(),
    };
    bound.into_iter().chain(negation.filter(|_| !is_condition)).collect()
}

fn arithmetic(of: &BinOp) -> Option<&'static str> {
    Some(match of {
        BinOp::Add(_) => "-",
        BinOp::Sub(_) => "+",
        BinOp::Mul(_) => "+",
        BinOp::Div(_) => "*",
        BinOp::Rem(_) => "/",
        BinOp::And(_) => "||",
        BinOp::Or(_) => "&&",
        BinOp::Shl(_) => ">>",
        BinOp::Shr(_) => "<<",
        BinOp::BitAnd(_) => "|",
        BinOp::BitOr(_) => "&",
        BinOp::BitXor(_) => "&",
        BinOp::AddAssign(_) => "-=",
        BinOp::SubAssign(_) => "+=",
        BinOp::MulAssign(_) => "+=",
        BinOp::BitOrAssign(_) => "&=",
        BinOp::BitAndAssign(_) => "|=",
        _ => return None,
    })
}

/// Whether the operator assigns.
pub(super) fn assigns(of: &BinOp) -> bool {
    matches!(
        of,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}

/// Numbers from which on a number is doubled and not increased: one more millisecond is no slip.
const DOUBLED_FROM: u64 = 16;

/// Larger numbers are those of hashes: doubled, they would overflow.
const DOUBLED_TO: u64 = u64::MAX / 4;

/// What replaces a number that is written as `text`.
pub(super) fn numbers(text: &str, value: Option<u64>) -> Vec<String> {
    let more = match value {
        Some(value) if (DOUBLED_FROM..DOUBLED_TO).contains(&value) => format!("{text} * 2"),
        Some(_) | None => format!("{text} + 1"),
    };
    let mut all = vec![more];
    if value != Some(0) {
        all.push("0".to_owned());
    }
    all
}

/// Values that a function of this type could return without doing anything, as expressions.
pub(super) fn defaults(of: &ReturnType, facts: &Facts) -> Vec<String> {
    match of {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, of) => values(of, facts),
    }
}

fn values(of: &Type, facts: &Facts) -> Vec<String> {
    let some = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    if is_integer(of) {
        return some(&["0", "1"]);
    }
    if let Type::Tuple(tuple) = of {
        return if tuple.elems.is_empty() { some(&["()"]) } else { Vec::new() };
    }
    let Some(name) = type_name(of) else { return Vec::new() };
    match name.as_str() {
        "bool" => some(&["true", "false"]),
        "Option" => some(&["None"]),
        "Vec" => some(&["Vec::new()"]),
        "String" => some(&["String::new()"]),
        "Result" => {
            let inner = type_argument(of).map(|of| values(of, facts)).unwrap_or_default();
            inner.into_iter().map(|value| format!("Ok({value})")).collect()
        }
        name => {
            let variants = facts.enums.get(name).into_iter().flatten().take(2);
            variants.map(|variant| format!("{name}::{variant}")).collect()
        }
    }
}
