/// A token of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FilterToken {
    /// A name or an operator.
    Word(String),
    /// The content of quotes.
    SourceText(String),
    Number(f64),
    Sign(&'static str),
    /// A character without a meaning here.
    Other(char),
}

/// The longer ones first.
const SIGNS: [&str; 17] =
    ["||", "&&", "==", "!=", "<=", ">=", "??", "<", ">", "!", "(", ")", "[", "]", ",", ".", "?"];

/// Splits a filter into tokens: in the syntax of Expr (<https://expr-lang.org/docs/language-definition>), and with
/// the quotes of CEL, which older versions of Betterleaks use.
///
/// # Errors Syntax of neither, or without support.
pub(super) fn tokens(text: &str) -> Result<Vec<FilterToken>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(all) };
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else if let Some((text, after)) = quoted(rest)? {
            all.push(FilterToken::SourceText(text));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
            all.push(FilterToken::Number(number.parse().map_err(|_| "has a malformed number")?));
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            all.push(FilterToken::Word(word.to_owned()));
            rest = after;
        } else {
            let sign =
                SIGNS.iter().find_map(|sign| Some((FilterToken::Sign(sign), rest.strip_prefix(sign)?)));
            let other = (FilterToken::Other(first), rest.get(first.len_utf8()..).unwrap_or_default());
            let (token, after) = sign.unwrap_or(other);
            all.push(token);
            rest = after;
        }
    }
}

/// Parses a text in quotes; returns the rest.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    if let Some(raw) = text.strip_prefix('`') {
        let (text, rest) = raw.split_once('`').ok_or("has unclosed quotes")?;
        return Ok(Some((text.to_owned(), rest)));
    }
    let (raw, text) = text.strip_prefix(['r', 'R']).map_or((false, text), |text| (true, text));
    let quotes = [r#"""""#, "'''", "\"", "'"];
    let begins = quotes.iter().find_map(|quote| Some((*quote, text.strip_prefix(quote)?)));
    let Some((quote, inner)) = begins else { return Ok(None) };
    let mut read = String::new();
    let mut rest = inner;
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            return Ok(Some((read, after)));
        }
        let mut letters = rest.chars();
        let letter = letters.next().ok_or("has unclosed quotes")?;
        rest = letters.as_str();
        if letter != '\\' || raw {
            read.push(letter);
            continue;
        }
        let (escaped, after) = escape(rest)?;
        read.push(escaped);
        rest = after;
    }
}

/// Parses the character after a backslash.
fn escape(text: &str) -> Result<(char, &str), String> {
    let mut letters = text.chars();
    let letter = letters.next().ok_or("has unclosed quotes")?;
    let rest = letters.as_str();
    let digits = match letter {
        'a' => return Ok(('\x07', rest)),
        'b' => return Ok(('\x08', rest)),
        'f' => return Ok(('\x0C', rest)),
        'n' => return Ok(('\n', rest)),
        'r' => return Ok(('\r', rest)),
        't' => return Ok(('\t', rest)),
        'v' => return Ok(('\x0B', rest)),
        '\\' | '"' | '\'' | '`' | '?' => return Ok((letter, rest)),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Err(format!(r"has the escape \{letter} in quotes")),
    };
    let number = rest.get(..digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
    let letter = number.ok_or_else(|| format!(r"has an escape \{letter} that names no character"))?;
    Ok((letter, rest.get(digits..).unwrap_or_default()))
}
