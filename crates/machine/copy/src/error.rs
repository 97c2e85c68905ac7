use keyroll_codes::Code;
use thiserror::Error;

/// Why a value was not read from a copy or not written into it. Nothing was changed.
///
/// Contains names, line numbers and reasons, never bytes of the file or of a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CopyError {
    /// The slot does not exist in the file.
    #[error("{slot} is not in the file")]
    Absent {
        /// The slot, in words.
        slot: String,
    },
    /// The slot holds neither the expected old value nor the new one.
    #[error("{slot} holds neither the expected old value nor the new one")]
    Drifted {
        /// The slot, in words.
        slot: String,
    },
    /// Readers of such files disagree about the value.
    #[error("line {line} is read differently by different readers: {why}")]
    Ambiguous {
        /// The line, counted from 1.
        line: usize,
        /// What they disagree about.
        why: &'static str,
    },
    /// In this slot, no spelling gives every reader the value.
    #[error("{slot} cannot carry the value: {why}")]
    NotCarried {
        /// The slot, in words.
        slot: String,
        /// What prevents it.
        why: &'static str,
    },
    /// The file is larger than keyroll edits.
    #[error("the file has {bytes} bytes, more than the {max} that are edited")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A slot that this format does not have, or that a set of edits names twice.
    #[error("{slot} does not fit here: {why}")]
    WrongSlot {
        /// The slot, in words.
        slot: String,
        /// Why not.
        why: &'static str,
    },
    /// The file is not of its format.
    #[error("line {line} is not {format}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// The line, counted from 1.
        line: usize,
    },
    /// A pointer that leads nowhere in any file of this format.
    #[error("the place {at} cannot be understood: {why}")]
    Pointer {
        /// The pointer as it was written.
        at: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A template that cannot be understood.
    #[error("the template is wrong at byte {at}: {why}")]
    Template {
        /// Byte offset in the template, from 0.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A list of logins contains a hash instead of the password.
    #[error("{slot} holds a hash of the password")]
    Verifier {
        /// The entry.
        slot: String,
    },
    /// A list of logins already has a line with the name that would be written, and with another password.
    #[error("{slot} is there with another password than the one that belongs there")]
    Taken {
        /// The entry.
        slot: String,
    },
    /// A template names a field that the secret does not have.
    #[error("the template names the field {name}, which the secret does not have")]
    NoField {
        /// The name in the template.
        name: String,
    },
    /// The template puts a field's value where the value cannot be written.
    #[error("the field {name} cannot stand in the {position} of the template: {why}")]
    FieldNotCarried {
        /// The name in the template.
        name: String,
        /// The position in the template.
        position: &'static str,
        /// What prevents it.
        why: &'static str,
    },
}

impl CopyError {
    /// The code of the page under docs/errors.
    pub fn code(&self) -> Code {
        match self {
            Self::Absent { .. } => Code::PlaceNotFound,
            Self::Drifted { .. } => Code::CopyDiffers,
            Self::Ambiguous { .. } => Code::CopyAmbiguous,
            Self::NotCarried { .. } | Self::FieldNotCarried { .. } => Code::ValueNotWritable,
            Self::TooLarge { .. } => Code::FileUnusable,
            Self::WrongSlot { .. } => Code::PlaceNotFound,
            Self::Malformed { .. } => Code::CopyAmbiguous,
            Self::Pointer { .. } => Code::PlaceNotFound,
            Self::Template { .. } | Self::NoField { .. } => Code::PlaceNotFound,
            Self::Verifier { .. } => Code::ValueNotWritable,
            Self::Taken { .. } => Code::LoginSlotTaken,
        }
    }

    /// The next step for a person.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Absent { .. } => {
                "name the variable or the place that the file has, or remove this copy from keyroll.toml"
            }
            Self::Drifted { .. } => {
                "it was changed by something else: find out which value is right, and write it there"
            }
            Self::Ambiguous { .. } => {
                "write the value there once, as plain text on one line and without escapes"
            }
            Self::NotCarried { .. } => {
                "quote the present value in the file where its reader takes quotes off, or keep it in a file of its own"
            }
            Self::TooLarge { .. } => "keep the value in a small file of its own",
            Self::WrongSlot { .. } => {
                "correct `reads` in keyroll.toml: `variable` belongs to an env file, `at` to a file with a `format`"
            }
            Self::Malformed { .. } => "correct the file or its `format` in keyroll.toml",
            Self::Pointer { .. } => "correct `at` of this copy in keyroll.toml",
            Self::Template { .. } => {
                "write placeholders as {field} or {field:raw}, and a brace itself as {{ or }}"
            }
            Self::Verifier { .. } => {
                "let PgBouncer ask the server (auth_query), or write the password itself there"
            }
            Self::Taken { .. } => "find out who uses this line; if it is unused, remove it from the list",
            Self::NoField { .. } => "add the field to the secret or correct the name in keyroll.toml",
            Self::FieldNotCarried { .. } => {
                "choose a value of letters and digits, or write {field:raw} if it is meant so"
            }
        }
    }
}
