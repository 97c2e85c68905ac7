/// A part of a filter's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, or a word that compares.
    Word(String),
    /// What stood in quotes.
    Text(String),
    Number(f64),
    Sign(&'static str),
    /// A sign that nothing is made of that is read here.
    Other(char),
}

/// The longer ones first.
const SIGNS: [&str; 17] =
    ["||", "&&", "==", "!=", "<=", ">=", "??", "<", ">", "!", "(", ")", "[", "]", ",", ".", "?"];

/// Takes a filter's text apart: as Expr's (<https://expr-lang.org/docs/language-definition>), and with the quotes of CEL, which
/// Betterleaks had before.
///
/// # Errors
/// What is in neither, or does nothing but what is not read.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
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
            all.push(Token::Text(text));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
            all.push(Token::Number(number.parse().map_err(|_| "has a number that is none")?));
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            all.push(Token::Word(word.to_owned()));
            rest = after;
        } else {
            let sign = SIGNS.iter().find_map(|sign| Some((Token::Sign(sign), rest.strip_prefix(sign)?)));
            let other = (Token::Other(first), rest.get(first.len_utf8()..).unwrap_or_default());
            let (token, after) = sign.unwrap_or(other);
            all.push(token);
            rest = after;
        }
    }
}

/// A text in quotes that begins here, and what is behind it.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    if let Some(raw) = text.strip_prefix('`') {
        let (text, rest) = raw.split_once('`').ok_or("has quotes that do not end")?;
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
        let letter = letters.next().ok_or("has quotes that do not end")?;
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

/// The character that is written behind a backslash.
fn escape(text: &str) -> Result<(char, &str), String> {
    let mut letters = text.chars();
    let letter = letters.next().ok_or("has quotes that do not end")?;
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
