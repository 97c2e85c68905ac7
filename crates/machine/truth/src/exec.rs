//! A program of the user's own as the source of truth.

mod conformance;
mod program;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_manager::{CommandLine, shell_word};
use keyroll_port::{Class, Failure, MadeBy, Truth, TruthVersion};
use keyroll_secret::SecretBytes;

use self::program::{NoAnswer, Program, Reading, Refused, VALUE_BYTES_MAX};
use self::wire::{Effect, Reason};
use crate::DocumentError;
use crate::attempt::{AGAIN, Attempt, Nature};
use crate::blocking::blocking;
use crate::cell::{Cell, CellTruth, Held, Written};
use crate::document::Document;

pub use self::conformance::check_store;
pub use self::wire::store_program_schema;

/// One value that a program reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSecret {
    /// The program; absolute.
    pub program: PathBuf,
    /// What the program is asked for, behind `#`. It may be empty.
    pub item: String,
    /// The folder of keyroll.toml, in which the program runs.
    pub folder: PathBuf,
    /// The name of keyroll's field for this value.
    pub field: String,
    /// As the configuration names it, for people: `exec:./stores/op#op://prod/vonage/credential`.
    pub reference: String,
}

/// A program as the source of truth: it gives out what was written last. The program is first started by the first call.
///
/// # Errors
/// The path is not absolute, or not UTF-8.
pub fn exec(secret: ExecSecret) -> Result<impl Truth, Failure> {
    let ExecSecret { program: path, item, folder, field, reference } = secret;
    let Some(name) = path.to_str().filter(|_| path.is_absolute()) else {
        let failure =
            Failure::new(Class::Permanent, Code::TruthUnsuitable, format!("use {reference} as a store"));
        let failure = failure.because("the program's path is not absolute, or not UTF-8");
        return Err(failure.help("correct the path behind `exec:` in `store`"));
    };
    let none: [&str; 0] = [];
    let command = CommandLine { folder: Some(folder), ..CommandLine::program(name, none) };
    let place = format!("{reference} ({name})");
    Ok(CellTruth { cell: ExecCell { asked: Arc::new(Program { command, item }), place }, field })
}

/// The value behind a program.
struct ExecCell {
    asked: Arc<Program>,
    place: String,
}

impl ExecCell {
    /// One request, on a thread that may wait for the program.
    async fn ask<T: Send + 'static>(
        &self,
        attempt: &Attempt<'_>,
        request: impl FnOnce(&Program) -> Result<T, NoAnswer> + Send + 'static,
    ) -> Result<Result<T, NoAnswer>, Failure> {
        let asked = self.asked.clone();
        blocking(attempt, move || Ok(request(&asked))).await
    }

    fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: &self.place, nature }
    }

    fn failed(&self, attempt: &Attempt<'_>, none: NoAnswer) -> Failure {
        match none {
            NoAnswer::NotStarted(Failure { class, source, .. }) => {
                let failure = attempt.fail(class, Code::TruthAccess).help(self.help());
                match source {
                    Some(source) => failure.because(source),
                    None => failure,
                }
            }
            NoAnswer::Unusable(why) => {
                let help = if attempt.nature == Nature::Read { self.help() } else { AGAIN.to_owned() };
                attempt.unclear(why).help(help)
            }
            NoAnswer::Refused(refused) => self.refused(attempt, refused),
        }
    }

    fn refused(&self, attempt: &Attempt<'_>, Refused { reason, effect, said }: Refused) -> Failure {
        let (class, code) = match (effect, reason) {
            (Effect::Unknown, _) if attempt.nature != Nature::Read => {
                (Class::Unknown, Code::TruthUnreachable)
            }
            (Effect::None | Effect::Unknown, Reason::Denied) => (Class::Permanent, Code::TruthAccess),
            (Effect::None | Effect::Unknown, Reason::Missing) => (Class::Permanent, Code::TruthUnsuitable),
            (Effect::None | Effect::Unknown, Reason::Conflict | Reason::Away | Reason::Other) => {
                (Class::Retryable, Code::TruthUnreachable)
            }
        };
        let kind = reason.name();
        let why = match said {
            // The request had a value, and the message may repeat it.
            Some(message) if attempt.nature != Nature::ChangeWithValue => {
                format!("the program answered: {message} ({kind})")
            }
            Some(_) | None => format!("the program answered with an error: {kind}"),
        };
        let help = if class == Class::Unknown { AGAIN.to_owned() } else { self.help() };
        attempt.fail(class, code).because(why).help(help)
    }

    fn help(&self) -> String {
        let Program { command, item } = &*self.asked;
        let words = [command.program.as_str(), item.as_str()].map(shell_word);
        let folder = command.folder.as_deref().map(|folder| shell_word(folder.to_string_lossy()));
        let cd = folder.map(|folder| format!("cd {folder} && ")).unwrap_or_default();
        format!("run `{cd}keyroll secret check-store {}`", words.join(" "))
    }
}

#[async_trait]
impl Cell for ExecCell {
    fn place(&self) -> &str {
        &self.place
    }

    async fn read(&self) -> Result<Held, Failure> {
        let attempt = self.attempt("read", Nature::Read);
        let read = self.ask(&attempt, Program::read).await?;
        let Reading { version, unix_ms, value } = read.map_err(|none| self.failed(&attempt, none))?;
        Ok(Held { id: version, unix_ms, document: Document::new(value, None) })
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        let attempt = self.attempt("list the versions of", Nature::Read);
        let listed = self.ask(&attempt, Program::versions).await?;
        listed.map_err(|none| self.failed(&attempt, none))
    }

    async fn writable(&self, _: &Held) -> Result<(), Failure> {
        let attempt = self.attempt("see whether a value can be written into", Nature::Read);
        let checked = self.ask(&attempt, Program::check).await?;
        if checked.map_err(|none| self.failed(&attempt, none))? {
            return Ok(());
        }
        let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
        Err(failure.because("the program says that its item cannot be written").help(self.help()))
    }

    async fn write(&self, by: &MadeBy, over: &Held, next: &Document) -> Result<Written, Failure> {
        let attempt = self.attempt("write", Nature::ChangeWithValue);
        let value = next.text().duplicate();
        if value.len() > VALUE_BYTES_MAX {
            return Err(attempt.document(&DocumentError::TooLong));
        }
        let (over, id) = (over.id.clone(), format!("keyroll/{}/{}", by.rotation, by.intent));
        let written = self.ask(&attempt, move |asked| asked.write(&over, text_of(&value)?, &id)).await?;
        match written {
            Ok(_) => Ok(Written::Accepted),
            Err(NoAnswer::Refused(Refused { reason: Reason::Conflict, effect: Effect::None, .. })) => {
                Ok(Written::Overtaken)
            }
            Err(none) => Err(self.failed(&attempt, none)),
        }
    }
}

/// A document carries UTF-8 alone, so the refusal is never sent.
fn text_of(value: &SecretBytes) -> Result<&str, NoAnswer> {
    std::str::from_utf8(value.expose())
        .map_err(|_| NoAnswer::Refused(Refused { reason: Reason::Other, effect: Effect::None, said: None }))
}
