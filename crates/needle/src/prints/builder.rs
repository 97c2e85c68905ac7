use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::breaks::Joined;
use crate::prints::entropy;
use crate::prints::key::{PrintKey, TAG_BITS};
use crate::prints::label::{PRINT_NAME_BYTES_MAX, PrintLabel};
use crate::prints::table::{Print, is_even, window_at};
use crate::{Prints, VALUE_BYTES_MAX, pem};

/// What of a value nobody can guess must have so many bits; a tag takes away at most 24 of them.
pub const PRINT_ENTROPY_BITS_MIN: u32 = 128;
/// Fewer bytes cannot have so many bits.
pub const PRINT_VALUE_BYTES_MIN: usize = 16;
/// The most prints of a set. A value is one, a private key one for each line besides.
pub const PRINTS_MAX: usize = 100_000;

/// Why a value is not in a set of prints; never shows it. Nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPrinted {
    /// It is shorter than [`PRINT_VALUE_BYTES_MIN`].
    #[error("it has {length} bytes; fewer than {PRINT_VALUE_BYTES_MIN} could be guessed from their print")]
    TooShort {
        /// Its length in bytes.
        length: usize,
    },
    /// It is longer than [`VALUE_BYTES_MAX`].
    #[error("it has {length} bytes; at most {VALUE_BYTES_MAX} are looked for")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It may be guessed from its print: a password, words, an address with a short password.
    #[error(
        "about {bits} bits of it cannot be guessed; with fewer than {needed} it could be found from its print"
    )]
    Guessable {
        /// What was estimated.
        bits: u32,
        /// What is needed.
        needed: u32,
    },
    /// It is a text in which blanks stand: it has parts that are looked for by themselves.
    #[error("blanks stand in it; print its parts one by one")]
    Blanks,
    /// The same few bytes stand again and again where its window is.
    #[error("the same few bytes stand in it again and again")]
    Even,
    /// The set is full.
    #[error("a set has at most {PRINTS_MAX} prints")]
    TooMany,
    /// The label's name cannot stand in a line of the file.
    #[error(
        "its name is empty, longer than {PRINT_NAME_BYTES_MAX} bytes, or has control characters or a blank at an end"
    )]
    Name,
}

/// The system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not draw a key for the prints · the system has no random numbers")]
pub struct NoKey;

/// Collects the prints of a [`Prints`]. It keeps no value.
pub struct PrintsBuilder {
    key: PrintKey,
    labels: Vec<PrintLabel>,
    prints: Vec<Print>,
}

impl PrintsBuilder {
    pub(crate) fn new() -> Result<Self, NoKey> {
        Ok(Self { key: PrintKey::fresh().ok_or(NoKey)?, labels: Vec::new(), prints: Vec::new() })
    }

    /// Adds a value; of private keys in PEM what stands between the first and the last line, and its lines.
    ///
    /// Errors: why it cannot be in the set; the caller says so, since the value will not be found.
    pub fn add(&mut self, label: PrintLabel, value: &SecretBytes) -> Result<(), NotPrinted> {
        if !label.is_valid() {
            return Err(NotPrinted::Name);
        }
        let length = value.len();
        if length > VALUE_BYTES_MAX {
            return Err(NotPrinted::TooLong { length });
        }
        let number = u32::try_from(self.labels.len()).map_err(|_| NotPrinted::TooMany)?;
        let forms = forms(value.expose())?;
        if self.prints.len() + forms.len() > PRINTS_MAX {
            return Err(NotPrinted::TooMany);
        }
        self.prints.extend(forms.iter().filter_map(|form| Print::of(&self.key, form, number)));
        self.labels.push(label);
        Ok(())
    }

    /// The number of values added.
    pub fn values(&self) -> usize {
        self.labels.len()
    }

    /// Prepares the search, and what is written to a file.
    pub fn build(self) -> Prints {
        Prints::new(self.key, self.labels, self.prints)
    }
}

/// What is looked for of a value. Encodings are not: the text is decoded, so that a file says no more of a value than it must.
fn forms(value: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, NotPrinted> {
    let mut all = Vec::new();
    let bodies = pem::of(value).bodies;
    if bodies.is_empty() {
        if entropy::is_text(value) && value.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(NotPrinted::Blanks);
        }
        whole(value, &mut all)?;
    }
    for body in bodies {
        whole(body, &mut all)?;
        // In the first line of a key most is the same for all of its kind.
        let lines = pem::lines(body).skip(1);
        let lines =
            lines.filter(|line| line.len() < body.len() && is_printed(line, PRINT_ENTROPY_BITS_MIN).is_ok());
        all.extend(lines.map(|line| Zeroizing::new(line.to_vec())));
    }
    Ok(all)
}

/// As it is, and without its line ends: a text may have them elsewhere.
fn whole(value: &[u8], all: &mut Vec<Zeroizing<Vec<u8>>>) -> Result<(), NotPrinted> {
    let joined = Joined::of(value).map(|joined| joined.bytes);
    // Of two prints of one value each takes its bits away.
    let needed = PRINT_ENTROPY_BITS_MIN + if joined.is_some() { TAG_BITS } else { 0 };
    is_printed(value, needed)?;
    if let Some(joined) = &joined {
        is_printed(joined, needed)?;
    }
    all.push(Zeroizing::new(value.to_vec()));
    all.extend(joined);
    Ok(())
}

fn is_printed(value: &[u8], needed: u32) -> Result<(), NotPrinted> {
    let length = value.len();
    if length < PRINT_VALUE_BYTES_MIN {
        return Err(NotPrinted::TooShort { length });
    }
    let bits = entropy::bits(value);
    if bits < needed {
        return Err(NotPrinted::Guessable { bits, needed });
    }
    match window_at(length) {
        Some(at) if !is_even(value, at) => Ok(()),
        Some(_) | None => Err(NotPrinted::Even),
    }
}
