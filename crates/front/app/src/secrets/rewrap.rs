//! Wraps the sealing key differently. The key itself, every fingerprint and every sealed value stay the same.

use keyroll_codes::Code;

use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::wiring::sealing_source::Source;
use crate::wiring::{open, sealing};

/// Wraps the sealing key with the source `to`; `again` is a second pipe with the same key.
///
/// # Errors
/// A source is not valid or cannot be read, there is no sealing key, or another keyroll holds the lock.
pub fn rewrap(
    to: &str,
    again: Option<&str>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let source = Source::parse(to)?;
    let again = again.map(Source::parse).transpose()?;
    let proof = sealing::proof(&source, again.as_ref())?;
    let places = installation.places()?;
    places.ensure()?;
    let path = places.sealing_key();
    if !path.exists() {
        return Err(Problem::new(
            Code::SealingKeyUnusable,
            format!("wrap the sealing key {}", path.display()),
        )
        .because("there is no sealing key yet")
        .help("the first command that needs the key makes it: keyroll secret add --sealing-key SOURCE"));
    }
    let (lock, places) = open::lock(&places)?;
    let before = sealing::rewrap(&places, &source, proof)?;
    drop(lock);
    operator.event(Event::Undo {
        what: format!("wrapped {} with {}; before: {before}", path.display(), to),
        with: format!(
            "keyroll secret rewrap --to {}",
            if before == "fd" { "fd:3 --again fd:4" } else { &before }
        ),
    });
    operator.note(
        "the key itself did not change: a copy of the old file, in a backup or on the disk, still opens \
         everything",
    );
    Ok(())
}
