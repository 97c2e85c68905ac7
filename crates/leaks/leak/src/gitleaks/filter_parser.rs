use super::expression::Expression;
use super::filter::{Filter, Number, Predicate, Sign, Source};
use crate::gitleaks::filter_tokens::{FilterToken, tokens};
use crate::gitleaks::stopwords::Stopwords;

/// The deepest nesting of brackets.
const DEPTH_MAX: usize = 64;

/// A parsed part of a filter.
enum FilterPart {
    Said(Filter),
    SourceText(Source),
    Number(Number),
}

/// Parses a filter of Betterleaks: the functions `entropy`, `matchesAny` and `containsAny`, and comparisons of texts,
/// matches and locations (<https://github.com/betterleaks/betterleaks/blob/main/docs/config.md>).
///
/// # Errors The first unsupported part: `failsTokenEfficiency`, network calls, assignments.
pub(super) fn read(text: &str) -> Result<Filter, String> {
    let mut clause = FilterParser { tokens: tokens(text)?, at: 0 };
    let filter = clause.any(0)?;
    match (clause.next(), filter) {
        (None, FilterPart::Said(filter)) => Ok(filter),
        (None, _) => Err("is neither true nor false".to_owned()),
        (Some(token), _) => Err(unread(&token)),
    }
}

struct FilterParser {
    tokens: Vec<FilterToken>,
    at: usize,
}

fn unread(token: &FilterToken) -> String {
    match token {
        FilterToken::Word(word) => format!("has '{word}', which keyroll does not support"),
        FilterToken::Sign(sign) => format!("has '{sign}' in an unsupported place"),
        FilterToken::Other(sign) => format!("has '{sign}', which keyroll does not support"),
        FilterToken::SourceText(_) | FilterToken::Number(_) => {
            "has a value in an unsupported place".to_owned()
        }
    }
}

fn said(part: FilterPart) -> Result<Filter, String> {
    match part {
        FilterPart::Said(filter) => Ok(filter),
        FilterPart::SourceText(_) | FilterPart::Number(_) => {
            Err("has a value in place of a condition".to_owned())
        }
    }
}

impl FilterParser {
    fn next(&mut self) -> Option<FilterToken> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let taken = match self.tokens.get(self.at) {
            Some(FilterToken::Sign(here)) => *here == sign,
            Some(FilterToken::Word(here)) => here == sign,
            Some(FilterToken::SourceText(_) | FilterToken::Number(_) | FilterToken::Other(_)) | None => false,
        };
        self.at += usize::from(taken);
        taken
    }

    fn wants(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("lacks '{sign}'")) }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next() {
            Some(FilterToken::SourceText(text)) => Ok(text),
            Some(token) => Err(unread(&token)),
            None => Err("ends too early".to_owned()),
        }
    }

    fn any(&mut self, depth: usize) -> Result<FilterPart, String> {
        self.joined(depth, ["||", "or"], Self::all, Filter::Any)
    }

    fn all(&mut self, depth: usize) -> Result<FilterPart, String> {
        self.joined(depth, ["&&", "and"], Self::not, Filter::All)
    }

    /// One part, or several that are joined by a sign.
    fn joined(
        &mut self,
        depth: usize,
        signs: [&str; 2],
        part: fn(&mut Self, usize) -> Result<FilterPart, String>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<FilterPart, String> {
        let first = part(self, depth)?;
        if !signs.iter().any(|sign| self.takes(sign)) {
            return Ok(first);
        }
        let mut all = vec![said(first)?];
        loop {
            all.push(said(part(self, depth)?)?);
            if !signs.iter().any(|sign| self.takes(sign)) {
                return Ok(FilterPart::Said(join(all)));
            }
        }
    }

    fn not(&mut self, depth: usize) -> Result<FilterPart, String> {
        let mut denied = false;
        // `not` binds more weakly than a comparison, `!` more strongly: here only a whole predicate can be negated.
        let word = self.tokens.get(self.at) == Some(&FilterToken::Word("not".to_owned()));
        while self.takes("!") || self.takes("not") {
            denied = !denied;
        }
        if denied && !word {
            let one = said(self.one(depth)?)?;
            return Ok(FilterPart::Said(Filter::Not(Box::new(one))));
        }
        let part = self.compared(depth)?;
        Ok(if denied { FilterPart::Said(Filter::Not(Box::new(said(part)?))) } else { part })
    }

    /// Parses a term, or a comparison of two.
    fn compared(&mut self, depth: usize) -> Result<FilterPart, String> {
        let one = self.one(depth)?;
        let sign = match self.tokens.get(self.at) {
            Some(FilterToken::Sign("<")) => Sign::Less,
            Some(FilterToken::Sign("<=")) => Sign::AtMost,
            Some(FilterToken::Sign(">")) => Sign::More,
            Some(FilterToken::Sign(">=")) => Sign::AtLeast,
            Some(FilterToken::Sign("==")) => Sign::Equal,
            Some(FilterToken::Sign("!=")) => Sign::Unequal,
            Some(FilterToken::Word(word)) => {
                let word = word.clone();
                return self.asked(one, &word, depth);
            }
            Some(
                FilterToken::Sign(_)
                | FilterToken::SourceText(_)
                | FilterToken::Number(_)
                | FilterToken::Other(_),
            )
            | None => {
                return Ok(one);
            }
        };
        self.next();
        let filter = match (one, sign, self.one(depth)?) {
            (FilterPart::Number(one), _, FilterPart::Number(other)) => Filter::Compare(one, sign, other),
            (FilterPart::SourceText(one), Sign::Equal, FilterPart::SourceText(other)) => {
                Filter::Ask(one, Predicate::Equals, other)
            }
            (FilterPart::SourceText(one), Sign::Unequal, FilterPart::SourceText(other)) => {
                Filter::Not(Box::new(Filter::Ask(one, Predicate::Equals, other)))
            }
            _ => return Err("has an unsupported comparison".to_owned()),
        };
        Ok(FilterPart::Said(filter))
    }

    /// Parses a term with the word after it, which may be a predicate.
    fn asked(&mut self, one: FilterPart, word: &str, depth: usize) -> Result<FilterPart, String> {
        let question = match word {
            "contains" => Some(Predicate::Contains),
            "startsWith" => Some(Predicate::Begins),
            "endsWith" => Some(Predicate::Ends),
            "matches" | "in" => None,
            _ => return Ok(one),
        };
        self.next();
        let FilterPart::SourceText(one) = one else {
            return Err(format!("has '{word}' after something that is not text"));
        };
        let filter = match (question, word) {
            (Some(question), _) => match self.one(depth)? {
                FilterPart::SourceText(other) => Filter::Ask(one, question, other),
                FilterPart::Said(_) | FilterPart::Number(_) => {
                    return Err(format!("has no text after '{word}'"));
                }
            },
            (None, "matches") => Filter::Matches(one, vec![expression(&self.text()?)?]),
            (None, _) => {
                let ask = |text| Filter::Ask(one.clone(), Predicate::Equals, Source::Given(text));
                Filter::Any(self.list()?.into_iter().map(ask).collect())
            }
        };
        Ok(FilterPart::Said(filter))
    }

    fn one(&mut self, depth: usize) -> Result<FilterPart, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nests more than {DEPTH_MAX} brackets"));
        }
        let part = match self.next() {
            Some(FilterToken::SourceText(text)) => FilterPart::SourceText(Source::Given(text)),
            Some(FilterToken::Number(number)) => FilterPart::Number(Number::Given(number)),
            Some(FilterToken::Sign("(")) => {
                let part = self.any(depth + 1)?;
                self.wants(")")?;
                part
            }
            Some(FilterToken::Word(word)) => self.named(&word, depth)?,
            Some(token) => return Err(unread(&token)),
            None => return Err("ends too early".to_owned()),
        };
        let asks = self.tokens.get(self.at) == Some(&FilterToken::Sign("."));
        match part {
            FilterPart::SourceText(source) if asks => {
                self.next();
                self.method(source)
            }
            FilterPart::Said(_) | FilterPart::SourceText(_) | FilterPart::Number(_) => Ok(part),
        }
    }

    fn named(&mut self, word: &str, depth: usize) -> Result<FilterPart, String> {
        match word {
            "true" | "false" => Ok(FilterPart::Said(Filter::Always(word == "true"))),
            "finding" => Ok(FilterPart::SourceText(of_finding(&self.key()?)?)),
            "attributes" => {
                let key = self.key()?;
                let source = of_place(&key)?;
                if self.takes("??") && !self.text()?.is_empty() {
                    return Err("substitutes a default for a missing value".to_owned());
                }
                Ok(FilterPart::SourceText(source))
            }
            "get" => {
                self.wants("(")?;
                let place = self.takes("attributes");
                if !place && !self.takes("finding") {
                    return Err("accesses something other than attributes and finding".to_owned());
                }
                self.wants(",")?;
                let key = self.text()?;
                if self.takes(",") && !self.text()?.is_empty() {
                    return Err("substitutes a default for a missing value".to_owned());
                }
                self.wants(")")?;
                Ok(FilterPart::SourceText(if place { of_place(&key)? } else { of_finding(&key)? }))
            }
            "filter" => {
                self.wants(".")?;
                match self.next() {
                    Some(FilterToken::Word(word)) => self.call(&word, depth),
                    _ => Err("has 'filter' without a function".to_owned()),
                }
            }
            _ => self.call(word, depth),
        }
    }

    /// `.key`, `["key"]` or, in CEL, `[?"key"].orValue("")`.
    fn key(&mut self) -> Result<String, String> {
        if self.takes(".") {
            return match self.next() {
                Some(FilterToken::Word(word)) => Ok(word),
                _ => Err("has a . without a name".to_owned()),
            };
        }
        self.wants("[")?;
        let optional = self.takes("?");
        let key = self.text()?;
        self.wants("]")?;
        if optional {
            self.wants(".")?;
            self.wants("orValue")?;
            self.wants("(")?;
            if !self.text()?.is_empty() {
                return Err("substitutes a default for a missing value".to_owned());
            }
            self.wants(")")?;
        }
        Ok(key)
    }

    fn call(&mut self, name: &str, depth: usize) -> Result<FilterPart, String> {
        if !matches!(name, "entropy" | "matchesAny" | "containsAny") {
            return Err(format!("has '{name}', which keyroll does not support"));
        }
        self.wants("(")?;
        let FilterPart::SourceText(of) = self.one(depth + 1)? else {
            return Err(format!("applies '{name}' to something that is not text"));
        };
        let part = if name == "entropy" {
            FilterPart::Number(Number::Entropy(of))
        } else {
            self.wants(",")?;
            let list = self.list()?;
            FilterPart::Said(if name == "matchesAny" {
                Filter::Matches(of, list.iter().map(|text| expression(text)).collect::<Result<_, _>>()?)
            } else {
                Filter::Holds(of, Stopwords::new(list))
            })
        };
        self.wants(")")?;
        Ok(part)
    }

    /// Parses a method of CEL after a text.
    fn method(&mut self, of: Source) -> Result<FilterPart, String> {
        let Some(FilterToken::Word(name)) = self.next() else {
            return Err("has a . without a name".to_owned());
        };
        self.wants("(")?;
        let text = self.text()?;
        self.wants(")")?;
        let question = match name.as_str() {
            "startsWith" => Predicate::Begins,
            "endsWith" => Predicate::Ends,
            "contains" => Predicate::Contains,
            "matches" => return Ok(FilterPart::Said(Filter::Matches(of, vec![expression(&text)?]))),
            _ => return Err(format!("has '{name}', which keyroll does not support")),
        };
        Ok(FilterPart::Said(Filter::Ask(of, question, Source::Given(text))))
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        self.wants("[")?;
        let mut all = Vec::new();
        while !self.takes("]") {
            all.push(self.text()?);
            if !self.takes(",") {
                self.wants("]")?;
                break;
            }
        }
        Ok(all)
    }
}

fn of_finding(key: &str) -> Result<Source, String> {
    match key {
        "secret" => Ok(Source::Secret),
        "match" => Ok(Source::Match),
        "line" => Ok(Source::Line),
        "rule_id" => Ok(Source::Rule),
        "description" => Ok(Source::Description),
        _ => Err(format!("uses the unknown field '{key}' of the finding")),
    }
}

fn of_place(key: &str) -> Result<Source, String> {
    match key {
        "path" => Ok(Source::Path),
        "git.sha" => Ok(Source::Commit),
        _ => Err(format!("uses the unknown attribute '{key}'")),
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    Expression::read(text).map_err(|why| format!("has an expression that {why}"))
}
