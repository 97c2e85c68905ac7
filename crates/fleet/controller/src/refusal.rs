//! Why the table of an object cannot be used.

use std::{fmt, iter};

use keyroll_config::ConfigError;

use crate::field::Fields;

/// The most mistakes that are shown.
const SHOWN_MAX: usize = 20;
/// The most bytes of them all: they are in one message of a condition, behind its beginning and before what is left off.
pub(crate) const SHOWN_BYTES_MAX: usize = 3_900;

/// Why an object's `spec` cannot be used, and what to do. It repeats no text of the `spec` but names: it could be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    why: String,
    help: String,
    /// Further mistakes; none of them has others.
    also: Vec<Self>,
    /// How many there are beyond those.
    more: usize,
}

/// `why · help; also: why · help; and 3 more`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.said();
        f.write_str(&first)?;
        let (mut bytes, mut left) = (first.len(), self.also.len());
        for other in self.also.iter().take(SHOWN_MAX - 1).map(|other| format!("; also: {}", other.said())) {
            bytes += other.len();
            if bytes > SHOWN_BYTES_MAX {
                break;
            }
            f.write_str(&other)?;
            left -= 1;
        }
        match left + self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into(), also: Vec::new(), more: 0 }
    }

    /// This mistake alone.
    fn said(&self) -> String {
        let dot = if self.help.is_empty() { "" } else { " · " };
        format!("{}{dot}{}", self.why, self.help)
    }

    /// All mistakes as one refusal, each once; none is well.
    pub(crate) fn of_all(all: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let (mut each, mut more): (Vec<Self>, usize) = (Vec::new(), 0);
        for Self { why, help, also, more: others } in all {
            more += others;
            for one in iter::once(Self::new(why, help)).chain(also) {
                if !each.contains(&one) {
                    each.push(one);
                }
            }
        }
        let mut each = each.into_iter();
        match each.next() {
            None => Ok(()),
            Some(first) => Err(Self { also: each.collect(), more, ..first }),
        }
    }

    /// The mistakes that the parser found in a composed text, each with its field.
    pub(crate) fn of(error: &ConfigError, text: &str) -> Self {
        let fields = Fields::of(text);
        let named = |one: &ConfigError| {
            let field = one.position().and_then(|at| fields.at(at));
            let field = field.filter(|field| !one.message().contains(&format!("`{field}`")));
            let place = field.map(|field| format!(" (in `{field}`)")).unwrap_or_default();
            Self::new(format!("{}{place}", one.message()), one.help().unwrap_or_default())
        };
        let all = iter::once(error).chain(error.further()).map(named);
        let joined = Self::of_all(all).err().unwrap_or_else(|| named(error));
        Self { more: error.left_off(), ..joined }
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

/// The refusal of an object without a consumer.
pub(crate) fn no_consumer() -> Refusal {
    Refusal::new(
        "it names no consumer, so that a rotation would give the new value to nobody",
        "write `consumers`: a list, each with `name`, `runs` and `reads`",
    )
}

/// The refusal of a file in a namespace without a folder.
pub(crate) fn no_folder(key: &str) -> Refusal {
    Refusal::new(
        format!("`{key}` names a file, and its namespace has no folder of files"),
        "the folder is `folder` under [server.kubernetes.namespaces.HOST] in keyroll's base file",
    )
}

/// The refusal of a file that is not in the folder of the namespace.
pub(crate) fn out_of_folder(key: &str) -> Refusal {
    Refusal::new(
        format!("`{key}` names a file outside of the folder of its namespace"),
        "write the path from that folder, without `..`: `file:./admin.key`",
    )
}
