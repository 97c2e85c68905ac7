use super::entropy;
use super::expression::Expression;
use crate::gitleaks::match_context::MatchContext;
use crate::gitleaks::stopwords::Stopwords;

/// A text in a filter.
#[derive(Clone)]
pub(super) enum Source {
    Given(String),
    Secret,
    Match,
    Line,
    Rule,
    Description,
    Path,
    Commit,
}

/// A number in a filter.
pub(super) enum Number {
    Given(f64),
    Entropy(Source),
}

/// A comparison of numbers.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// A comparison of texts.
#[derive(Clone, Copy)]
pub(super) enum Predicate {
    Equals,
    Contains,
    Begins,
    Ends,
}

/// A filter of Betterleaks: the part of its expressions that describes a match and has no effects.
pub(super) enum Filter {
    Always(bool),
    Not(Box<Filter>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Compare(Number, Sign, Number),
    Ask(Source, Predicate, Source),
    Matches(Source, Vec<Expression>),
    Holds(Source, Stopwords),
}

impl Filter {
    /// Whether it filters a match out.
    pub(super) fn passes(&self, seen: &MatchContext<'_>) -> bool {
        match self {
            Self::Always(said) => *said,
            Self::Not(filter) => !filter.passes(seen),
            Self::All(all) => all.iter().all(|filter| filter.passes(seen)),
            Self::Any(all) => all.iter().any(|filter| filter.passes(seen)),
            Self::Compare(one, sign, other) => {
                let (one, other) = (one.of(seen), other.of(seen));
                match sign {
                    Sign::Less => one < other,
                    Sign::AtMost => one <= other,
                    Sign::More => one > other,
                    Sign::AtLeast => one >= other,
                    Sign::Equal => one == other,
                    Sign::Unequal => one != other,
                }
            }
            Self::Ask(one, question, other) => {
                let (one, other) = (one.of(seen), other.of(seen));
                match question {
                    Predicate::Equals => one == other,
                    Predicate::Contains => memchr::memmem::find(one, other).is_some(),
                    Predicate::Begins => one.starts_with(other),
                    Predicate::Ends => one.ends_with(other),
                }
            }
            Self::Matches(source, all) => {
                let (text, wide) = (source.of(seen), source.is_wide(seen));
                all.iter().any(|expression| expression.is_in(text, wide))
            }
            Self::Holds(source, words) => words.are_in(source.of(seen)),
        }
    }

    /// Whether it depends only on the location.
    pub(super) fn asks_the_place(&self) -> bool {
        let place = |source: &Source| matches!(source, Source::Given(_) | Source::Path | Source::Commit);
        let number = |number: &Number| match number {
            Number::Given(_) => true,
            Number::Entropy(source) => place(source),
        };
        match self {
            Self::Always(_) => true,
            Self::Not(filter) => filter.asks_the_place(),
            Self::All(all) | Self::Any(all) => all.iter().all(Self::asks_the_place),
            Self::Compare(one, _, other) => number(one) && number(other),
            Self::Ask(one, _, other) => place(one) && place(other),
            Self::Matches(source, _) | Self::Holds(source, _) => place(source),
        }
    }

    /// About the most states of its expressions.
    pub(super) fn states(&self) -> usize {
        match self {
            Self::Not(filter) => filter.states(),
            Self::All(all) | Self::Any(all) => all.iter().map(Self::states).fold(0, usize::saturating_add),
            Self::Matches(_, all) => all.iter().map(Expression::states).fold(0, usize::saturating_add),
            Self::Always(_) | Self::Compare(..) | Self::Ask(..) | Self::Holds(..) => 0,
        }
    }
}

impl Number {
    fn of(&self, seen: &MatchContext<'_>) -> f64 {
        match self {
            Self::Given(number) => *number,
            Self::Entropy(source) => entropy::of_bytes(source.of(seen)),
        }
    }
}

impl Source {
    fn of<'a>(&'a self, seen: &MatchContext<'a>) -> &'a [u8] {
        match self {
            Self::Given(text) => text.as_bytes(),
            Self::Secret => seen.secret,
            Self::Match => seen.matched,
            Self::Line => seen.line,
            Self::Rule => seen.rule.as_bytes(),
            Self::Description => seen.description.as_bytes(),
            Self::Path => seen.path.as_bytes(),
            Self::Commit => seen.commit.as_bytes(),
        }
    }

    /// A part of a text counts in the same units as the text.
    fn is_wide(&self, seen: &MatchContext<'_>) -> bool {
        match self {
            Self::Secret | Self::Match | Self::Line => seen.wide,
            Self::Given(_) | Self::Rule | Self::Description | Self::Path | Self::Commit => {
                !self.of(seen).is_ascii()
            }
        }
    }
}
