use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use super::state::{ALL_EXPORTED, FOLDER, Mode, Reader, Why};
use super::tokens::{Tokens, element, name_length};

/// The longest text of one word after its expansion, bytes. `A=$A$A` doubles with each line.
const WORD_BYTES_MAX: usize = 16 << 10;

/// The most that is expanded for one text, bytes.
const EXPANDED_BYTES_MAX: usize = 8 << 20;

/// The longest path, bytes. Source: PATH_MAX of Linux.
const PATH_BYTES_MAX: usize = 4096;

/// How deep expansions may be nested.
const DEPTH_MAX: usize = 16;

const OPEN: Why = "it cannot be split into words";
const LONG: Why = "it is too long";
const PATTERN: Why = "it is a pattern of names";
pub(super) const COMPUTED: Why = "a command computes it";
const VARIABLE: Why = "it contains a variable whose value is not visible in the text";
const NO_FOLDER: Why = "its working folder is not visible in the text";
const EMPTY: Why = "it is empty";

/// A text that overwrites its memory, also where it grows.
struct Growing(Zeroizing<String>);

impl Growing {
    fn push(&mut self, text: &str) -> Result<(), Why> {
        let length = self.0.len() + text.len();
        if length > WORD_BYTES_MAX {
            return Err(LONG);
        }
        if length > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(length * 2));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Reader<'_> {
    /// The text of a word, as its program gets it.
    pub(super) fn expand(&self, raw: &str, mode: Mode) -> Result<Zeroizing<String>, Why> {
        self.expand_in(raw, mode, 0)
    }

    /// The path that a word names.
    pub(super) fn path(&self, raw: &str) -> Result<PathBuf, Why> {
        self.path_in(raw, 0)
    }

    /// The same for a text that is expanded already.
    pub(super) fn absolute(&self, path: &str) -> Result<PathBuf, Why> {
        if path.is_empty() {
            return Err(EMPTY);
        }
        let folder = if path.starts_with('/') { None } else { Some(self.text_of(FOLDER).ok_or(NO_FOLDER)?) };
        let folder = folder.as_deref().map_or("/", String::as_str);
        if folder.len() + path.len() >= PATH_BYTES_MAX {
            return Err(LONG);
        }
        Ok(Path::new(folder).join(path).components().collect())
    }

    /// Counts what is expanded. `false` = that was too much.
    fn affords(&self, bytes: usize) -> bool {
        self.expanded.set(self.expanded.get().saturating_add(bytes));
        self.expanded.get() <= EXPANDED_BYTES_MAX
    }

    fn path_in(&self, raw: &str, depth: usize) -> Result<PathBuf, Why> {
        self.absolute(&self.expand_in(raw, Mode::Word, depth)?)
    }

    /// A variable's value, if the text shows it.
    pub(super) fn text_of(&self, name: &str) -> Option<Zeroizing<String>> {
        let value = self.variable(name)?.value.as_ref()?;
        if !self.affords(value.len()) {
            return None;
        }
        std::str::from_utf8(value.expose()).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    fn expand_in(&self, raw: &str, mode: Mode, depth: usize) -> Result<Zeroizing<String>, Why> {
        if depth > DEPTH_MAX || !self.affords(raw.len()) {
            return Err(OPEN);
        }
        let quoted = mode == Mode::Quoted;
        let mut out = Growing(Zeroizing::new(String::with_capacity(raw.len().min(WORD_BYTES_MAX))));
        let mut rest = raw;
        if !quoted && rest.starts_with('~') {
            let home = rest.strip_prefix('~').filter(|after| after.is_empty() || after.starts_with('/'));
            rest = home.ok_or(COMPUTED)?;
            out.push(&self.named("HOME")?)?;
        }
        while let Some(first) = rest.chars().next() {
            let length = element(rest, quoted, 0).ok_or(OPEN)?;
            let (one, after) = rest.split_at_checked(length).ok_or(OPEN)?;
            rest = after;
            match first {
                '\\' => out.push(unescaped(one, quoted))?,
                '\'' if !quoted => out.push(between(one, 1)?)?,
                '"' if !quoted => out.push(&self.expand_in(between(one, 1)?, Mode::Quoted, depth + 1)?)?,
                '`' => out.push(&self.split(self.substituted(between(one, 1)?, depth)?, mode)?)?,
                '$' => out.push(&self.dollar(one, mode, depth)?)?,
                '<' | '>' if !quoted => return Err(COMPUTED),
                '(' if !quoted => return Err(COMPUTED),
                '*' | '?' | '[' | '{' if mode == Mode::Word => return Err(PATTERN),
                _ => out.push(one)?,
            }
        }
        Ok(out.0)
    }

    /// Outside of quotes, the shell splits a value into words and expands the patterns in it.
    fn split(&self, value: Zeroizing<String>, mode: Mode) -> Result<Zeroizing<String>, Why> {
        let splits = |letter: char| letter.is_whitespace() || matches!(letter, '*' | '?' | '[');
        if mode == Mode::Word && value.contains(splits) { Err(PATTERN) } else { Ok(value) }
    }

    fn dollar(&self, one: &str, mode: Mode, depth: usize) -> Result<Zeroizing<String>, Why> {
        if let Some(text) = one.strip_prefix("$'").and_then(|text| text.strip_suffix('\'')) {
            return if text.contains('\\') { Err(COMPUTED) } else { Ok(Zeroizing::new(text.to_owned())) };
        }
        if one.starts_with("$\"") {
            return self.expand_in(between(one, 2)?, Mode::Quoted, depth + 1);
        }
        if one.starts_with("$((") || one == "$" {
            return if one == "$" { Ok(Zeroizing::new(one.to_owned())) } else { Err(COMPUTED) };
        }
        let value = if one.starts_with("$(") {
            self.substituted(between(one, 2)?, depth)?
        } else if one.starts_with("${") {
            self.braced(between(one, 2)?, mode, depth)?
        } else {
            self.named(one.get(1..).unwrap_or_default())?
        };
        self.split(value, mode)
    }

    /// The value of `$NAME`.
    fn named(&self, name: &str) -> Result<Zeroizing<String>, Why> {
        match name {
            "0" | "BASH_SOURCE" => {
                let script = self.around.script.ok_or(VARIABLE)?;
                script.to_str().map(|text| Zeroizing::new(text.to_owned())).ok_or(VARIABLE)
            }
            "PWD" => self.text_of(FOLDER).ok_or(NO_FOLDER),
            _ if name == ALL_EXPORTED => Err(VARIABLE),
            _ => self.text_of(name).ok_or(VARIABLE),
        }
    }

    /// The value of `${…}`.
    fn braced(&self, inner: &str, mode: Mode, depth: usize) -> Result<Zeroizing<String>, Why> {
        let length = if inner.starts_with('0') { 1 } else { name_length(inner) };
        let (name, rest) = inner.split_at_checked(length).ok_or(OPEN)?;
        let rest = if name == "BASH_SOURCE" { rest.strip_prefix("[0]").unwrap_or(rest) } else { rest };
        let value = self.named(name)?;
        let text = |text: &str| Ok(Zeroizing::new(text.to_owned()));
        match rest {
            "" => Ok(value),
            "%/*" => text(value.rsplit_once('/').map_or(&*value, |(folder, _)| folder)),
            "##*/" => text(value.rsplit('/').next().unwrap_or_default()),
            _ => {
                let default = [":-", ":="].iter().find_map(|one| rest.strip_prefix(one));
                match default {
                    Some(default) if value.is_empty() => self.expand_in(default, mode, depth + 1),
                    Some(_) => Ok(value),
                    None if [":?", "?", "-", "="].iter().any(|one| rest.starts_with(one)) => Ok(value),
                    None => Err(COMPUTED),
                }
            }
        }
    }

    /// What a command substitution prints, if that is a path which the text shows. Links are not followed.
    fn substituted(&self, text: &str, depth: usize) -> Result<Zeroizing<String>, Why> {
        let mut tokens = Tokens::of(text);
        let (name, operands) = command(&mut tokens);
        let one =
            |path: PathBuf| path.into_os_string().into_string().map(Zeroizing::new).map_err(|_| COMPUTED);
        let operand = match operands.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        if tokens.take("&&") || tokens.take(";") {
            let (then, none) = command(&mut tokens);
            let prints = name == "cd" && then == "pwd" && none.is_empty() && tokens.peek().is_none();
            let folder = operand.filter(|_| prints).ok_or(COMPUTED)?;
            return one(clean(&self.path_in(folder, depth + 1)?));
        }
        if tokens.peek().is_some() || tokens.torn {
            return Err(COMPUTED);
        }
        match (name, operand) {
            ("pwd", None) if operands.is_empty() => self.text_of(FOLDER).ok_or(NO_FOLDER),
            ("realpath" | "readlink", Some(path)) => one(clean(&self.path_in(path, depth + 1)?)),
            ("dirname", Some(path)) => {
                let path = self.expand_in(path, Mode::Word, depth + 1)?;
                let folder = Path::new(&*path).parent().ok_or(COMPUTED)?;
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                one(folder.to_owned())
            }
            ("echo", Some(word)) => self.expand_in(word, Mode::Word, depth + 1),
            _ => Err(COMPUTED),
        }
    }
}

/// The name of the next command and its operands. Redirections of messages are left out.
fn command<'t>(tokens: &mut Tokens<'t>) -> (&'t str, Vec<&'t str>) {
    let (mut name, mut operands) = ("", Vec::new());
    while let Some(token) = tokens.peek().filter(|token| !token.operator || token.text.contains('>')) {
        tokens.at += 1;
        if token.operator {
            tokens.at += 1;
        } else if name.is_empty() {
            name = token.text;
        } else if !token.text.starts_with('-') {
            operands.push(token.text);
        }
    }
    (name, operands)
}

/// The folder without `..`, as `cd` counts it.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            cleaned.pop();
        } else {
            cleaned.push(part);
        }
    }
    cleaned
}

/// What a backslash and the letter behind it stand for.
fn unescaped(one: &str, quoted: bool) -> &str {
    let letter = one.get(1..).unwrap_or_default();
    match letter {
        "\n" => "",
        "$" | "`" | "\"" | "\\" => letter,
        _ if quoted => one,
        _ => letter,
    }
}

/// The text between the first letters and the last one.
fn between(one: &str, first: usize) -> Result<&str, Why> {
    one.get(first..one.len().saturating_sub(1)).ok_or(OPEN)
}
