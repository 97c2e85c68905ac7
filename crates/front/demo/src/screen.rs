use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use serde_json::json;

use crate::load::Sent;
use crate::pipeline::{Event, News};
use crate::words::{without_numbers, words};

/// The version of the events: the demo's own and those of keyroll's commands.
const STREAM_VERSION: u32 = 1;

/// The demo's output: plain lines, a terminal with one live line, or JSON.
pub(crate) struct Screen {
    form: Form,
    began: Instant,
    live: bool,
    /// The kinds of things that were shown as not visible: one line for all processes of a kind.
    not_visible: BTreeSet<String>,
}

enum Form {
    Json,
    Lines,
    Terminal { colour: bool },
}

impl Screen {
    /// `json`: events for programs. `plain`: lines even on a terminal. NO_COLOR is honoured (no-color.org).
    pub(crate) fn new(json: bool, plain: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let form = match (json, plain || dumb || !io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Lines,
            (false, false) => Form::Terminal { colour: !set("NO_COLOR") },
        };
        Self { form, began: Instant::now(), live: false, not_visible: BTreeSet::new() }
    }

    /// The first line of the stream, with its version.
    pub(crate) fn open(&mut self) {
        if matches!(self.form, Form::Json) {
            let version = env!("CARGO_PKG_VERSION");
            self.put(&json!({ "type": "start", "version": STREAM_VERSION, "keyroll": version }).to_string());
        }
    }

    pub(crate) fn elapsed_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Shows something that the demo itself did.
    pub(crate) fn step(&mut self, text: &str) {
        let at = self.elapsed_s();
        match self.form {
            Form::Json => self.put(&json!({ "type": "demo", "at_s": round(at), "text": text }).to_string()),
            Form::Lines => self.put(&format!("{at:5.1} s  demo     {text}")),
            Form::Terminal { colour: false } => self.put(&format!("{at:5.1} s  ● {text}")),
            Form::Terminal { colour: true } => self.put(&format!("{at:5.1} s  \x1b[36m●\x1b[0m {text}")),
        }
    }

    /// Shows an event of the pipeline.
    pub(crate) fn event(&mut self, event: &Event) {
        let at = self.elapsed_s();
        match self.form {
            Form::Json if event.value.is_object() => self.put(&event.line),
            Form::Json => {}
            Form::Lines | Form::Terminal { .. } => {
                let Some(words) = words(&event.value) else { return };
                if matches!(event.news, News::NotVisible(_))
                    && !self.not_visible.insert(without_numbers(&words))
                {
                    return;
                }
                let plain = matches!(self.form, Form::Lines);
                let who = if plain { "keyroll" } else { " " };
                self.put(&format!("{at:5.1} s  {who}  {words}"));
            }
        }
    }

    /// Shows the callers' counts on the live line of a terminal.
    pub(crate) fn count(&mut self, sent: &Sent) {
        let Form::Terminal { colour } = self.form else { return };
        let (red, end) = if colour && sent.failed > 0 { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let at = self.elapsed_s();
        self.clear();
        let line = format!("{at:5.1} s  {} requests, {red}{} failed{end}", sent.requests, sent.failed);
        let _ = write!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
        self.live = true;
    }

    /// The closing table for people, the summary for programs.
    pub(crate) fn close(&mut self, table: &str, summary: &impl serde::Serialize) {
        match self.form {
            Form::Json => self.put(&serde_json::to_string(summary).unwrap_or_default()),
            Form::Lines | Form::Terminal { .. } => self.put(&format!("\n{}", table.trim_end())),
        }
    }

    fn put(&mut self, line: &str) {
        self.clear();
        // Write errors are ignored: even without a reader, the demo has to clean up.
        let _ = writeln!(io::stdout(), "{line}");
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.live) {
            let _ = write!(io::stdout(), "\r\x1b[K");
        }
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}
