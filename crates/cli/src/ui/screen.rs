use std::io::{self, IsTerminal as _, Write as _};

use crate::problem::Problem;
use crate::redact;
use crate::ui::Look;
use crate::ui::event::{Event, EventLine, STREAM_VERSION};
use crate::ui::line::{Mark, clean, line};
use crate::ui::progress::{Draw, Progress};
use crate::ui::raw::not_written;
use crate::ui::render;
use crate::ui::table::Table;

/// How wide a live line may be where the terminal does not say.
const COLUMNS_DEFAULT: usize = 80;

/// The one place that prints. A reader who went away never stops a rotation: write errors are swallowed.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) look: Look,
    progress: Progress,
    started: bool,
    /// Whether the cursor stands behind a live line.
    open: bool,
    /// Why what was asked for could not be written.
    lost: Option<io::Error>,
}

impl Ui {
    pub(crate) fn new(look: Look) -> Self {
        Self { look, progress: Progress::default(), started: false, open: false, lost: None }
    }

    /// Shows one event: a line of JSON on stdout, or a line for people on stderr.
    pub(crate) fn event(&mut self, event: Event) {
        if self.look.json {
            if !self.started {
                self.started = true;
                self.json(Event::Start { version: STREAM_VERSION, keyroll: env!("CARGO_PKG_VERSION") });
            }
            return self.json(event);
        }
        if let Event::Plan { .. } | Event::Check { .. } = event {
            return self.answer(&event);
        }
        if self.look.live {
            for draw in self.progress.on(&event) {
                self.draw(draw);
            }
            return;
        }
        if let Some((mark, text)) = line(&event) {
            self.message(mark, &text);
        }
    }

    /// Data for people or pipes, on stdout. With `--json` data are events, and this is not called.
    pub(crate) fn data(&mut self, text: &str) {
        self.settle();
        let text = redact::pass(text);
        self.write(format!("{}\n", clean(&text)).as_bytes());
    }

    /// The same in lines that a terminal shows whole.
    pub(crate) fn lines(&mut self, text: &str) {
        match self.look.live && io::stdout().is_terminal() {
            true => self.data(&wrapped(text, columns(), 0)),
            false => self.data(text),
        }
    }

    /// A table, in lines that a terminal shows whole.
    pub(crate) fn table(&mut self, table: &Table) {
        let lines = match self.look.live && io::stdout().is_terminal() {
            true => table.lines_in(columns()),
            false => table.lines(),
        };
        self.data(&lines.join("\n"));
    }

    /// A text for a file, on stdout, byte for byte; nothing of a secret is in it.
    pub(crate) fn file(&mut self, text: &[u8]) {
        self.settle();
        self.write(text);
    }

    fn write(&mut self, text: &[u8]) {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text).and_then(|()| out.flush()) {
            self.lost = Some(error);
        }
    }

    /// What was asked for could not be written; a reader who went away has read what they wanted.
    pub(crate) fn lost(&mut self) -> Option<Problem> {
        let error = self.lost.take().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
        Some(not_written(&error))
    }

    /// What the command was asked for, as a line for people, on stdout.
    fn answer(&mut self, event: &Event) {
        self.settle();
        if let Some((mark, text)) = line(event) {
            let terminal = io::stdout().is_terminal();
            let shown = self.shown(mark, &text, self.look.live && terminal);
            let _ = io::stdout().write_all(shown.as_bytes());
        }
    }

    /// A sentence on stderr, or a note in the stream.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.event(Event::Note { text: text.into() });
    }

    /// A problem, once: on stderr, or as the last line of the stream.
    pub(crate) fn problem(&mut self, problem: &Problem) {
        if self.look.json {
            return self.event(Event::Error {
                attempted: problem.attempted.clone(),
                code: problem.code,
                causes: problem.causes.clone(),
                help: problem.help.clone(),
                exit: problem.exit().number(),
            });
        }
        self.settle();
        let text = render::problem(problem, self.look.colour);
        let text = redact::pass(&text);
        let text = if self.look.live { wrapped(&text, columns(), 0) } else { text.to_string() };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Ends a live line, so that something else can be written.
    pub(crate) fn settle(&mut self) {
        for draw in self.progress.finish() {
            self.draw(draw);
        }
        self.wipe();
    }

    /// A line that the next one is written over, where lines can be; nothing elsewhere.
    pub(crate) fn live(&mut self, text: impl Into<String>) {
        if self.look.live {
            self.draw(Draw::Over(text.into()));
        }
    }

    /// Takes a live line away.
    fn wipe(&mut self) {
        if self.open {
            let _ = io::stderr().write_all(b"\r\x1b[2K");
            self.open = false;
        }
    }

    fn json(&mut self, event: Event) {
        let line = EventLine { at: jiff::Timestamp::now().to_string(), event };
        // Every event is made of texts and numbers, which always have a JSON form.
        let text = serde_json::to_string(&line).unwrap_or_default();
        let text = redact::pass(&text);
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    fn message(&mut self, mark: Mark, text: &str) {
        let _ = io::stderr().write_all(self.shown(mark, text, self.look.live).as_bytes());
    }

    /// The text as it is written, for a terminal or for a file.
    fn shown(&self, mark: Mark, text: &str, terminal: bool) -> String {
        let (sign, colour) = match mark {
            Mark::Good => ("✓ ", "\u{1b}[32m"),
            Mark::Bad => ("✗ ", "\u{1b}[31m"),
            Mark::Wait => ("… ", "\u{1b}[33m"),
            Mark::Plain => ("", ""),
        };
        let text = clean(text);
        let text = redact::pass(&text);
        let text = if terminal { wrapped(&text, columns(), sign.chars().count()) } else { text.to_string() };
        match terminal && self.look.colour && !colour.is_empty() {
            true => format!("{colour}{sign}\u{1b}[0m{text}\n"),
            false => format!("{sign}{text}\n"),
        }
    }

    fn draw(&mut self, draw: Draw) {
        self.wipe();
        match draw {
            Draw::Line(mark, text) => self.message(mark, &text),
            Draw::Over(text) => {
                let text = clean(&text).replace('\n', " ");
                let shown: String = redact::pass(&text).chars().take(columns().saturating_sub(1)).collect();
                let _ = io::stderr().write_all(shown.as_bytes());
                let _ = io::stderr().flush();
                self.open = true;
            }
        }
    }
}

/// A sentence from beside what goes on, on stderr: it may stand behind a question, or behind a line that is written over.
pub(crate) fn aside(look: Look, text: &str) {
    if look.json {
        return;
    }
    let text = if look.live { format!("\n{}", wrapped(text, columns(), 0)) } else { text.to_owned() };
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Lines for a terminal of so many columns: broken between words, and indented under where their text begins. A line
/// with a command stays whole, so that it can be copied. `before` is what stands before the first line.
fn wrapped(text: &str, columns: usize, before: usize) -> String {
    // A value of several words is found by nobody once it is broken.
    let text = redact::pass(text);
    let mut all = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let used = if at == 0 { before } else { 0 };
        let whole = line.chars().filter(|c| *c != '\u{1b}').count() + used <= columns;
        if whole || has_command(line) {
            all.push(line.to_owned());
            continue;
        }
        let body = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let indent = " ".repeat((line.len() - body.len()).max(2));
        let mut row = line.get(..line.len() - body.len()).unwrap_or_default().to_owned();
        let mut width = row.chars().count() + used;
        let start = width;
        for word in body.split(' ') {
            let long = word.chars().count();
            if width > start && width + 1 + long > columns {
                all.push(std::mem::replace(&mut row, format!("{indent}{word}")));
                width = indent.len() + long;
                continue;
            }
            if width > start {
                row.push(' ');
                width += 1;
            }
            row.push_str(word);
            width += long;
        }
        all.push(row);
    }
    all.join("\n")
}

/// Whether a line has a command of keyroll's, and not only a folder of its name.
fn has_command(line: &str) -> bool {
    let begins = |at: usize| line.get(..at).is_none_or(|before| !before.ends_with(['/', '.', '-']));
    line.match_indices("keyroll ").any(|(at, _)| begins(at))
}

fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use super::wrapped;
    use crate::redact;

    #[test]
    fn a_value_of_several_words_is_cut_out_before_lines_are_broken() {
        let words = [alphanumeric(12), alphanumeric(12), alphanumeric(12)];
        redact::remember(&SecretBytes::from(words.join(" ")));
        let shown = wrapped(&format!("it is called {} there", words.join(" ")), 20, 0);
        let shown = redact::pass(&shown);
        assert!(words.iter().all(|word| !shown.contains(word)), "{shown}");
    }

    #[test]
    fn lines_are_broken_between_words_and_commands_are_not() {
        assert_eq!(wrapped("  3  api: restart it", 12, 0), "  3  api:\n     restart\n     it");
        assert_eq!(wrapped("ab cd ef", 6, 2), "ab\n  cd\n  ef");
        let command = "  next: keyroll resume 1234";
        assert_eq!(wrapped(command, 10, 0), command);
        assert_eq!(wrapped("in /etc/keyroll and", 15, 0), "in /etc/keyroll\n  and");
        assert_eq!(
            wrapped("a-word-that-is-longer-than-that b", 10, 0),
            "a-word-that-is-longer-than-that\n  b"
        );
    }
}
