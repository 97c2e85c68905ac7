use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::gitleaks::go_syntax::translate;

/// The memory for lazily built states of one expression, bytes; beyond it, searching slows down.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// An expression in Go's syntax. Compiled on first use, because most runs use few.
pub(super) struct Expression {
    narrow: String,
    wide: String,
    groups: usize,
    states: usize,
    of_bytes: OnceLock<Option<Regex>>,
    of_characters: OnceLock<Option<Regex>>,
}

/// Whether non-ASCII characters are counted as characters: in valid UTF-8 with some.
pub(super) fn is_wide(text: &[u8]) -> bool {
    !text.is_ascii() && std::str::from_utf8(text).is_ok()
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors The defect, without the expression: allowlists contain values.
    pub(super) fn read(go: &str) -> Result<Self, String> {
        let written = translate(go)?;
        // The other version differs only in its classes.
        if syntax::parse_with(&written.narrow, &bytes()).is_err() {
            return Err("is not valid in Go's syntax, for example a repetition of nothing".to_owned());
        }
        Ok(Self {
            narrow: written.narrow,
            wide: written.wide,
            groups: written.groups,
            states: written.states,
            of_bytes: OnceLock::new(),
            of_characters: OnceLock::new(),
        })
    }

    /// The number of capture groups.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Whether both versions can be parsed, for tests.
    #[cfg(test)]
    fn is_readable(&self) -> bool {
        [&self.narrow, &self.wide].into_iter().all(|text| syntax::parse_with(text, &bytes()).is_ok())
    }

    /// About the most states that it needs.
    pub(super) fn states(&self) -> usize {
        self.states
    }

    /// Whether it matches anywhere in a text.
    pub(super) fn is_in(&self, text: &[u8], wide: bool) -> bool {
        self.compiled(wide).is_some_and(|regex| regex.is_match(text))
    }

    /// All non-empty matches in order, until `matched` returns enough.
    pub(super) fn each(&self, text: &[u8], wide: bool, matched: &mut dyn FnMut(Range<usize>) -> bool) {
        let Some(regex) = self.compiled(wide) else { return };
        for found in regex.find_iter(text).filter(|found| !found.is_empty()) {
            if !matched(found.range()) {
                return;
            }
        }
    }

    /// The range of a group in the first match; for 0 the first group that matched. `Some(None)` if the group did not
    /// match, `None` if nothing matched or nothing is captured.
    pub(super) fn group(&self, text: &[u8], wide: bool, number: usize) -> Option<Option<Range<usize>>> {
        if self.groups == 0 {
            return None;
        }
        let regex = self.compiled(wide)?;
        let mut groups = regex.create_captures();
        regex.captures(text, &mut groups);
        if !groups.is_match() {
            return None;
        }
        let holds = |number: usize| groups.get_group(number).filter(|span| !span.is_empty());
        let span = if number > 0 { holds(number) } else { (1..=self.groups).find_map(holds) };
        Some(span.map(|span| span.range()))
    }

    /// `None` cannot occur: the size was estimated when it was parsed.
    fn compiled(&self, wide: bool) -> Option<&Regex> {
        let compile = |text: &str| {
            let config = Regex::config().utf8_empty(false).nfa_size_limit(None);
            let config = config.hybrid_cache_capacity(CACHE_BYTES_MAX);
            Regex::builder().configure(config).syntax(bytes()).build(text).ok()
        };
        if wide && self.wide != self.narrow {
            self.of_characters.get_or_init(|| compile(&self.wide)).as_ref()
        } else {
            self.of_bytes.get_or_init(|| compile(&self.narrow)).as_ref()
        }
    }
}

fn bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

#[cfg(test)]
mod tests {
    use regex_automata::nfa::thompson;

    use super::*;

    fn matched(go: &str, text: &str) -> Vec<String> {
        let expression = Expression::read(go).unwrap();
        assert!(expression.is_readable(), "{go}");
        let mut all = Vec::new();
        let wide = is_wide(text.as_bytes());
        expression.each(text.as_bytes(), wide, &mut |span| {
            all.push(text[span].to_owned());
            true
        });
        all
    }

    /// The expected matches are from Go's documentation of `regexp/syntax`.
    #[test]
    fn expressions_mean_what_they_mean_to_go() {
        for (go, text, expected) in [
            // Braces that repeat nothing are literal.
            (r"^\$(?:\d+|{\d+})$", "${12}", vec!["${12}"]),
            (r"a{,2}b", "aab a{,2}b", vec!["a{,2}b"]),
            (r"a{01}", "a a{01}", vec!["a{01}"]),
            (r"a{2}b{1,}c{0,1}", "aabbc aab", vec!["aabbc", "aab"]),
            // Classes are not nested.
            (r"[a&&b]+", "a&&b c", vec!["a&&b"]),
            (r"[[a]+", "[[a b", vec!["[[a"]),
            (r"[]a]+", "]a b", vec!["]a"]),
            (r"[^]a]+", "]b-a", vec!["b-"]),
            (r"[a-z-9]+", "b-9 8", vec!["b-9"]),
            (r"[+--]+", "+,- .", vec!["+,-"]),
            (r"[\w.-]+", "a_1.-/", vec!["a_1.-"]),
            (r"[[:alpha:]_]+", "ab_1", vec!["ab_"]),
            (r"[[:^alpha:]]+", "ab12", vec!["12"]),
            (r"(?i)[[:upper:]]+", "aB1", vec!["aB"]),
            (r"[\]\-\\]+", r"a]-\", vec![r"]-\"]),
            // The vertical tab is white space only in POSIX.
            (r"a\sb", "a\x0Bb a\tb", vec!["a\tb"]),
            (r"a[[:space:]]b", "a\x0Bb", vec!["a\x0Bb"]),
            (r"a[^\s]b", "a\x0Bb a b", vec!["a\x0Bb"]),
            // Quotes, escapes, numbers.
            (r"\Qa.b(\E+", "a.b(( axb", vec!["a.b(("]),
            (r"\x41\x{42}\103\07", "ABC\x07", vec!["ABC\x07"]),
            (r"[\x60\x27]\/\_\<\>\-", "`/_<>-", vec!["`/_<>-"]),
            (r"\bkey\b{1}", "keys key", vec!["key"]),
            (r"a\z", "aa", vec!["a"]),
            // Flags hold until the end of their group, across alternatives.
            (r"a(?i)b|c", "aB C A", vec!["aB", "C"]),
            (r"(?:(?i)a)a", "Aa AA", vec!["Aa"]),
            (r"(?i:a)(?-i:b)", "Ab aB", vec!["Ab"]),
            (r"(?i)key(?-i:X)", "KEYX KEYx", vec!["KEYX"]),
            (r"(?m)^b$", "a\nb\nc", vec!["b"]),
            (r"^b$", "a\nb\nc", vec![]),
            (r"(?U)a+", "aaa", vec!["a", "a", "a"]),
            (r"(?U)a+?", "aaa", vec!["aaa"]),
            (r"(?s)a.b", "a\nb", vec!["a\nb"]),
            (r"a.b", "a\nb", vec![]),
            (r"(?P<one>a)(?<two>b)", "ab", vec!["ab"]),
            // Non-ASCII text counts in characters.
            (r"k.{2}v", "käöv käv", vec!["käöv"]),
            (r"[^a]{2}", "äö", vec!["äö"]),
            (r"[äö]+", "xäöü", vec!["äö"]),
            (r"(?i)ÄB+", "äBb", vec!["äBb"]),
            (r"\w+", "aäb", vec!["a", "b"]),
            (r"ä+b", "ääb", vec!["ääb"]),
        ] {
            assert_eq!(matched(go, text), expected, "{go} in {text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_taken_for_characters() {
        let text = b"k\xE4v k\xE4\xF6v";
        let expression = Expression::read("k[^x]{2}v").unwrap();
        assert!(!is_wide(text));
        let mut spans = Vec::new();
        expression.each(text, is_wide(text), &mut |span| {
            spans.push(span);
            true
        });
        assert_eq!((spans.len(), spans.first()), (1, Some(&(4..8))));
    }

    #[test]
    fn what_only_another_engine_does_is_named() {
        for (go, why) in [
            ("(?=a)", "lookaround"),
            ("(?!a)", "lookaround"),
            ("(?<=a)b", "lookaround"),
            ("(?<!a)b", "lookaround"),
            (r"(a)\1", "back-reference"),
            (r"\p{L}+", r"\p"),
            (r"[\pL]", r"\p"),
            (r"\C", r"\C"),
            (r"\h", r"\h"),
            ("(?x)a", "flag 'x'"),
            ("(a", "unclosed group"),
            ("a)", "without its ("),
            ("[a", "unclosed class"),
            ("[z-a]", "backwards"),
            ("[[:letters:]]", "named class"),
            ("a{1001}", "more than 1000 times"),
            ("a{5,3}", "repetition"),
            ("*a", "repetition"),
            (r"\x{110000}", "no character"),
            ("((a{1000}){1000}){9}", "states"),
            ("(?:[^x]{1000}y){100}", "states"),
            (r"a\", "backslash"),
        ] {
            let said = Expression::read(go).err();
            assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{go}: {said:?}");
        }
    }

    #[test]
    fn what_an_expression_takes_is_estimated_from_above() {
        for go in [
            r"[^a]{200}",
            r"(?i)[\w.-]{0,50}?(?:secret|key)(?:[ \t\w.-]{0,20})[\s'\x22]{0,3}(?:=|>)([a-z0-9]{32})",
            r"(?:a|bc|[äöü]){1,40}x?.*",
            r"(((a?)b?)+){30}",
            r"\Aä{20}\z|.{100}",
            r"[^\x{80}-\x{90}é]{50}",
            r"(?:){100}(){30}",
            r"[\x{101}-\x{FFFE}]{50}",
            r"[\x{1234}-\x{23456}]{30}",
            r"[\x{81}-\x{10FFFE}é]{30}",
            r"[^\x{1234}\x{12345}]{40}",
            r"(?i)[äöüß]{40}",
        ] {
            let expression = Expression::read(go).unwrap();
            for text in [&expression.narrow, &expression.wide] {
                let config = thompson::Config::new().utf8(false);
                let built = thompson::Compiler::new().configure(config).syntax(bytes()).build(text).unwrap();
                assert!(built.states().len() <= expression.states + 20, "{go}: {}", built.states().len());
            }
        }
    }
}
