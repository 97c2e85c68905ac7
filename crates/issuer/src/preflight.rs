use keyroll_port::{Class, Failure, Issuer, Listing, Probe};
use keyroll_rotation::Overlap;
use keyroll_secret::Credential;

use crate::runner::Runner;

/// What every label of ours starts with.
const LABEL_PREFIX: &str = "keyroll/";

/// Reads all that can be read before anything is made: rights, the list, the limit, the slots.
pub(crate) async fn preflight(runner: &Runner, current: &Credential) -> Result<Vec<String>, Failure> {
    let document = runner.document();
    let mut notes = Vec::new();
    let mut asked = runner.rights().await?;
    if !asked {
        notes.push(format!("{}: the rights to mint and revoke show only when they are used", document.title));
    }
    if document.op.list.is_some() {
        let listing = runner.list(current).await?;
        notes.extend(judge(runner, current, &listing)?);
        asked = true;
    }
    if !asked {
        reached(runner, current).await?;
    }
    if document.op.get.is_some() && current.id.is_none() {
        return Err(refuse(runner, "copy the settings of the credential in use")
            .because("it is not bound to its id at the issuer, so its settings cannot be read")
            .help("bind it with `keyroll secret add NAME --id ID`"));
    }
    Ok(notes)
}

fn refuse(runner: &Runner, what: &str) -> Failure {
    Failure::new(Class::Permanent, "K0107", format!("{what} ({})", runner.document().title))
}

/// An issuer without lists is at least there: one call with the credential must be answered.
async fn reached(runner: &Runner, current: &Credential) -> Result<(), Failure> {
    for endpoint in runner.endpoints() {
        if let Probe::Unknown(why) = runner.probe(&endpoint, current).await {
            let what = format!("reach {endpoint} ({})", runner.document().title);
            return Err(Failure::new(Class::Retryable, "K0106", what).because(why));
        }
    }
    Ok(())
}

fn judge(runner: &Runner, current: &Credential, listing: &Listing) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    if !listing.complete {
        // What is not listed may be the key of somebody else, whose slot a mint would take.
        if runner.capabilities().overlap == Overlap::TwoSlots {
            return Err(refuse(runner, "see which slot is free")
                .because("the issuer's list is not whole")
                .help("nothing was changed; run `keyroll plan` again when it lists everything"));
        }
        notes.push("the issuer's list is not whole: it proves no absence".to_owned());
    }
    if let Some(id) = &current.id {
        match listing.entries.iter().find(|entry| entry.id == *id) {
            Some(entry) if entry.disabled => notes.push(format!("the credential in use ({id}) is disabled")),
            None if listing.complete => {
                notes.push(format!("the credential in use ({id}) is not in the issuer's list"))
            }
            Some(_) | None => {}
        }
    }
    let others = listing.entries.iter().filter(|entry| Some(&entry.id) != current.id.as_ref());
    match runner.capabilities().overlap {
        Overlap::Independent { max } if max > 0 => {
            let count = listing.entries.len();
            if count >= max as usize {
                return Err(refuse(runner, "make room for a second credential")
                    .because(format!("the issuer allows {max} credentials, and {count} exist"))
                    .help("end one that nothing uses at the issuer, then `keyroll plan`"));
            }
        }
        Overlap::TwoSlots => {
            let foreign = others
                .filter(|entry| !entry.disabled)
                .find(|entry| !entry.label.as_deref().is_some_and(|label| label.starts_with(LABEL_PREFIX)));
            if let Some(entry) = foreign {
                return Err(refuse(runner, "use the second slot")
                    .because(format!("{} is there and was not made by keyroll", entry.id))
                    .help("see who uses it; disable it at the issuer if nobody does, then `keyroll plan`"));
            }
        }
        Overlap::Independent { .. } | Overlap::Grace { .. } | Overlap::None => {}
    }
    Ok(notes)
}
