//! Safe texts for errors. Decoders and parsers may quote their input, which may contain a value: only fixed texts and
//! those of the system are used.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind};

use zip::result::ZipError;

/// An archive that is larger than its limit once it is unpacked.
pub(crate) const FAR_MORE: &str = "it unpacks to far more than ordinary archives do";

/// An LZ4 frame without its end.
pub(crate) const CUT_OFF: &str = "its LZ4 frame is truncated";

/// Bytes in the place of a block of LZ4's legacy format.
pub(crate) const NO_BLOCK: &str = "all of it, or what follows, is not a block of LZ4's legacy format";

/// Bytes in the place of a Zstandard frame.
pub(crate) const NO_FRAME: &str = "all of it, or what follows, is not a readable Zstandard frame";

/// Our own texts, which may be nested in another error.
const OURS: [&str; 4] = [FAR_MORE, CUT_OFF, NO_BLOCK, NO_FRAME];

/// For malformed content.
const NOT_ITS_KIND: &str = "its content does not match its format";

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
        "it is truncated"
    } else if is(ErrorKind::OutOfMemory) {
        "it needs more memory than the limit"
    } else if is(ErrorKind::Unsupported) {
        "it uses an unsupported variant of its format"
    } else {
        NOT_ITS_KIND
    };
    told.to_owned()
}

/// The same for a zip archive, with the fixed texts of its reader.
pub(crate) fn zip_error_text(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) => why(error),
        ZipError::InvalidArchive(Cow::Borrowed(said)) => format!("invalid Zip archive: {said}"),
        ZipError::UnsupportedArchive(said) => format!("unsupported Zip archive: {said}"),
        ZipError::CompressionMethodNotSupported(method) => {
            format!("its compression method {method} is not supported")
        }
        ZipError::InvalidArchive(_)
        | ZipError::FileNotFound
        | ZipError::InvalidPassword
        | ZipError::DecompressedSizeLimitExceeded { .. }
        | ZipError::DecompressedSizeUnknown
        | _ => NOT_ITS_KIND.to_owned(),
    }
}

/// The same for ignore files and folders. Never quotes a pattern.
pub(crate) fn ignore_error_text(error: &ignore::Error) -> String {
    use ignore::Error as Is;
    match error {
        Is::Partial(all) => all.iter().map(ignore_error_text).collect::<Vec<_>>().join("; "),
        Is::WithLineNumber { line, err } => format!("line {line}: {}", ignore_error_text(err)),
        Is::WithPath { path, err } => format!("{}: {}", path.display(), ignore_error_text(err)),
        Is::WithDepth { err, .. } => ignore_error_text(err),
        Is::Loop { ancestor, child } => {
            format!("{} leads back to {}", child.display(), ancestor.display())
        }
        Is::Io(error) => why(error),
        Is::Glob { .. } | Is::UnrecognizedFileType(_) | Is::InvalidDefinition => {
            "a malformed pattern ignores nothing".to_owned()
        }
    }
}
