use super::expression::Expression;
use super::filter::{Filter, Number, Question, Sign, Source};
use super::token::{Token, tokens};
use super::words::Words;

/// How deep brackets may stand in each other.
const DEPTH_MAX: usize = 64;

/// What a part of a filter is.
enum Part {
    Said(Filter),
    Text(Source),
    Number(Number),
}

/// Reads a filter of Betterleaks: what its functions `entropy`, `matchesAny` and `containsAny` say, and comparisons of texts, of
/// what was found and of where (<https://github.com/betterleaks/betterleaks/blob/main/docs/config.md>).
///
/// # Errors
/// The first thing in it that is not read here: `failsTokenEfficiency`, what asks the net, what sets something.
pub(super) fn read(text: &str) -> Result<Filter, String> {
    let mut clause = Clause { tokens: tokens(text)?, at: 0 };
    let filter = clause.any(0)?;
    match (clause.next(), filter) {
        (None, Part::Said(filter)) => Ok(filter),
        (None, _) => Err("says neither true nor false".to_owned()),
        (Some(token), _) => Err(unread(&token)),
    }
}

struct Clause {
    tokens: Vec<Token>,
    at: usize,
}

fn unread(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("has '{word}', which is not read here"),
        Token::Sign(sign) => format!("has '{sign}' where it is not read"),
        Token::Other(sign) => format!("has '{sign}', which is not read here"),
        Token::Text(_) | Token::Number(_) => "has a value where it is not read".to_owned(),
    }
}

fn said(part: Part) -> Result<Filter, String> {
    match part {
        Part::Said(filter) => Ok(filter),
        Part::Text(_) | Part::Number(_) => Err("has a value where it asks whether".to_owned()),
    }
}

impl Clause {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let taken = match self.tokens.get(self.at) {
            Some(Token::Sign(here)) => *here == sign,
            Some(Token::Word(here)) => here == sign,
            Some(Token::Text(_) | Token::Number(_) | Token::Other(_)) | None => false,
        };
        self.at += usize::from(taken);
        taken
    }

    fn wants(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("has no '{sign}' where one belongs")) }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            Some(token) => Err(unread(&token)),
            None => Err("ends too early".to_owned()),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Part, String> {
        let first = self.all(depth)?;
        if !self.takes("||") && !self.takes("or") {
            return Ok(first);
        }
        let mut all = vec![said(first)?];
        loop {
            all.push(said(self.all(depth)?)?);
            if !self.takes("||") && !self.takes("or") {
                return Ok(Part::Said(Filter::Any(all)));
            }
        }
    }

    fn all(&mut self, depth: usize) -> Result<Part, String> {
        let first = self.not(depth)?;
        if !self.takes("&&") && !self.takes("and") {
            return Ok(first);
        }
        let mut all = vec![said(first)?];
        loop {
            all.push(said(self.not(depth)?)?);
            if !self.takes("&&") && !self.takes("and") {
                return Ok(Part::Said(Filter::All(all)));
            }
        }
    }

    fn not(&mut self, depth: usize) -> Result<Part, String> {
        let mut denied = false;
        // `not` binds less than a comparison, `!` more: of what is read here only whole questions can be denied.
        let word = self.tokens.get(self.at) == Some(&Token::Word("not".to_owned()));
        while self.takes("!") || self.takes("not") {
            denied = !denied;
        }
        if denied && !word {
            let one = said(self.one(depth)?)?;
            return Ok(Part::Said(Filter::Not(Box::new(one))));
        }
        let part = self.compared(depth)?;
        Ok(if denied { Part::Said(Filter::Not(Box::new(said(part)?))) } else { part })
    }

    /// One thing, or two that are compared.
    fn compared(&mut self, depth: usize) -> Result<Part, String> {
        let one = self.one(depth)?;
        let sign = match self.tokens.get(self.at) {
            Some(Token::Sign("<")) => Sign::Less,
            Some(Token::Sign("<=")) => Sign::AtMost,
            Some(Token::Sign(">")) => Sign::More,
            Some(Token::Sign(">=")) => Sign::AtLeast,
            Some(Token::Sign("==")) => Sign::Equal,
            Some(Token::Sign("!=")) => Sign::Unequal,
            Some(Token::Word(word)) => {
                let word = word.clone();
                return self.asked(one, &word, depth);
            }
            Some(Token::Sign(_) | Token::Text(_) | Token::Number(_) | Token::Other(_)) | None => {
                return Ok(one);
            }
        };
        self.next();
        let filter = match (one, sign, self.one(depth)?) {
            (Part::Number(one), _, Part::Number(other)) => Filter::Compare(one, sign, other),
            (Part::Text(one), Sign::Equal, Part::Text(other)) => Filter::Ask(one, Question::Equals, other),
            (Part::Text(one), Sign::Unequal, Part::Text(other)) => {
                Filter::Not(Box::new(Filter::Ask(one, Question::Equals, other)))
            }
            _ => return Err("compares what is not compared here".to_owned()),
        };
        Ok(Part::Said(filter))
    }

    /// One thing, with a word behind it that may ask something of it.
    fn asked(&mut self, one: Part, word: &str, depth: usize) -> Result<Part, String> {
        let question = match word {
            "contains" => Some(Question::Contains),
            "startsWith" => Some(Question::Begins),
            "endsWith" => Some(Question::Ends),
            "matches" | "in" => None,
            _ => return Ok(one),
        };
        self.next();
        let Part::Text(one) = one else { return Err(format!("has '{word}' behind what is no text")) };
        let filter = match (question, word) {
            (Some(question), _) => match self.one(depth)? {
                Part::Text(other) => Filter::Ask(one, question, other),
                Part::Said(_) | Part::Number(_) => return Err(format!("has no text behind '{word}'")),
            },
            (None, "matches") => Filter::Matches(one, vec![expression(&self.text()?)?]),
            (None, _) => {
                let ask = |text| Filter::Ask(one.clone(), Question::Equals, Source::Given(text));
                Filter::Any(self.list()?.into_iter().map(ask).collect())
            }
        };
        Ok(Part::Said(filter))
    }

    fn one(&mut self, depth: usize) -> Result<Part, String> {
        if depth > DEPTH_MAX {
            return Err(format!("has more than {DEPTH_MAX} brackets in each other"));
        }
        let part = match self.next() {
            Some(Token::Text(text)) => Part::Text(Source::Given(text)),
            Some(Token::Number(number)) => Part::Number(Number::Given(number)),
            Some(Token::Sign("(")) => {
                let part = self.any(depth + 1)?;
                self.wants(")")?;
                part
            }
            Some(Token::Word(word)) => self.named(&word, depth)?,
            Some(token) => return Err(unread(&token)),
            None => return Err("ends too early".to_owned()),
        };
        let asks = self.tokens.get(self.at) == Some(&Token::Sign("."));
        match part {
            Part::Text(source) if asks => {
                self.next();
                self.method(source)
            }
            Part::Said(_) | Part::Text(_) | Part::Number(_) => Ok(part),
        }
    }

    fn named(&mut self, word: &str, depth: usize) -> Result<Part, String> {
        match word {
            "true" | "false" => Ok(Part::Said(Filter::Always(word == "true"))),
            "finding" => Ok(Part::Text(of_finding(&self.key()?)?)),
            "attributes" => {
                let key = self.key()?;
                let source = of_place(&key)?;
                if self.takes("??") && !self.text()?.is_empty() {
                    return Err("puts a value in the place of one that is not there".to_owned());
                }
                Ok(Part::Text(source))
            }
            "get" => {
                self.wants("(")?;
                let place = self.takes("attributes");
                if !place && !self.takes("finding") {
                    return Err("takes something of what is neither attributes nor finding".to_owned());
                }
                self.wants(",")?;
                let key = self.text()?;
                if self.takes(",") && !self.text()?.is_empty() {
                    return Err("puts a value in the place of one that is not there".to_owned());
                }
                self.wants(")")?;
                Ok(Part::Text(if place { of_place(&key)? } else { of_finding(&key)? }))
            }
            "filter" => {
                self.wants(".")?;
                match self.next() {
                    Some(Token::Word(word)) => self.call(&word, depth),
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
                Some(Token::Word(word)) => Ok(word),
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
                return Err("puts a value in the place of one that is not there".to_owned());
            }
            self.wants(")")?;
        }
        Ok(key)
    }

    fn call(&mut self, name: &str, depth: usize) -> Result<Part, String> {
        if !matches!(name, "entropy" | "matchesAny" | "containsAny") {
            return Err(format!("has '{name}', which is not read here"));
        }
        self.wants("(")?;
        let Part::Text(of) = self.one(depth + 1)? else {
            return Err(format!("asks '{name}' of what is no text"));
        };
        let part = if name == "entropy" {
            Part::Number(Number::Entropy(of))
        } else {
            self.wants(",")?;
            let list = self.list()?;
            Part::Said(if name == "matchesAny" {
                Filter::Matches(of, list.iter().map(|text| expression(text)).collect::<Result<_, _>>()?)
            } else {
                Filter::Holds(of, Words::new(list))
            })
        };
        self.wants(")")?;
        Ok(part)
    }

    /// What CEL writes behind a text.
    fn method(&mut self, of: Source) -> Result<Part, String> {
        let Some(Token::Word(name)) = self.next() else { return Err("has a . without a name".to_owned()) };
        self.wants("(")?;
        let text = self.text()?;
        self.wants(")")?;
        let question = match name.as_str() {
            "startsWith" => Question::Begins,
            "endsWith" => Question::Ends,
            "contains" => Question::Contains,
            "matches" => return Ok(Part::Said(Filter::Matches(of, vec![expression(&text)?]))),
            _ => return Err(format!("has '{name}', which is not read here")),
        };
        Ok(Part::Said(Filter::Ask(of, question, Source::Given(text))))
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
        _ => Err(format!("asks the finding for '{key}', which is not known here")),
    }
}

fn of_place(key: &str) -> Result<Source, String> {
    match key {
        "path" => Ok(Source::Path),
        "git.sha" => Ok(Source::Commit),
        _ => Err(format!("asks the attributes for '{key}', which is not known here")),
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    Expression::read(text).map_err(|why| format!("has an expression that {why}"))
}
