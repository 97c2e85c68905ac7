use super::entropy;
use super::expression::Expression;
use super::seen::Seen;
use super::words::Words;

/// A text that a filter asks of.
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

/// A number that a filter compares.
pub(super) enum Number {
    Given(f64),
    Entropy(Source),
}

/// How two numbers are compared.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// How two texts are compared.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Equals,
    Contains,
    Begins,
    Ends,
}

/// What is passed over, as Betterleaks writes it: the part of its expressions that says what something is, and does nothing.
pub(super) enum Filter {
    Always(bool),
    Not(Box<Filter>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Compare(Number, Sign, Number),
    Ask(Source, Question, Source),
    Matches(Source, Vec<Expression>),
    Holds(Source, Words),
}

impl Filter {
    /// Whether what was found is passed over.
    pub(super) fn passes(&self, seen: &Seen<'_>) -> bool {
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
                    Question::Equals => one == other,
                    Question::Contains => memchr::memmem::find(one, other).is_some(),
                    Question::Begins => one.starts_with(other),
                    Question::Ends => one.ends_with(other),
                }
            }
            Self::Matches(source, all) => {
                let (text, wide) = (source.of(seen), source.is_wide(seen));
                all.iter().any(|expression| expression.is_in(text, wide))
            }
            Self::Holds(source, words) => words.are_in(source.of(seen)),
        }
    }

    /// Whether it asks only where something is.
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

    /// How many states its expressions take at most, about.
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
    fn of(&self, seen: &Seen<'_>) -> f64 {
        match self {
            Self::Given(number) => *number,
            Self::Entropy(source) => entropy::of_bytes(source.of(seen)),
        }
    }
}

impl Source {
    fn of<'a>(&'a self, seen: &Seen<'a>) -> &'a [u8] {
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

    /// Parts of the text count as the text does.
    fn is_wide(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Secret | Self::Match | Self::Line => seen.wide,
            Self::Given(_) | Self::Rule | Self::Description | Self::Path | Self::Commit => {
                !self.of(seen).is_ascii()
            }
        }
    }
}
