//! Why the table of an object cannot be used.

use std::fmt;

use keyroll_config::ConfigError;

/// Why an object's `spec` cannot be used, and what to do. It repeats no text of the `spec` but names: it could be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    why: String,
    help: String,
    /// Further mistakes.
    also: Vec<Self>,
}

/// `why · help; also: why · help`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        if !self.help.is_empty() {
            write!(f, " · {}", self.help)?;
        }
        self.also.iter().try_for_each(|other| write!(f, "; also: {other}"))
    }
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into(), also: Vec::new() }
    }

    /// All mistakes as one refusal, each once; none is well.
    pub(crate) fn of_all(all: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut all = all.into_iter();
        let Some(mut first) = all.next() else { return Ok(()) };
        for other in all {
            if other != first && !first.also.contains(&other) {
                first.also.push(other);
            }
        }
        Err(first)
    }

    /// The mistake that the parser found, without its place: nobody wrote that text.
    pub(crate) fn of(error: &ConfigError) -> Self {
        Self::new(error.message(), error.help().unwrap_or_default())
    }
}

/// Keys of a secret by which keyroll would act outside of the object's namespace, or with a login of its own.
const OUTSIDE: [(&str, &str, &str); 5] = [
    (
        "aws",
        "`aws` is not for an object: keyroll's own login at AWS would change the access keys",
        "write this secret into keyroll's base file",
    ),
    (
        "bystanders",
        "`bystanders` is not for an object: they are processes of a machine",
        "leave it out; a pod that may keep the old value is named by: keyroll consumer waive",
    ),
    (
        "gate",
        "`gate` is not for an object: keyroll would ask a server in its own pod",
        "leave it out; a secret in keyroll's base file can have it",
    ),
    ("kubernetes", "`kubernetes` is not for an object: its cluster is the one that it is in", "leave it out"),
    (
        "searched_hosts",
        "`searched_hosts` is not for an object: it has no hosts but its own namespace",
        "leave it out",
    ),
];

/// The refusal of a key that is not for an object.
pub(crate) fn outside(key: &str) -> Option<Refusal> {
    let (_, why, help) = OUTSIDE.iter().find(|(outside, _, _)| *outside == key)?;
    Some(Refusal::new(*why, *help))
}

/// The refusal of an issuer for which keyroll uses its own login at AWS.
pub(crate) fn of_aws() -> Refusal {
    Refusal::new(
        "`issuer` names access keys of AWS, which keyroll's own login there would change: they are not for an object",
        "write this secret into keyroll's base file",
    )
}

/// The refusal of a file that is not in the folder of the namespace.
pub(crate) fn out_of_folder(key: &str) -> Refusal {
    Refusal::new(
        format!("`{key}` names a file outside of the folder of its namespace"),
        "write the path from that folder, without `..`: `file:./admin.key`",
    )
}
