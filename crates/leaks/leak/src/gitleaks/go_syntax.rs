use crate::gitleaks::char_class::CharClass;

/// The most states of one expression, as an upper estimate: some MiB when it is used. The largest of gitleaks' own
/// has about 20,000.
pub(super) const STATES_MAX: usize = 50_000;
/// The most repetitions; Go's own limit.
const REPEAT_MAX: usize = 1_000;

const DIGIT: &[(char, char)] = &[('0', '9')];
/// Without the vertical tab, which Go does not count as space.
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// Go's named classes, `[:alpha:]` and so on (<https://pkg.go.dev/regexp/syntax>).
const NAMED: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7F')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1F'), ('\x7F', '\x7F')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// An expression in the engine's syntax.
#[derive(Debug, Default)]
pub(super) struct TranslatedExpression {
    /// For ASCII and for invalid UTF-8: counts bytes.
    pub(super) narrow: String,
    /// For other texts: counts characters, as Go does.
    pub(super) wide: String,
    /// The number of capture groups.
    pub(super) groups: usize,
    /// About the most states that it needs.
    pub(super) states: usize,
}

/// Translates an expression of Go's `regexp`. The engines agree on most syntax, but not on `\s`, on a `{` without
/// repetition, on nested classes, on `\Q…\E`: these are written out. Go folds the case of all languages; here ASCII
/// letters have no non-ASCII case.
///
/// # Errors Invalid syntax, syntax that only Go supports (`\p`), and more than [`STATES_MAX`] states.
pub(super) fn translate(go: &str) -> Result<TranslatedExpression, String> {
    let mut dialect = Dialect { rest: go, ..Dialect::default() };
    while let Some(letter) = dialect.next() {
        match letter {
            '\\' => dialect.escape()?,
            '[' => {
                let class = dialect.class()?;
                dialect.put(&class);
            }
            '(' => dialect.open()?,
            ')' => dialect.close()?,
            '.' if dialect.flags.dot_all => dialect.put(&CharClass::all()),
            '.' => dialect.put(&CharClass::of(&[('\n', '\n')]).negated()),
            '^' | '$' | '|' => dialect.push(letter.encode_utf8(&mut [0; 4]), 1),
            '*' | '+' | '?' => dialect.repeated(letter.encode_utf8(&mut [0; 4]), 1),
            '{' => dialect.counted()?,
            _ => dialect.literal(letter)?,
        }
        if dialect.written.states > STATES_MAX {
            return Err(format!("would need more than {STATES_MAX} states: its repetitions are too large"));
        }
    }
    if dialect.opened.is_empty() { Ok(dialect.written) } else { Err("has an unclosed group".to_owned()) }
}

#[derive(Default, Clone, Copy)]
struct Flags {
    any_case: bool,
    dot_all: bool,
}

#[derive(Default)]
struct Dialect<'g> {
    rest: &'g str,
    written: TranslatedExpression,
    flags: Flags,
    /// The enclosing groups: the flags outside, and the states before.
    opened: Vec<(Flags, usize)>,
    /// The states before the last item, which a repetition multiplies.
    before: usize,
}

impl Dialect<'_> {
    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn takes(&mut self, beginning: &str) -> bool {
        let rest = self.rest.strip_prefix(beginning);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn push(&mut self, text: &str, states: usize) {
        self.before = self.written.states;
        self.written.states = self.written.states.saturating_add(states);
        self.written.narrow.push_str(text);
        self.written.wide.push_str(text);
    }

    fn put(&mut self, class: &CharClass) {
        self.push("", class.states());
        self.written.narrow.push_str(&class.written(false));
        self.written.wide.push_str(&class.written(true));
    }

    fn literal(&mut self, letter: char) -> Result<(), String> {
        if self.flags.any_case {
            let alone = CharClass::of(&[(letter, letter)]);
            let either = alone.clone().in_any_case()?;
            if either != alone {
                self.put(&either);
                return Ok(());
            }
        }
        let text = match letter {
            '0'..='9' | 'A'..='Z' | 'a'..='z' | '\u{80}'.. => letter.to_string(),
            _ => format!(r"\x{:02X}", u32::from(letter)),
        };
        self.push(&text, letter.len_utf8());
        Ok(())
    }

    fn repeated(&mut self, sign: &str, times: usize) {
        let before = self.before;
        let once = self.written.states.saturating_sub(before);
        self.written.states = before.saturating_add((once + 1).saturating_mul(times));
        self.written.narrow.push_str(sign);
        self.written.wide.push_str(sign);
    }

    /// Parses after `{`: a repetition, or a literal brace.
    fn counted(&mut self) -> Result<(), String> {
        let counts = self.rest.split_once('}').map(|(counts, rest)| (counts.split_once(','), counts, rest));
        let number = |digits: &str| match digits.as_bytes() {
            [b'0', _, ..] | [] => None,
            all if all.iter().all(u8::is_ascii_digit) => Some(digits.parse().unwrap_or(usize::MAX)),
            _ => None,
        };
        let read = counts.and_then(|(pair, counts, rest)| {
            let (least, most) = match pair {
                None => (number(counts)?, Some(number(counts)?)),
                Some((least, "")) => (number(least)?, None),
                Some((least, most)) => (number(least)?, Some(number(most)?)),
            };
            Some((least, most, counts, rest))
        });
        let Some((least, most, counts, rest)) = read else { return self.literal('{') };
        if least.max(most.unwrap_or(0)) > REPEAT_MAX {
            return Err(format!("repeats something more than {REPEAT_MAX} times"));
        }
        self.repeated(&format!("{{{counts}}}"), most.unwrap_or(least + 1).max(1));
        self.rest = rest;
        Ok(())
    }

    /// Parses after `(`: a group, or flags.
    fn open(&mut self) -> Result<(), String> {
        let behind = ["?<=", "?<!"].iter().any(|sign| self.rest.starts_with(sign));
        if behind || !self.rest.starts_with('?') {
            return if behind { Err(looks()) } else { self.group("(", self.flags, 1) };
        }
        if self.takes("?P<") || self.takes("?<") {
            let name = self.rest.split_once('>').ok_or("has an unclosed group name")?;
            self.rest = name.1;
            return self.group("(", self.flags, 1);
        }
        self.takes("?");
        let mut flags = self.flags;
        let (mut on, mut off, mut set) = (String::new(), String::new(), true);
        while let Some(letter) = self.next() {
            match letter {
                'i' => flags.any_case = set,
                's' => flags.dot_all = set,
                'm' | 'U' if set => on.push(letter),
                'm' | 'U' => off.push(letter),
                '-' if set => set = false,
                ':' | ')' => {
                    let dash = if off.is_empty() { "" } else { "-" };
                    if letter == ':' {
                        return self.group(&format!("(?{on}{dash}{off}:"), flags, 0);
                    }
                    self.flags = flags;
                    if !(on.is_empty() && off.is_empty()) {
                        self.push(&format!("(?{on}{dash}{off})"), 0);
                    }
                    return Ok(());
                }
                '=' | '!' | '>' | '|' | '#' | 'P' => return Err(looks()),
                _ => return Err(format!("has the flag '{letter}', which Go does not have")),
            }
        }
        Err("has an unclosed group".to_owned())
    }

    fn group(&mut self, sign: &str, flags: Flags, captures: usize) -> Result<(), String> {
        self.opened.push((self.flags, self.written.states));
        self.written.groups += captures;
        self.push(sign, 2);
        self.flags = flags;
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let (flags, before) = self.opened.pop().ok_or("has a ) without its (")?;
        self.flags = flags;
        self.push(")", 1);
        self.before = before;
        Ok(())
    }

    /// Parses after `\`, outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest;
        let letter = self.next().ok_or("ends with a backslash")?;
        match letter {
            'A' => self.push(r"\A", 1),
            'z' => self.push(r"\z", 1),
            // A following brace would be parsed as part of it.
            'b' => self.push(r"(?:\b)", 1),
            'B' => self.push(r"(?:\B)", 1),
            'Q' => {
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                quoted.chars().try_for_each(|letter| self.literal(letter))?;
            }
            _ => {
                self.rest = rest;
                match self.perl()? {
                    Some(class) => self.put(&class),
                    None => {
                        let letter = self.character()?;
                        self.literal(letter)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Parses `d` and the like after a backslash.
    fn perl(&mut self) -> Result<Option<CharClass>, String> {
        let class = match self.rest.chars().next() {
            Some('d') => CharClass::of(DIGIT),
            Some('D') => CharClass::of(DIGIT).negated(),
            Some('s') => CharClass::of(SPACE),
            Some('S') => CharClass::of(SPACE).negated(),
            Some('w') => CharClass::of(WORD),
            Some('W') => CharClass::of(WORD).negated(),
            Some('p' | 'P') => return Err(r"has a Unicode class, \p: write its letters out".to_owned()),
            Some('C') => return Err(r"has \C, which Go does not have".to_owned()),
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(class))
    }

    /// Parses an escaped character.
    fn character(&mut self) -> Result<char, String> {
        let letter = self.next().ok_or("ends with a backslash")?;
        let number = match letter {
            '1'..='7' if !self.rest.starts_with(|next| ('0'..='7').contains(&next)) => {
                return Err(format!(r"has a back-reference, \{letter}, which Go does not have"));
            }
            '0'..='7' => {
                let mut number = letter.to_digit(8);
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|next| next.to_digit(8)) else {
                        break;
                    };
                    self.next();
                    number = number.map(|number| number * 8 + digit);
                }
                number
            }
            'x' if self.takes("{") => {
                let (digits, rest) = self.rest.split_once('}').ok_or(r"has an unclosed \x{")?;
                self.rest = rest;
                hex(digits)
            }
            'x' => {
                let digits: String = self.rest.chars().take(2).collect();
                self.rest = self.rest.get(digits.len()..).unwrap_or_default();
                hex(&digits).filter(|_| digits.len() == 2)
            }
            'a' => Some(7),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(9),
            'v' => Some(0x0B),
            _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => Some(u32::from(letter)),
            _ => return Err(format!(r"has \{letter}, which Go does not have")),
        };
        let no_character = || format!(r"has a \{letter} that names no character");
        number.and_then(char::from_u32).ok_or_else(no_character)
    }

    /// Parses after `[`.
    fn class(&mut self) -> Result<CharClass, String> {
        let negated = self.takes("^");
        let (mut own, mut named) = (Vec::new(), CharClass::default());
        let mut first = true;
        loop {
            if !first && self.takes("]") {
                break;
            }
            first = false;
            if let Some(class) = self.named()? {
                named = named.or(class);
                continue;
            }
            let rest = self.rest;
            if self.takes("\\") {
                if let Some(class) = self.perl()? {
                    named = named.or(class);
                    continue;
                }
                self.rest = rest;
            }
            let from = self.of_class()?;
            let ranged = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let to = if ranged && self.takes("-") { self.of_class()? } else { from };
            if to < from {
                return Err("has a class with a range that goes backwards".to_owned());
            }
            own.push((from, to));
        }
        let own = CharClass::of(&own);
        let own = if self.flags.any_case { own.in_any_case()? } else { own };
        let class = own.or(named);
        Ok(if negated { class.negated() } else { class })
    }

    /// Parses one character of a class.
    fn of_class(&mut self) -> Result<char, String> {
        if self.takes("\\") {
            return self.character();
        }
        self.next().ok_or_else(|| "has an unclosed class".to_owned())
    }

    /// Parses `[:alpha:]` and the like.
    fn named(&mut self) -> Result<Option<CharClass>, String> {
        let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|name| name.split_once(":]")) else {
            return Ok(None);
        };
        let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
        let known = NAMED.iter().find(|(known, _)| *known == name);
        let (_, ranges) = known.ok_or("has a named class that Go does not have")?;
        self.rest = rest;
        let class = CharClass::of(ranges);
        let class = if self.flags.any_case { class.in_any_case()? } else { class };
        Ok(Some(if negated { class.negated() } else { class }))
    }
}

fn hex(digits: &str) -> Option<u32> {
    let good = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| good)
}

fn looks() -> String {
    "has a lookaround or a group syntax that Go does not have".to_owned()
}
