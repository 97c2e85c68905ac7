use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;

use super::commands::is_builtin;
use super::state::{ALL_EXPORTED, FOLDER, Frame, How, Kind, Last, Mode, OFF, Reader, Step, Why};
use super::tokens::{Token, Tokens, assignment, name_length};

/// The most steps of one text.
pub(super) const STEPS_MAX: usize = 1_000;

/// How deep blocks may be nested, and the most frames for that: each block has a list and the rest of a list.
const BLOCKS_MAX: usize = 16;
const FRAMES_MAX: usize = 3 * BLOCKS_MAX;

const TOO_MUCH: Why = "the text does more than what is read";
const NOT_CLOSED: Why = "a quote, a bracket or a block of the text is not closed";
const LOOP: Why = "a loop sets it";
const REDEFINED: Why = "the text defines a command of the shell anew";

impl Reader<'_> {
    pub(super) fn run(&mut self, text: &str) {
        let mut tokens = Tokens::of(text);
        let mentions = std::mem::replace(&mut self.mentions, tokens.mentions());
        let base = self.frames.len();
        let home = self.around.home.filter(|_| self.shells == 0);
        for (name, path) in [(FOLDER, Some(self.around.folder).filter(|_| self.shells == 0)), ("HOME", home)]
        {
            if let Some(path) = path.and_then(Path::to_str) {
                self.change_steady(name, Some(SecretBytes::from(path.to_owned())), Some(true), 0);
            }
        }
        self.change(ALL_EXPORTED, Some(SecretBytes::from(OFF.to_owned())), Some(false));
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

    pub(super) fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// Whether this text has ended, not only a part of it.
    pub(super) fn ended_since(&self, base: usize) -> bool {
        self.frames.get(base.saturating_sub(1)).is_some_and(|frame| frame.ended)
    }

    /// `false` = this is no shell text, or it is nested too deeply.
    pub(super) fn operator(&mut self, token: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
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
    pub(super) fn pattern(&mut self, first: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
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

    pub(super) fn word(&mut self, token: Token<'_>, tokens: &mut Tokens<'_>) -> bool {
        match token.text {
            "if" => return self.open(Kind::If),
            "while" | "until" => return self.open(Kind::Loop),
            "for" | "select" => {
                let opened = self.open(Kind::Loop);
                if let Some(name) = tokens.next().filter(|name| name_length(name.text) == name.text.len()) {
                    self.unknown(name.text, false, LOOP);
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
    pub(super) fn tested_block(&mut self) {
        self.end_list(false);
        let (commands, tested) = (self.commands, self.last.tested.take());
        if let Some(top) = self.top()
            && commands.checked_sub(1) == Some(top.commands)
        {
            top.tested = tested;
        }
    }

    pub(super) fn define(&mut self, name: &str) {
        self.function = true;
        self.functions.insert(name.to_owned());
        if is_builtin(name) {
            self.hidden(None, REDEFINED);
            self.full = true;
        }
    }

    /// One command with its words and redirections; or the head of a function.
    pub(super) fn simple(&mut self, tokens: &mut Tokens<'_>) {
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

    pub(super) fn finish(&mut self, last: Last) {
        self.commands += 1;
        self.last = if std::mem::take(&mut self.negated) { Last::default() } else { last };
    }

    /// A command begins: it belongs to a list. `false` = too many blocks are open.
    pub(super) fn begin_list(&mut self) -> bool {
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

    pub(super) fn open(&mut self, kind: Kind) -> bool {
        let opened = self.begin_list();
        let (function, piped) = (std::mem::take(&mut self.function), std::mem::take(&mut self.piped));
        let frame = Frame::of(kind, self.steps.len());
        self.frames.push(Frame { function, piped, commands: self.commands, ..frame });
        opened
    }

    pub(super) fn close(&mut self, kind: Kind, tokens: &Tokens<'_>) -> bool {
        self.end_list(false);
        let Some(top) = self.top().filter(|top| top.kind == kind) else { return false };
        let piped = top.piped;
        self.pop(piped || kind == Kind::Subshell || tokens.piped());
        self.finish(Last::default());
        true
    }

    pub(super) fn hidden(&mut self, name: Option<String>, why: Why) {
        self.tell(Step::Hidden { name, line: self.line, why });
    }

    /// A variable gets a value that is not visible.
    pub(super) fn unknown(&mut self, name: &str, exported: bool, why: Why) {
        let before = self.exported(name);
        self.change(name, None, if exported { Some(true) } else { before });
        self.hidden(Some(name.to_owned()), why);
    }

    pub(super) fn reads(&mut self, path: Result<PathBuf, Why>, how: How, part: bool) {
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
    pub(super) fn assign(&mut self, word: &str, exported: bool, mode: Mode) -> bool {
        let Some((name, raw)) = assignment(word) else { return false };
        let value = raw.ok_or("a text is added to it").and_then(|raw| self.expand(raw, mode));
        match value {
            Ok(value) => self.set(name, &value, exported),
            Err(why) => self.unknown(name, exported, why),
        }
        true
    }

    pub(super) fn set(&mut self, name: &str, value: &str, exported: bool) {
        let ways = [Some(exported), self.exported(name), self.all_exported()];
        let sure = ways.contains(&Some(true));
        let depends = !sure && ways.contains(&None);
        let perhaps = depends || self.perhaps(None);
        let value = SecretBytes::new(value.as_bytes().to_vec());
        self.change(name, Some(value.duplicate()), if depends { None } else { Some(sure) });
        let exported = sure || depends;
        self.tell(Step::Sets { name: name.to_owned(), value, line: self.line, perhaps, exported });
    }

    pub(super) fn tell(&mut self, step: Step) {
        if self.full {
            return;
        }
        self.full = self.steps.len() + 1 >= STEPS_MAX;
        let last = Step::Hidden { name: None, line: self.line, why: TOO_MUCH };
        self.steps.push(Some(if self.full { last } else { step }));
    }

    /// Another program starts: what was set for one before is not set for this one.
    pub(super) fn starts(&mut self) {
        for at in std::mem::take(&mut self.over) {
            self.doubt_step(at);
        }
    }

    pub(super) fn doubt_step(&mut self, at: usize) {
        match self.steps.get_mut(at).and_then(Option::as_mut) {
            Some(Step::Reads { perhaps, .. } | Step::Sets { perhaps, .. }) => *perhaps = true,
            Some(Step::Hidden { .. }) | None => {}
        }
    }
}
