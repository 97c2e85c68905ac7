mod commands;
mod expansion;
mod frames;
mod printed;
mod programs;
mod tokens;

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;

use expansion::Mode;
use frames::{Frame, Kind};
use tokens::{Token, Tokens, assignment, name_length};

/// The largest text that is read, bytes.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// The most steps of one text.
const STEPS_MAX: usize = 1_000;

/// How deep blocks may be nested, and the most frames for that: each block has a list and the rest of a list.
const BLOCKS_MAX: usize = 16;
const FRAMES_MAX: usize = 3 * BLOCKS_MAX;

/// Names of the shell's own state, which no variable can have: the working folder, and `set -a`.
const FOLDER: &str = "-cd";
const ALL_EXPORTED: &str = "-a";

/// What `set -a` is while it is off.
const OFF: &str = "";

const TOO_LONG: Why = "the text is larger than what is read";
const TOO_MUCH: Why = "the text does more than what is read";
const NOT_CLOSED: Why = "a quote, a bracket or a block of the text is not closed";
const LOOP: Why = "a loop sets it";
const REDEFINED: Why = "the text defines a command of the shell anew";

/// Why something is not visible.
pub(crate) type Why = &'static str;

/// Where a shell text runs.
pub(crate) struct Around<'a> {
    /// The working folder at its first line.
    pub(crate) folder: &'a Path,
    /// The script's own path (`$0`, `${BASH_SOURCE[0]}`), if it is a file.
    pub(crate) script: Option<&'a Path>,
    /// The home of its user.
    pub(crate) home: Option<&'a Path>,
}

/// What one place of the text does to variables. Of two steps the later one counts, for the last program that the text
/// starts.
pub(crate) enum Step {
    /// It reads a file of variables.
    Reads {
        /// The file.
        path: PathBuf,
        /// Whether it depends on a condition that the text does not decide.
        perhaps: bool,
        /// Whether programs get its variables. If not, they get those that the shell had exported before, or that the file
        /// exports itself.
        exported: bool,
    },
    /// It sets a variable to a literal text.
    Sets {
        /// The variable.
        name: String,
        /// The text.
        value: SecretBytes,
        /// From 1 on.
        line: u64,
        /// Whether it depends on a condition that the text does not decide.
        perhaps: bool,
        /// Whether programs get it. If not, they get it only where the shell itself was started with this variable.
        exported: bool,
    },
    /// It sets variables in a way that is not visible here.
    Hidden {
        /// The variable, if it is one.
        name: Option<String>,
        /// From 1 on.
        line: u64,
        /// Why.
        why: Why,
    },
}

/// What is done with the lines of a file of variables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// `. FILE`, `source FILE`: the shell runs them.
    Sourced,
    /// `env $(grep … FILE | xargs) …`, `export $(cat FILE)`: they are split into words.
    Words,
    /// `--env-file FILE`, `dotenv FILE`: a program reads them.
    Option,
}

/// The steps of a text, in its order. Nothing is run, and no file is read. A missing file has no variables.
pub(crate) fn steps(text: &str, around: &Around<'_>) -> Vec<Step> {
    let mut reader = Reader {
        around,
        steps: Vec::new(),
        over: Vec::new(),
        frames: vec![Frame::of(Kind::Text, 0)],
        mentions: HashMap::new(),
        last: Last::default(),
        commands: 0,
        line: 1,
        shells: 0,
        piped: false,
        negated: false,
        function: false,
        full: false,
        expanded: Cell::new(0),
    };
    if text.len() > TEXT_BYTES_MAX {
        reader.hidden(None, TOO_LONG);
    } else {
        reader.run(text);
    }
    reader.steps.into_iter().flatten().collect()
}

/// What the command before an operator was.
#[derive(Default)]
struct Last {
    /// It sets up the shell, and does not fail unless the start fails.
    plain: bool,
    /// The file whose presence it tests.
    tested: Option<PathBuf>,
}

struct Reader<'a> {
    around: &'a Around<'a>,
    steps: Vec<Option<Step>>,
    /// The steps that hold only for a program which was started before: for another one after it they do not.
    over: Vec<usize>,
    frames: Vec<Frame>,
    /// How often the text may set each name, by hash.
    mentions: HashMap<u64, usize>,
    last: Last,
    commands: usize,
    line: u64,
    /// How many shells are within one another.
    shells: usize,
    piped: bool,
    negated: bool,
    /// The next block is the body of a function.
    function: bool,
    full: bool,
    /// How much was expanded, bytes.
    expanded: Cell<usize>,
}

impl Reader<'_> {
    fn run(&mut self, text: &str) {
        let mut tokens = Tokens::of(text);
        let mentions = std::mem::replace(&mut self.mentions, tokens.mentions());
        let base = self.frames.len();
        let home = self.around.home.filter(|_| self.shells == 0);
        for (name, path) in [(FOLDER, Some(self.around.folder).filter(|_| self.shells == 0)), ("HOME", home)]
        {
            if let Some(path) = path.and_then(Path::to_str) {
                self.change_steady(name, Some(SecretBytes::from(path.to_owned())), true, 0);
            }
        }
        self.change(ALL_EXPORTED, Some(SecretBytes::from(OFF.to_owned())), false);
        let mut understood = true;
        while let Some(token) = tokens.next().filter(|_| understood && !self.full && !self.ended_since(base))
        {
            if self.shells == 0 {
                self.line = token.line;
            }
            let pattern = self.top().is_some_and(|top| top.pattern);
            understood = match token.operator {
                _ if pattern => self.pattern(token, &mut tokens),
                true => self.operator(token, &mut tokens),
                false => self.word(token, &mut tokens),
            } && self.frames.len() >= base;
        }
        self.end_list(false);
        let ended = self.ended_since(base) || self.full;
        if !ended && (!understood || tokens.torn || self.frames.len() != base) {
            self.hidden(None, NOT_CLOSED);
        }
        self.frames.truncate(base);
        self.mentions = mentions;
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// Whether this text has ended, not only a part of it.
    fn ended_since(&self, base: usize) -> bool {
        self.frames.get(base.saturating_sub(1)).is_some_and(|frame| frame.ended)
    }

    /// `false` = this is no shell text, or it is nested too deeply.
    fn operator(&mut self, token: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
        match token.text {
            "\n" | ";" => self.end_list(false),
            "&" => self.end_list(true),
            "&&" | "||" => self.then(token.text == "&&"),
            "|" | "|&" => self.piped = true,
            "(" => return self.open(Kind::Subshell),
            ")" => return self.close(Kind::Subshell, tokens),
            ";;" | ";&" | ";;&" => {
                self.end_list(false);
                let Some(top) = self.top().filter(|top| top.kind == Kind::Case) else { return false };
                top.doubt();
                top.pattern = true;
            }
            _ => {
                tokens.at = tokens.at.saturating_sub(1);
                self.simple(tokens);
            }
        }
        true
    }

    /// A pattern of a `case`, up to its bracket; or the end of the `case`.
    fn pattern(&mut self, first: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
        if first.is("\n") {
            return true;
        }
        if !first.operator && first.text == "esac" {
            return self.close(Kind::Case, tokens);
        }
        while tokens.next().is_some_and(|token| !token.is(")")) {}
        if let Some(top) = self.top() {
            top.pattern = false;
        }
        true
    }

    fn word(&mut self, token: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
        match token.text {
            "if" => return self.open(Kind::If),
            "while" | "until" => return self.open(Kind::Loop),
            "for" | "select" => {
                let opened = self.open(Kind::Loop);
                if let Some(name) = tokens.next().filter(|name| name_length(name.text) == name.text.len()) {
                    self.unknown(name.text, LOOP);
                }
                while tokens
                    .peek()
                    .is_some_and(|token| !token.is("\n") && !token.is(";") && token.text != "do")
                {
                    tokens.at += 1;
                }
                return opened;
            }
            "case" => {
                let opened = self.open(Kind::Case);
                while tokens.next().is_some_and(|token| token.text != "in") {}
                if let Some(top) = self.top() {
                    top.pattern = true;
                }
                return opened;
            }
            "{" => return self.open(Kind::Group),
            "then" => self.tested_block(),
            "elif" | "else" => {
                self.end_list(false);
                if let Some(top) = self.top() {
                    top.doubt();
                }
            }
            "fi" => return self.close(Kind::If, tokens),
            "done" => return self.close(Kind::Loop, tokens),
            "}" => return self.close(Kind::Group, tokens),
            "!" => self.negated = true,
            "do" | "time" => {}
            "function" => {
                let name = tokens.next().map_or("", |name| name.text);
                let _ = tokens.take("(") && tokens.take(")");
                self.define(name);
            }
            _ => {
                tokens.at = tokens.at.saturating_sub(1);
                self.simple(tokens);
            }
        }
        true
    }

    /// `if [ -f FILE ]; then`: nothing but the file decides whether this block runs.
    fn tested_block(&mut self) {
        self.end_list(false);
        let (commands, tested) = (self.commands, self.last.tested.take());
        if let Some(top) = self.top()
            && commands.checked_sub(1) == Some(top.commands)
        {
            top.tested = tested;
        }
    }

    fn define(&mut self, name: &str) {
        self.function = true;
        if commands::is_builtin(name) {
            self.hidden(None, REDEFINED);
            self.full = true;
        }
    }

    /// One command with its words and redirections; or the head of a function.
    fn simple(&mut self, tokens: &mut Tokens<'_>) {
        let (mut words, mut input) = (Vec::new(), None);
        // Between `[[` and `]]`, operators are words.
        let mut test = false;
        while let Some(token) = tokens.peek() {
            if token.operator && !test && !token.redirects() {
                break;
            }
            tokens.at += 1;
            if token.operator && !test {
                let target = tokens.next().map(|target| target.text);
                input = target.filter(|_| token.is("<")).or(input);
                continue;
            }
            test = token.text != "]]" && (test || words.is_empty() && token.text == "[[");
            words.push(token.text);
        }
        if let [name] = words.as_slice()
            && tokens.take("(")
        {
            tokens.take(")");
            return self.define(name);
        }
        let behind = std::mem::take(&mut self.piped);
        if words.is_empty() || !self.begin_list() || self.frames.iter().any(|frame| frame.ended) {
            return;
        }
        let alone = behind || tokens.piped();
        if alone {
            self.frames.push(Frame::of(Kind::Subshell, self.steps.len()));
        }
        let last = self.command(&words, input, behind);
        if alone {
            self.pop(true);
        }
        self.finish(if alone { Last::default() } else { last });
    }

    fn finish(&mut self, last: Last) {
        self.commands += 1;
        self.last = if std::mem::take(&mut self.negated) { Last::default() } else { last };
    }

    /// A command begins: it belongs to a list. `false` = too many blocks are open.
    fn begin_list(&mut self) -> bool {
        let begun = self.top().is_some_and(|top| matches!(top.kind, Kind::List | Kind::Rest));
        if !begun {
            self.frames.push(Frame::of(Kind::List, self.steps.len()));
        }
        let few = self.frames.len() <= FRAMES_MAX;
        if !few {
            self.hidden(None, TOO_MUCH);
            self.full = true;
        }
        few
    }

    fn open(&mut self, kind: Kind) -> bool {
        let opened = self.begin_list();
        let (function, piped) = (std::mem::take(&mut self.function), std::mem::take(&mut self.piped));
        let frame = Frame::of(kind, self.steps.len());
        self.frames.push(Frame { function, piped, commands: self.commands, ..frame });
        opened
    }

    fn close(&mut self, kind: Kind, tokens: &Tokens<'_>) -> bool {
        self.end_list(false);
        let Some(top) = self.top().filter(|top| top.kind == kind) else { return false };
        let piped = top.piped;
        self.pop(piped || kind == Kind::Subshell || tokens.piped());
        self.finish(Last::default());
        true
    }

    fn hidden(&mut self, name: Option<String>, why: Why) {
        self.tell(Step::Hidden { name, line: self.line, why });
    }

    /// A variable gets a value that is not visible.
    fn unknown(&mut self, name: &str, why: Why) {
        let exported = self.variable(name).is_some_and(|variable| variable.exported);
        self.change(name, None, exported);
        self.hidden(Some(name.to_owned()), why);
    }

    fn reads(&mut self, path: Result<PathBuf, Why>, how: How, part: bool) {
        match path {
            Ok(path) => {
                let perhaps = part || self.perhaps(Some(&path));
                let exported = how != How::Sourced || self.all_exported() == Some(true);
                self.tell(Step::Reads { path, perhaps, exported });
            }
            Err(why) => self.hidden(None, why),
        }
    }

    /// `NAME=VALUE`, for the shell or (`exported`) for programs too.
    fn assign(&mut self, word: &str, exported: bool, mode: Mode) -> bool {
        let Some((name, raw)) = assignment(word) else { return false };
        let value = raw.ok_or("a text is added to it").and_then(|raw| self.expand(raw, mode));
        match value {
            Ok(value) => self.set(name, &value, exported),
            Err(why) => self.unknown(name, why),
        }
        true
    }

    fn set(&mut self, name: &str, value: &str, exported: bool) {
        let before = self.variable(name).is_some_and(|variable| variable.exported);
        let all = self.all_exported();
        let exported = exported || before || all != Some(false);
        let perhaps = self.perhaps(None) || all.is_none() && !before;
        let value = SecretBytes::new(value.as_bytes().to_vec());
        self.change(name, Some(value.duplicate()), exported);
        self.tell(Step::Sets { name: name.to_owned(), value, line: self.line, perhaps, exported });
    }

    fn tell(&mut self, step: Step) {
        if self.full {
            return;
        }
        self.full = self.steps.len() + 1 >= STEPS_MAX;
        let last = Step::Hidden { name: None, line: self.line, why: TOO_MUCH };
        self.steps.push(Some(if self.full { last } else { step }));
    }

    /// Another program starts: what was set for one before is not set for this one.
    fn starts(&mut self) {
        for at in std::mem::take(&mut self.over) {
            self.doubt_step(at);
        }
    }

    fn doubt_step(&mut self, at: usize) {
        match self.steps.get_mut(at).and_then(Option::as_mut) {
            Some(Step::Reads { perhaps, .. } | Step::Sets { perhaps, .. }) => *perhaps = true,
            Some(Step::Hidden { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` = surely, `?` = perhaps; what is read, set or hidden.
    fn told(text: &str) -> Vec<String> {
        let around = Around {
            folder: Path::new("/w"),
            script: Some(Path::new("/app/run.sh")),
            home: Some(Path::new("/home/ada")),
        };
        let mark = |perhaps: bool| if perhaps { '?' } else { '+' };
        let shown = |step| match step {
            Step::Reads { path, perhaps, .. } => format!("{}{}", mark(perhaps), path.display()),
            Step::Sets { name, value, perhaps, exported, .. } => {
                let own = if exported { "" } else { "own " };
                format!("{own}{}{name}={}", mark(perhaps), String::from_utf8_lossy(value.expose()))
            }
            Step::Hidden { name, .. } => format!("hidden {}", name.unwrap_or_default()),
        };
        steps(text, &around).into_iter().map(shown).collect()
    }

    #[test]
    fn every_way_of_reading_a_file_is_recognized() {
        for (text, wanted) in [
            ("set -a; . ./.env; set +a; exec python3 x", "+/w/.env"),
            ("set -a && source .env && set +a && python3 x", "+/w/.env"),
            ("set -o allexport\nsource '/srv/a b/.env'\n", "+/srv/a b/.env"),
            ("cd \"$(dirname \"$0\")\" && . ./.env && python3 x", "+/app/.env"),
            ("cd `dirname $0`\n. ../.env", "+/app/../.env"),
            (". \"$(dirname -- \"${BASH_SOURCE[0]}\")/.env\"", "+/app/.env"),
            (". \"${BASH_SOURCE%/*}/.env\"", "+/app/.env"),
            (". $HOME/.keys; x", "+/home/ada/.keys"),
            (". ~/.keys", "+/home/ada/.keys"),
            ("cd /srv; source \"$PWD/.env\"", "+/srv/.env"),
            ("exec env $(grep -v '^#' .env | xargs) python3 api.py", "+/w/.env"),
            ("env $(cat .env | xargs) python3 x", "+/w/.env"),
            ("env $(xargs < .env) python3 x", "+/w/.env"),
            ("export $(grep -v '^#' /srv/.env | xargs -d '\\n')", "+/srv/.env"),
            ("export $(<.env)", "+/w/.env"),
            ("node --env-file=.env server.js", "+/w/.env"),
            ("docker run --env-file ./api.env x", "+/w/api.env"),
            ("[ -f .env ] && . ./.env", "+/w/.env"),
            ("if [ -r ./.env ]; then\n  . ./.env\nfi\n", "+/w/.env"),
            ("bash -c 'set -a; . ./.env; python3 x'", "+/w/.env"),
            ("dotenv", "+/w/.env"),
            // As bash itself does.
            (". ./.env\r\npython3 x\r\n", "+/w/.env\r"),
            (". \\\n ./.env", "+/w/.env"),
        ] {
            assert_eq!(told(text), [wanted], "{text}");
        }
        assert_eq!(told("DIR=/srv/app\n. \"$DIR/.env\""), ["own +DIR=/srv/app", "+/srv/app/.env"]);
        let nested = "HERE=$(cd \"$(dirname \"$0\")\" && pwd)\n. \"${HERE}/.env\"";
        assert_eq!(told(nested), ["own +HERE=/app", "+/app/.env"]);
    }

    #[test]
    fn text_that_only_looks_like_reading_is_none() {
        for text in [
            "# . ./.env",
            "echo '. ./.env'",
            "echo \". ./.env\"",
            "cat <<END\n. ./.env\nEND\n",
            "cat <<'E'\nKEY=x\nE\n",
            "grep -q source .env",
            "exec python3 x\n. ./.env",
            "exit 0; . ./.env",
            "timeout 150 ./\"$1\".sh; :",
            "A=1\nunset A",
        ] {
            assert_eq!(told(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_condition_makes_it_perhaps() {
        for text in [
            "if [ \"$1\" = prod ]; then . ./.env; fi",
            "[ -f other ] && . ./.env",
            "test -z \"$X\" || . ./.env",
            "load() {\n . ./.env\n}",
            "case $1 in a) . ./.env;; esac",
            "if [ -f .env ]; then :; else . ./.env; fi",
        ] {
            assert_eq!(told(text), ["?/w/.env"], "{text}");
        }
        assert_eq!(told("for i in 1 2; do . ./.env; done"), ["hidden i", "?/w/.env"]);
        assert_eq!(told("if x; then y; fi\n. ./.env"), ["+/w/.env"]);
        assert_eq!(told("[ -f a ] && b; . ./.env"), ["+/w/.env"]);
        assert_eq!(told("f() { :; }\n. ./.env"), ["+/w/.env"]);
    }

    #[test]
    fn values_are_told_only_where_the_text_has_them() {
        assert_eq!(told("export A='x y' B=\"z\"; c"), ["+A=x y", "+B=z"]);
        assert_eq!(told("A=b python3 x"), ["+A=b"]);
        assert_eq!(told("env A=b python3 x"), ["+A=b"]);
        assert_eq!(told("declare -x A=b"), ["+A=b"]);
        for (text, name) in [
            ("A=$(cat /run/key)", "A"),
            ("A=$B", "A"),
            ("A+=x", "A"),
            ("read A", "A"),
            ("eval \"$X\"", ""),
            (". \"$DIR/.env\"", ""),
            ("cd \"$X\"; . ./.env", ""),
            (". ./*.env", ""),
            ("source <(x)", ""),
            ("export $(op read x)", ""),
            ("sudo -E python3 x", ""),
            ("op run -- python3 x", ""),
            ("DIR=${DIR:-/srv}", "DIR"),
        ] {
            assert_eq!(told(text), [format!("hidden {name}")], "{text}");
        }
    }

    #[test]
    fn no_text_breaks_it() {
        for text in
            ["'", "\"", "$(", "${", "`", "<<", "((((", "}}}}", "a && || ;;", "if", "\\", "$", "a <", "<<E\n"]
        {
            told(text);
        }
        told(&"$(".repeat(5_000));
        told(&"bash -c '".repeat(100));
        told(&"if x; then ".repeat(3_000));
        assert_eq!(told(&". ./.env\n".repeat(100_000)).len(), 1, "it is too large");
    }
}
