//! What streams are shielded from: the values that keyroll keeps, and what the rules find.

use std::sync::Arc;

use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_redact::{Report, Sought};

use crate::context::Context;
use crate::kept::kept;
use crate::problem::Problem;

/// Every version of every secret that is kept, and the rules unless known values alone are wanted.
///
/// A store that is there and cannot be read ends it: a stream that seems to be shielded, and is not, is worse than none.
pub(crate) fn sought(known_alone: bool, context: &mut Context) -> Result<Sought, Problem> {
    let needles = known(context)?;
    if needles.is_none() && known_alone {
        return Err(Problem::new("K0931", "look for known values")
            .because("no store is here, so that none is known")
            .help("name the folder with --state, or leave out --known to look for what has the form of a credential"));
    }
    let rules = match known_alone {
        true => None,
        false => Some(Rules::shipped().map_err(|error| {
            Problem::new("K0931", "read the rules that come with the program").because_of(&error)
        })?),
    };
    if needles.is_none() {
        context.ui.note(
            "no store is here: what has the form of a credential is replaced; a password without one is not",
        );
    }
    let needles = match needles {
        Some(needles) => needles,
        None => empty()?,
    };
    Ok(Sought::new(Arc::new(needles), rules))
}

fn empty() -> Result<Needles, Problem> {
    Needles::builder().build().map_err(|error| Problem::new("K0931", "look for nothing").because_of(&error))
}

/// The values of a store; `None` = there is none.
fn known(context: &Context) -> Result<Option<Needles>, Problem> {
    let Some(kept) = kept(context, false)? else { return Ok(None) };
    let mut builder = Needles::builder();
    let mut number = 0;
    for secret in &kept.secrets {
        for value in secret.versions.iter().flat_map(|version| &version.values) {
            if (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()) {
                let id = NeedleId(number);
                number += 1;
                builder = builder.add(id, value).name(id, secret.name.clone());
            }
        }
    }
    let needles = builder.build();
    needles.map(Some).map_err(|error| Problem::new("K0931", "look for known values").because_of(&error))
}

/// What was replaced, by name and count.
pub(crate) fn replaced(report: &Report) -> String {
    let all = report.values.iter().chain(&report.rules);
    let named: Vec<String> = all.map(|(name, count)| format!("{name} ×{count}")).collect();
    match named.is_empty() {
        true => "nothing was replaced".to_owned(),
        false => format!("replaced: {}", named.join(", ")),
    }
}
