//! What is told of an error. What decoders and readers of rules say may quote what they read, which may be a value: only the
//! system's words and our own are told.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind};

use zip::result::ZipError;

use crate::unpack::FAR_MORE;
use crate::unpack::lz4::{CUT_OFF, NO_BLOCK};
use crate::unpack::zstandard::NO_FRAME;

/// What we say ourselves, however deep it stands in an error.
const OURS: [&str; 4] = [FAR_MORE, CUT_OFF, NO_BLOCK, NO_FRAME];

/// Of what is none of its kind.
const NOT_ITS_KIND: &str = "it is not written as what it seems to be";

/// Why something could not be read.
pub(crate) fn why(error: &io::Error) -> String {
    if error.raw_os_error().is_some() {
        return error.to_string();
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = next {
        let said = one.to_string();
        if let Some(ours) = OURS.iter().find(|ours| **ours == said) {
            return (*ours).to_owned();
        }
        let inner = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    let is = |kind: ErrorKind| error.kind() == kind;
    let told = if is(ErrorKind::UnexpectedEof) {
        "it is cut off"
    } else if is(ErrorKind::OutOfMemory) {
        "it asks for more memory than is given"
    } else if is(ErrorKind::Unsupported) {
        "it is written in a way that is not read"
    } else {
        NOT_ITS_KIND
    };
    told.to_owned()
}

/// The same of a zip archive. Its reader's fixed texts are told.
pub(crate) fn why_zip(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) => why(error),
        ZipError::InvalidArchive(Cow::Borrowed(said)) => format!("invalid Zip archive: {said}"),
        ZipError::UnsupportedArchive(said) => format!("unsupported Zip archive: {said}"),
        ZipError::CompressionMethodNotSupported(method) => {
            format!("its compression method {method} is not opened")
        }
        ZipError::InvalidArchive(_)
        | ZipError::FileNotFound
        | ZipError::InvalidPassword
        | ZipError::DecompressedSizeLimitExceeded { .. }
        | ZipError::DecompressedSizeUnknown
        | _ => NOT_ITS_KIND.to_owned(),
    }
}

/// The same of the rules for what is not looked at, and of going through folders. A pattern is not repeated.
pub(crate) fn why_ignore(error: &ignore::Error) -> String {
    use ignore::Error as Is;
    match error {
        Is::Partial(all) => all.iter().map(why_ignore).collect::<Vec<_>>().join("; "),
        Is::WithLineNumber { line, err } => format!("line {line}: {}", why_ignore(err)),
        Is::WithPath { path, err } => format!("{}: {}", path.display(), why_ignore(err)),
        Is::WithDepth { err, .. } => why_ignore(err),
        Is::Loop { ancestor, child } => {
            format!("{} leads back to {}", child.display(), ancestor.display())
        }
        Is::Io(error) => why(error),
        Is::Glob { .. } | Is::UnrecognizedFileType(_) | Is::InvalidDefinition => {
            "a pattern that cannot be understood leaves nothing out".to_owned()
        }
    }
}
