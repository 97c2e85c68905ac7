use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Issuer, Listing, Probe};
use keyroll_rotation::Overlap;
use keyroll_secret::Credential;

use crate::document::Document;

/// What every label of ours starts with.
const LABEL_PREFIX: &str = "keyroll/";

/// Reads everything that can be read before a mint: the list, the limit, the slots. `rights_read`: whether the admin's
/// rights were already read.
pub(crate) async fn preflight(
    document: &Document,
    issuer: &dyn Issuer,
    rights_read: bool,
    current: &Credential,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    let mut asked = rights_read;
    if !asked {
        notes.push(format!("{}: the rights to mint and revoke show only when they are used", document.title));
    }
    if document.op.list.is_some() {
        let listing = issuer.list(current).await?;
        notes.extend(judge(document, issuer.capabilities().overlap, current, &listing)?);
        asked = true;
    }
    if !asked {
        reached(document, issuer, current).await?;
    }
    if document.op.get.is_some() && current.id.is_none() {
        return Err(refuse(document, "copy the settings of the credential in use")
            .because("it is not bound to its id at the issuer, so its settings cannot be read")
            .help("bind it with `keyroll secret add NAME --id ID`"));
    }
    Ok(notes)
}

fn refuse(document: &Document, what: &str) -> Failure {
    Failure::new(Class::Permanent, Code::NoRoomForNewKey, format!("{what} ({})", document.title))
}

/// An issuer that lists nothing must at least answer one call with the credential.
async fn reached(document: &Document, issuer: &dyn Issuer, current: &Credential) -> Result<(), Failure> {
    for endpoint in issuer.endpoints() {
        if let Probe::Unknown(why) = issuer.probe(&endpoint, current).await {
            let what = format!("reach {endpoint} ({})", document.title);
            return Err(Failure::new(Class::Retryable, Code::RequestFailed, what).because(why));
        }
    }
    Ok(())
}

fn judge(
    document: &Document,
    overlap: Overlap,
    current: &Credential,
    listing: &Listing,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    if !listing.complete {
        let why = listing.incomplete.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        // A key that the list does not show may belong to somebody else, and a mint would take its slot.
        if overlap == Overlap::TwoSlots {
            return Err(refuse(document, "see which slot is free")
                .because(format!("the issuer's list is incomplete{why}"))
                .help("nothing was changed; wait until it lists everything"));
        }
        notes.push(format!("the issuer's list is incomplete, so it proves no absence{why}"));
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
    match overlap {
        Overlap::Independent { max } if max > 0 => {
            let count = listing.entries.len();
            if count >= max as usize {
                return Err(refuse(document, "make room for a second credential")
                    .because(format!("the issuer allows {max} credentials, and {count} exist"))
                    .help("at the issuer, revoke a key that nothing uses"));
            }
        }
        Overlap::TwoSlots => {
            // A disabled credential keeps its slot, too.
            let mut others = others;
            let foreign = others
                .find(|entry| !entry.label.as_deref().is_some_and(|label| label.starts_with(LABEL_PREFIX)));
            if let Some(entry) = foreign {
                return Err(refuse(document, "use the second slot")
                    .because(format!("keyroll did not make the key {} that is in it", entry.id))
                    .help("find out who uses that key; if nobody does, revoke it at the issuer"));
            }
        }
        Overlap::Independent { .. } | Overlap::Grace { .. } | Overlap::None => {}
    }
    Ok(notes)
}
