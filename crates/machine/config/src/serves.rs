//! `serves`: a consumer that gets its value from keyroll's socket instead of a file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::shape::{ConsumerShape, ServesShape};

/// The longest name of a user, in bytes (useradd(8)).
const USER_BYTES_MAX: usize = 32;
/// The only value of `trusts`.
const OWN_WORD: &str = "own word";

/// The process that keyroll's socket gives the value to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serves {
    /// The user that it runs as: a name, or a number without leading zeros.
    pub user: String,
    /// The executable that it runs, absolute.
    pub exe: PathBuf,
}

impl Serves {
    pub(crate) fn read(shape: &ServesShape, folder: &Path) -> Result<Self, Mistake> {
        if !shape.exe.value.contains('/') {
            let why = "`serves.exe` must be the path of an executable, not a name";
            return Err(Mistake::new(Kind::BadPath, why).at(&shape.exe.span));
        }
        Ok(Self { user: user_of("serves.uid", &shape.uid)?, exe: resolve(folder, "serves.exe", &shape.exe)? })
    }
}

/// Whether the operator trusts what the consumer's processes say.
pub(crate) fn read_trusts(shape: &ConsumerShape) -> Result<bool, Mistake> {
    match &shape.trusts {
        None => Ok(false),
        Some(text) if shape.serves.is_none() => {
            Err(Mistake::new(Kind::BadCombination, "`trusts` goes with `serves`").at(&text.span))
        }
        Some(text) if text.value == OWN_WORD => Ok(true),
        Some(text) => Err(Mistake::one_of("trusts", text, &[OWN_WORD])),
    }
}

/// The word that says that the operator trusts a program in a cluster to read its file again.
const REREADS: &str = "rereads";

/// The same of a consumer in a cluster.
pub(crate) fn read_trusts_of_pods(shape: &ConsumerShape, rereads: bool) -> Result<bool, Mistake> {
    match &shape.trusts {
        None => Ok(false),
        Some(text) if text.value != REREADS => Err(Mistake::one_of("trusts", text, &[REREADS])),
        Some(text) if !rereads => {
            let why = "`trusts = \"rereads\"` goes with `rereads = true` in `runs`";
            Err(Mistake::new(Kind::BadCombination, why).at(&text.span))
        }
        Some(_) => Ok(true),
    }
}

/// Refuses the keys of a consumer that reads copies.
pub(crate) fn refuse_strays(shape: &ConsumerShape) -> Result<(), Mistake> {
    let strays = [
        ("runs", shape.runs.as_ref().map(|runs| &runs.span)),
        ("reads", shape.reads.as_ref().map(|reads| &reads.span)),
        ("fetch", shape.fetch.as_ref().map(|fetch| &fetch.span)),
        ("log", shape.log.as_ref().map(|log| &log.span)),
    ];
    match strays.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(()),
        Some((key, span)) => {
            let why = format!("`{key}` does not go with `serves`: the process gets the value from keyroll");
            let help = format!(
                "leave out `{key}`; or leave out `serves`, if the process gets the value another way"
            );
            Err(Mistake::new(Kind::BadCombination, why).at(span).help(help))
        }
    }
}

/// The mistake of a consumer with `serves` on a host by ssh. `at` = its `serves`.
pub(crate) fn on_other_host(at: &Range<usize>) -> Mistake {
    let why =
        "`serves` does not go with a host by ssh: keyroll's socket is on the machine that keyroll runs on";
    Mistake::new(Kind::BadCombination, why).at(at).help(
        "write `runs` and `reads` in place of `serves`: keyroll then writes the copy on that host, and makes the process load it",
    )
}

/// The user that `key` names. Whether there is one of this name is seen later, on the machine.
pub(crate) fn user_of(key: &str, text: &At<String>) -> Result<String, Mistake> {
    let user = text.value.as_str();
    // As useradd(8) allows it.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    let is_name =
        (1..=USER_BYTES_MAX).contains(&user.len()) && !user.starts_with('-') && user.bytes().all(allowed);
    let read = match user.bytes().all(|b| b.is_ascii_digit()) {
        // The highest number means "no user" to the kernel.
        true => user.parse::<u32>().ok().filter(|uid| *uid != u32::MAX).map(|uid| uid.to_string()),
        false => is_name.then(|| user.to_owned()),
    };
    read.ok_or_else(|| {
        Mistake::new(Kind::BadName, format!("`{key}` must be the name or the number of a local user"))
            .at(&text.span)
    })
}
