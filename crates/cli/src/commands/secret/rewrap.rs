use crate::args::SecretRewrapArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::ui::Event;
use crate::wiring::open;
use crate::wiring::sealing::{self, Source};

/// Wraps the sealing key with something else. The key stays the same, and with it every fingerprint and sealed value.
pub(super) fn run(args: &SecretRewrapArgs, context: &mut Context) -> Result<Exit, Problem> {
    let to = Source::parse(&args.to)?;
    let again = args.again.as_deref().map(Source::parse).transpose()?;
    let proof = sealing::proof(&to, again.as_ref())?;
    let places = context.places()?;
    places.ensure()?;
    let path = places.sealing_key();
    if !path.exists() {
        return Err(Problem::new("K0826", format!("wrap the sealing key {}", path.display()))
            .because("there is none yet")
            .help("the first command that needs one makes it: keyroll secret add --sealing-key SOURCE"));
    }
    let lock = open::lock(&places)?;
    let before = sealing::rewrap(&places, &to, proof)?;
    drop(lock);
    context.ui.event(Event::Undo {
        what: format!("wrapped {} with {}; it was with {before}", path.display(), args.to),
        with: format!(
            "keyroll secret rewrap --to {}",
            if before == "fd" { "fd:3 --again fd:4" } else { &before }
        ),
    });
    context.ui.note(
        "the key itself is the same: a copy of the old file, in a backup or on the disk, still opens everything"
            .to_owned(),
    );
    Ok(Exit::Done)
}
