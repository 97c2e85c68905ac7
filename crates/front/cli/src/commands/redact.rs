use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::redaction_sources::{RedactionSources, replaced};
use keyroll_codes::Code;
use keyroll_redact::RedactingStream;

use crate::args::RedactArgs;
use crate::context::Context;
use crate::ui::raw;

/// How much is read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// Copies files or stdin to stdout, and redacts the known secrets and everything that looks like a credential.
pub(super) fn run(args: &RedactArgs, context: &mut Context) -> Result<Exit, Problem> {
    let shielding = RedactionSources::open(args.known, Vec::new(), &context.installation, &mut context.ui)?;
    let is_there = shielding.is_there();
    let mut seen = 0;
    let mut shielded =
        Shielded { shield: RedactingStream::new(&shielding.sought(&mut seen)), shielding, seen };
    match args.files.is_empty() {
        true => copy(&mut io::stdin().lock(), "stdin", &mut shielded)?,
        false => args.files.iter().try_for_each(|file| copy_file(file, &mut shielded))?,
    }
    let report = shielded.shield.take_report();
    let looked = shielded.shielding.end();
    // With --json a note would be part of the copied text.
    if !context.ui.look.json {
        context.ui.note(replaced(&report));
        // Without a store, the operator was told at the start.
        if is_there && !args.known {
            context.ui.note(
                "not redacted: passwords without a form that are not in keyroll's store; keyroll leaks \
                 finds them by their name or position",
            );
        }
    }
    looked.map(|()| Exit::Done)
}

/// The stream, and the source of values that are added to the store while it is copied.
struct Shielded<'c> {
    shield: RedactingStream,
    shielding: RedactionSources<'c>,
    seen: u64,
}

/// Each file is a stream of its own: a value does not begin in one file and end in the next.
fn copy_file(file: &Path, shielded: &mut Shielded<'_>) -> Result<(), Problem> {
    let shown = keyroll_observe::shown(file);
    let mut open = File::open(file).map_err(|error| {
        Problem::new(Code::SearchPathUnreadable, format!("read {shown}"))
            .because_of(&error)
            .help("name existing files, or none to read stdin")
    })?;
    copy(&mut open, &shown, shielded)
}

fn copy(from: &mut dyn Read, name: &str, shielded: &mut Shielded<'_>) -> Result<(), Problem> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
    let mut out = Vec::new();
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                if let Some(sought) = shielded.shielding.added(&mut shielded.seen) {
                    shielded.shield.set_patterns(&sought);
                }
                shielded.shield.push(buffer.get(..length).unwrap_or_default(), &mut out);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Problem::new(Code::SearchPathUnreadable, format!("read {name}"))
                    .because_of(&error)
                    .help("the output before the error is redacted but incomplete; run the command again"));
            }
        }
        if !write(&mut out)? {
            return Ok(());
        }
    }
    shielded.shield.finish(&mut out);
    write(&mut out).map(drop)
}

/// `false` = the reader closed the pipe, and needs no more.
fn write(out: &mut Vec<u8>) -> Result<bool, Problem> {
    let written = raw::out().write_all(out);
    out.clear();
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(raw::not_written(&error)),
    }
}
