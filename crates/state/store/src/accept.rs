//! Takes over a value that the source of truth gives out and that keyroll did not write.

use keyroll_codes::Code;
use keyroll_port::{Failure, Label, VersionInfo};
use keyroll_secret::{Credential, CredentialId};

use crate::book::{Book, Version, label_word};
use crate::ledger::Ledger;
use crate::payload::Place;
use crate::steps::{check_differs, check_new, now_ms, relabel};

/// Makes the credential the current version, and the one that was current the previous one. Repeated, it changes nothing.
/// The value of the previous version makes that one current again. Of any other version it is refused: its key may be ended.
pub(crate) fn accept(
    ledger: &mut Ledger<'_>,
    name: &str,
    credential: &Credential,
) -> Result<VersionInfo, Failure> {
    check_new(ledger, name, credential)?;
    let mut book = ledger.book(name)?;
    let fingerprints = ledger.keys.fingerprints(credential);
    let refuse = |why: String| ledger.attempt.refuse(Code::VersionRefused, why);
    match book.versions.iter().find(|version| version.fingerprints == fingerprints) {
        Some(same) if same.label == Label::Current => return Ok(same.info()),
        Some(same) if same.label == Label::Previous => {
            let number = same.number;
            return exchange(ledger, book, number);
        }
        Some(same) => {
            let (number, label) = (same.number, label_word(same.label));
            return Err(refuse(format!("its value is that of v{number}, which is {label}")));
        }
        None => {}
    }
    if let Some(pending) = book.versions.iter().find(|version| version.label == Label::Pending) {
        let why = format!("v{} is pending: a rotation made it", pending.number);
        return Err(refuse(why).help("keyroll status"));
    }
    check_differs(ledger, name, credential)?;
    let before = book.current().map(|version| version.number);
    let last = book.versions.last().map_or(0, |version| version.number);
    let number = last.checked_add(1).ok_or_else(|| refuse("it has too many versions".to_owned()))?;
    let version = Version {
        number,
        label: Label::Current,
        credential: credential.id.as_ref().map(CredentialId::as_str).map(str::to_owned),
        fingerprints,
        sealed: Some(ledger.seal(name, &Place::Version(number), credential)?),
        needle: None,
        from: None,
        unix_ms: now_ms(),
    };
    let info = version.info();
    if let Some(before) = before {
        relabel(&mut book, before, Label::Previous);
    }
    book.versions.push(version);
    let changed: Vec<u32> = before.into_iter().chain([number]).collect();
    ledger.save(&book, &changed, &[])?;
    Ok(info)
}

/// Makes the previous version current again, and the current one previous.
fn exchange(ledger: &mut Ledger<'_>, mut book: Book, number: u32) -> Result<VersionInfo, Failure> {
    let before = book.current().map(|version| version.number);
    if let Some(before) = before {
        relabel(&mut book, before, Label::Previous);
    }
    relabel(&mut book, number, Label::Current);
    let changed: Vec<u32> = before.into_iter().chain([number]).collect();
    ledger.save(&book, &changed, &[])?;
    let info = book.current().map(Version::info);
    info.ok_or_else(|| ledger.attempt.refuse(Code::VersionRefused, format!("it has no v{number}")))
}
