use std::collections::BTreeSet;

use keyroll_needle::{NotPrinted, PrintLabel, PrintState, Prints};
use keyroll_port::Label;

use crate::args::PrintsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kept::{Kept, kept};
use crate::prints_file;
use crate::problem::Problem;
use crate::ui::{Event, PrintsShown};

/// Writes a file by which a scanner elsewhere finds what is kept here, and cannot tell what it is.
pub(super) fn run(args: &PrintsArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Some(kept) = kept(context, true)? else {
        return Err(making().because("no store is here, so that there is nothing to print").help(
            "name the folder of the store with --state; or take a secret in first: keyroll secret add --help",
        ));
    };
    let kept = chosen(kept, &args.secrets)?;
    let (prints, shown) = prints(&kept, args, context)?;
    prints_file::write(&args.out, &prints, args.replace)?;
    let left_out = shown.left_out > 0;
    let what = "it is for the scanner alone: who has it can ask whether a text holds one of these values";
    context.ui.event(Event::Prints(shown));
    context.ui.event(Event::Undo { what: what.to_owned(), with: "take the file away".to_owned() });
    Ok(if left_out { Exit::Findings } else { Exit::Done })
}

/// The secrets that are named; all where none is.
fn chosen(kept: Kept, names: &[String]) -> Result<Kept, Problem> {
    let missing = names.iter().find(|name| !kept.secrets.iter().any(|secret| secret.name == **name));
    if missing.is_some() {
        // What was typed is not repeated: it may be a value.
        let all: Vec<&str> = kept.secrets.iter().map(|secret| secret.name.as_str()).collect();
        return Err(making()
            .because("a secret that is named is not kept here")
            .help(format!("these are: {}", all.join(", "))));
    }
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    let secrets = kept.secrets.into_iter().filter(|secret| wanted(&secret.name)).collect();
    Ok(Kept { secrets, ..kept })
}

/// The prints of all values that may have one; each other is named.
fn prints(kept: &Kept, args: &PrintsArgs, context: &mut Context) -> Result<(Prints, PrintsShown), Problem> {
    let mut builder = Prints::builder().map_err(|error| making().because_of(&error))?;
    let (mut secrets, mut versions) = (BTreeSet::new(), BTreeSet::new());
    let (mut left_out, mut ended) = (0, 0);
    for secret in &kept.secrets {
        for version in &secret.versions {
            ended += usize::from(version.values.is_empty());
            for value in &version.values {
                let label = PrintLabel {
                    name: secret.name.clone(),
                    version: u64::from(version.number),
                    state: state(version.label),
                };
                match builder.add(label, value) {
                    Ok(()) => {
                        secrets.insert(&secret.name);
                        versions.insert((&secret.name, version.number));
                    }
                    Err(why) => {
                        left_out += 1;
                        named(&format!("{} v{}", secret.name, version.number), why, context);
                    }
                }
            }
        }
    }
    let values = builder.values();
    if values == 0 {
        return Err(making()
            .because("no value that is kept can have a print")
            .help("what is looked for by its value needs this store: keyroll leaks --known"));
    }
    let path = keyroll_observe::shown(&args.out);
    let shown =
        PrintsShown { path, secrets: secrets.len(), versions: versions.len(), values, left_out, ended };
    Ok((builder.build(), shown))
}

fn named(what: &str, why: NotPrinted, context: &mut Context) {
    let why = format!("not found by its print: {why}");
    context.ui.event(Event::NotVisible { what: what.to_owned(), why });
}

fn state(label: Label) -> PrintState {
    match label {
        Label::Pending => PrintState::Pending,
        Label::Current => PrintState::Current,
        Label::Previous => PrintState::Previous,
        Label::Retired => PrintState::Retired,
    }
}

fn making() -> Problem {
    Problem::new("K0937", "make the prints")
}
