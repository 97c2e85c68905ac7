use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

use keyroll_app::operator::{Confirmation, Event, EventLine, OpenQuestion, Operator, STREAM_VERSION, clean};
use keyroll_app::problem::Problem;
use keyroll_app::{redact, wall_clock};
use keyroll_secret::SecretBytes;
use unicode_width::UnicodeWidthStr as _;

use crate::signals;
use crate::ui::line::{Mark, line};
use crate::ui::local_time::local_times;
use crate::ui::named_command::names_command;
use crate::ui::progress::{Draw, Progress};
use crate::ui::raw::not_written;
use crate::ui::silent::lines;
use crate::ui::table::Table;
use crate::ui::wrap::{columns, cut, wrapped};
use crate::ui::{Look, render};

/// The one place that prints. Write errors are ignored, so that a closed pipe never stops a rotation.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) look: Look,
    progress: Progress,
    started: bool,
    /// True if the cursor is behind a live line.
    open: bool,
    /// Why the requested output could not be written.
    lost: Option<io::Error>,
    /// The host that the events are about, if they are about one of several.
    host: Option<String>,
    /// A command of keyroll was named to a person.
    named_command: bool,
}

impl Ui {
    pub(crate) fn new(look: Look) -> Self {
        let progress = Progress::default();
        Self { look, progress, started: false, open: false, lost: None, host: None, named_command: false }
    }

    /// From now on each line of the stream, and each message, names this host; none = no host.
    pub(crate) fn of_host(&mut self, host: Option<String>) {
        self.host = host;
    }

    /// The flag that names this host in a suggested command, behind a blank; nothing for this machine.
    pub(crate) fn host_flag(&self) -> String {
        let host = self.host.as_deref().filter(|host| *host != "local");
        host.map(|host| format!(" --host {host}")).unwrap_or_default()
    }

    /// Shows one event: a line of JSON on stdout, or a line for people on stderr.
    pub(crate) fn event(&mut self, event: Event) {
        if self.look.json {
            if !self.started {
                self.started = true;
                let start = Event::Start { version: STREAM_VERSION, keyroll: env!("CARGO_PKG_VERSION") };
                self.json(start, None);
            }
            return self.json(event, self.host.clone());
        }
        if let Event::Plan { .. } | Event::Check(_) = event {
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
        self.named_command |= names_command(text);
        let text = redact::pass(text);
        self.write(format!("{}\n", local_times(&clean(&text))).as_bytes());
    }

    /// The same, wrapped to the width of the terminal.
    pub(crate) fn lines(&mut self, text: &str) {
        match self.look.live && io::stdout().is_terminal() {
            true => self.data(&wrapped(text, columns(), 0)),
            false => self.data(text),
        }
    }

    /// A table, wrapped to the width of the terminal.
    pub(crate) fn table(&mut self, table: &Table) {
        let lines = match self.look.live && io::stdout().is_terminal() {
            true => table.lines_in(columns()),
            false => table.lines(),
        };
        self.data(&lines.join("\n"));
    }

    /// A text for a file, on stdout, unchanged; it contains no secret.
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

    /// The problem of output that could not be written; a closed pipe is not a problem.
    pub(crate) fn lost(&mut self) -> Option<Problem> {
        let error = self.lost.take().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
        Some(not_written(&error))
    }

    /// The requested result as a line for people, on stdout.
    fn answer(&mut self, event: &Event) {
        self.settle();
        if let Some((mark, text)) = line(event) {
            self.named_command |= names_command(&text);
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
                code: problem.code.as_str(),
                causes: problem.causes.clone(),
                help: problem.help.clone(),
                further: problem.further.clone(),
                left_off: (problem.left_off > 0).then_some(problem.left_off),
                exit: problem.exit().number(),
            });
        }
        self.settle();
        let text = render::problem(problem, self.look.colour);
        self.named_command |= names_command(&text);
        let text = redact::pass(&text);
        let text = if self.look.live { wrapped(&text, columns(), 0) } else { text.to_string() };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Whether anything that was shown to a person names a command about an installation.
    pub(crate) fn has_named_command(&self) -> bool {
        self.named_command
    }

    /// A line on stderr that is not wrapped, so that its command can be pasted.
    pub(crate) fn unwrapped(&mut self, text: &str) {
        self.settle();
        let text = redact::pass(&clean(text)).to_string();
        let _ = io::stderr().write_all(lines(format!("{text}\n")).as_bytes());
    }

    /// Ends a live line, so that something else can be written.
    pub(crate) fn settle(&mut self) {
        for draw in self.progress.finish() {
            self.draw(draw);
        }
        self.wipe();
    }

    /// A live line, which the next one overwrites; nothing where lines cannot be overwritten.
    pub(crate) fn live(&mut self, text: impl Into<String>) {
        if self.look.live {
            self.draw(Draw::Over(text.into()));
        }
    }

    /// Erases a live line.
    fn wipe(&mut self) {
        if self.open {
            let _ = io::stderr().write_all(b"\r\x1b[2K");
            self.open = false;
        }
    }

    fn json(&mut self, event: Event, host: Option<String>) {
        let line = EventLine { at: wall_clock::now().timestamp().to_string(), host, event };
        // Events contain only texts and numbers, which always have a JSON form.
        let text = serde_json::to_string(&line).unwrap_or_default();
        let text = redact::pass(&text);
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    fn message(&mut self, mark: Mark, text: &str) {
        let of = self.host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
        let text = format!("{of}{text}");
        self.named_command |= names_command(&text);
        let _ = io::stderr().write_all(lines(self.shown(mark, &text, self.look.live)).as_bytes());
    }

    /// The text as it is written, for a terminal or for a file.
    fn shown(&self, mark: Mark, text: &str, terminal: bool) -> String {
        let (sign, colour) = match mark {
            Mark::Good => ("✓ ", "\u{1b}[32m"),
            Mark::Bad => ("✗ ", "\u{1b}[31m"),
            Mark::Wait => ("… ", "\u{1b}[33m"),
            Mark::Plain => ("", ""),
        };
        let text = local_times(&clean(text));
        let text = redact::pass(&text);
        let text = if terminal { wrapped(&text, columns(), sign.width()) } else { text.to_string() };
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
                let text = local_times(&clean(&text)).replace('\n', " ");
                let shown = cut(&redact::pass(&text), columns().saturating_sub(1));
                let _ = io::stderr().write_all(shown.as_bytes());
                let _ = io::stderr().flush();
                self.open = true;
            }
        }
    }
}

impl Operator for Ui {
    fn event(&mut self, event: Event) {
        Self::event(self, event);
    }

    fn aside(&mut self, text: &str) {
        if !self.look.json {
            self.note(text);
        }
    }

    fn progress(&mut self, text: &str) {
        self.live(text);
    }

    fn settle(&mut self) {
        Self::settle(self);
    }

    fn pause_on_stop(&mut self) {
        signals::pause_from_now_on(self.look);
    }

    fn may_ask(&self) -> bool {
        Self::may_ask(self)
    }

    fn ask_name(&mut self, question: &str, name: &str) -> Confirmation {
        Self::ask_name(self, question, name)
    }

    fn begin_ask_name(
        &mut self,
        question: &str,
        name: &str,
        until: Option<Instant>,
        answered: Box<dyn FnOnce(Confirmation) + Send>,
    ) -> Option<OpenQuestion> {
        Self::begin_ask_name(self, question, name, until, answered)
    }

    fn hidden(&mut self, what: &str) -> Result<SecretBytes, Problem> {
        Self::hidden(self, what)
    }

    fn value_of_file(&mut self, what: &str, path: &Path) -> Result<SecretBytes, Problem> {
        Self::value_of_file(self, what, path)
    }
}
