use std::ops::Range;

use crate::candidates::{By, Candidate};
use crate::plain::is_distinct;

/// The longest password or token without a form of its own, bytes.
const VALUE_BYTES_MAX: usize = 512;

/// The longest word of a language that is taken for one, bytes.
const WORD_BYTES_MAX: usize = 16;

/// The most digits in a row that number something, as those of a year do.
const NUMBER_BYTES_MAX: usize = 4;

/// What is written around the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Settings: what stands behind a name is its value.
    Settings,
    /// A program, or nobody knows: what is not between quotes is the name of something.
    Program,
}

impl Candidate<'_> {
    /// Whether a value that no rule knows is likely a secret, where nothing says that it is in use. Programs give secrets'
    /// names to labels, fields and other variables far more often than to secrets.
    pub fn is_likely(&self, text: &[u8], within: Text) -> bool {
        let Some(value) = text.get(self.span.clone()) else { return false };
        let written = value.len() <= VALUE_BYTES_MAX && value.iter().all(u8::is_ascii_graphic);
        if self.rule.is_some() {
            return true;
        }
        let told = match (self.by, within) {
            (By::Form | By::Place, _) | (By::Name, Text::Settings) => true,
            (By::Name, Text::Program) => is_quoted(text, &self.span),
        };
        let words = match within {
            Text::Settings => is_name(value),
            Text::Program => is_made_of_words(value),
        };
        written && told && is_distinct(value) && !words && !is_code(value)
    }
}

fn is_quoted(text: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).and_then(|at| text.get(at));
    let quote = before.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    quote.is_some() && text.get(span.end) == quote
}

/// Letters alone, in words: `response.access_token`, `PrimaryApiKey`.
fn is_name(value: &[u8]) -> bool {
    let letters = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/');
    value.iter().all(letters) && is_made_of_words(value)
}

/// Whether nothing in it is random: words, with numbers behind them.
fn is_made_of_words(value: &[u8]) -> bool {
    value.split(|byte| !byte.is_ascii_alphanumeric()).all(|run| {
        let letters = run.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, number) = run.split_at_checked(letters).unwrap_or((run, &[]));
        number.iter().all(u8::is_ascii_digit) && number.len() <= NUMBER_BYTES_MAX && is_words(word)
    })
}

/// `token`, `Token`, `TOKEN`, `accessToken`.
fn is_words(letters: &[u8]) -> bool {
    let one_case = letters.iter().all(u8::is_ascii_uppercase) || letters.iter().all(u8::is_ascii_lowercase);
    if one_case {
        return letters.len() <= WORD_BYTES_MAX;
    }
    // Where a capital stands a word begins: in random letters every second one is.
    let capitals = letters.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let words = letters.split(u8::is_ascii_uppercase);
    letters.len() >= 3 * capitals && words.clone().all(|word| word.len() < WORD_BYTES_MAX)
}

/// What a program computes, or a template fills in.
fn is_code(value: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(value, word).is_some();
    [b"${".as_slice(), b"{{", b"%s", b"()", b"->", b"=>", b"::", b"</", b"{}", b"\\n", b"&&", b"||"]
        .iter()
        .any(|word| has(word))
        || value.starts_with(b"(")
        || value.starts_with(b"[")
        || value.starts_with(b"{") && value.ends_with(b"}")
        || value.starts_with(b"<") && value.ends_with(b">")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rules, in_text};

    fn likely(line: &str, within: Text) -> Vec<&str> {
        let rules = Rules::shipped().unwrap();
        let all = in_text(line.as_bytes(), rules).into_iter();
        all.filter(|one| one.is_likely(line.as_bytes(), within)).map(|one| &line[one.span]).collect()
    }

    #[test]
    fn a_password_in_settings_and_between_quotes_is_likely() {
        for (line, value) in [
            ("DB_PASSWORD=kD93hfQ0plm4\n", "kD93hfQ0plm4"),
            ("password: tr0ub4dor&3\n", "tr0ub4dor&3"),
            ("spring.datasource.password=S0mmer-2024!x\n", "S0mmer-2024!x"),
        ] {
            assert_eq!(likely(line, Text::Settings), [value], "{line}");
        }
        assert_eq!(likely("api_key = \"8f3kQz71LmP0\"\n", Text::Program), ["8f3kQz71LmP0"]);
        assert_eq!(likely("db = 'mysql://app:kD93hfQ0plm4@db/x'\n", Text::Program), ["kD93hfQ0plm4"]);
    }

    #[test]
    fn what_programs_call_so_is_not() {
        for line in [
            "password = get_password(user_of_the_day)\n",
            "self.token = response.access_token_2\n",
            "token: Option<AccessTokenOfUser>,\n",
            "label_password = \"PasswordFieldOfTheForm\"\n",
            "secret = \"my-secret-name-2024\"\n",
            "password: \"{{ vault_password_42 }}\"\n",
            "KEY_PASSWORD = kD93hfQ0plm4.value9\n",
            "const TOKEN_KEY = 'auth.token.v2'\n",
        ] {
            assert!(likely(line, Text::Program).is_empty(), "{line}");
        }
        for line in ["password: response.access_token\n", "api_key: PrimaryApiKeyOfTheTeam\n"] {
            assert!(likely(line, Text::Settings).is_empty(), "{line}");
        }
    }
}
