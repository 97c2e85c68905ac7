//! An operator for tests, who keeps what is told and answers nothing.

use std::path::Path;
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_secret::SecretBytes;

use crate::operator::{Confirmation, Event, OpenQuestion, Operator};
use crate::problem::Problem;

/// Keeps the sentences of notes, and waits.
#[derive(Default)]
pub(crate) struct Nobody {
    pub(crate) notes: Vec<String>,
    pub(crate) waits: Vec<Event>,
}

impl Operator for Nobody {
    fn event(&mut self, event: Event) {
        if let Event::Note { text } = event {
            self.notes.push(text);
        } else if let Event::Waiting { .. } = event {
            self.waits.push(event);
        }
    }

    fn aside(&mut self, _: &str) {}

    fn progress(&mut self, _: &str) {}

    fn settle(&mut self) {}

    fn pause_on_stop(&mut self) {}

    fn may_ask(&self) -> bool {
        false
    }

    fn ask_name(&mut self, _: &str, _: &str) -> Confirmation {
        Confirmation::Nobody
    }

    fn begin_ask_name(
        &mut self,
        _: &str,
        _: &str,
        _: Option<Instant>,
        _: Box<dyn FnOnce(Confirmation) + Send>,
    ) -> Option<OpenQuestion> {
        None
    }

    fn hidden(&mut self, what: &str) -> Result<SecretBytes, Problem> {
        Err(Problem::new(Code::ValueRefused, what))
    }

    fn value_of_file(&mut self, what: &str, _: &Path) -> Result<SecretBytes, Problem> {
        Err(Problem::new(Code::ValueRefused, what))
    }
}
