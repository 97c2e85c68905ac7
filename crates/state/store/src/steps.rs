//! What each call of the port changes in a secret's book. A call that is repeated with the same arguments is harmless.

use std::time::{SystemTime, UNIX_EPOCH};

use keyroll_codes::Code;
use keyroll_port::{Failure, FailureKind, Label, VersionInfo};
use keyroll_secret::{Credential, CredentialId, SecretBytes};

use crate::book::{Book, Kept, Version, label_word};
use crate::ledger::Ledger;
use crate::payload::{Fingerprints, Place};

/// The longest name of a secret, bytes.
const NAME_BYTES_MAX: usize = 255;

/// Instead of the number of an earlier version: there is none before the first.
const NONE_BEFORE: u32 = 0;

/// The longest field of a secret that is imported, bytes; more does not fit an environment.
const FIELD_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn add(
    ledger: &mut Ledger<'_>,
    name: &str,
    credential: &Credential,
) -> Result<VersionInfo, Failure> {
    check_add(ledger, name, credential)?;
    first(ledger, name, credential)
}

/// Refuses what [`add`] refuses.
pub(crate) fn check_add(ledger: &Ledger<'_>, name: &str, credential: &Credential) -> Result<(), Failure> {
    check_new(ledger, name, credential)?;
    if ledger.book_if_any(name)?.is_some_and(|book| !(book.versions.is_empty() && book.kept.is_empty())) {
        let why = format!("there is a secret '{name}' already");
        return Err(ledger
            .attempt
            .refuse(Code::VersionRefused, why)
            .kind(FailureKind::SecretExists)
            .help("change its value by rotating it"));
    }
    check_differs(ledger, name, credential)
}

/// Begins the book of a secret whose first version is still to be made.
pub(crate) fn found(ledger: &mut Ledger<'_>, name: &str) -> Result<(), Failure> {
    if ledger.book_if_any(name)?.is_some() {
        return Ok(());
    }
    ledger.save(&Book { name: name.to_owned(), versions: Vec::new(), kept: Vec::new() }, &[], &[])
}

/// Replaces a first version that was imported wrongly, as long as no other version was made from it.
pub(crate) fn correct(
    ledger: &mut Ledger<'_>,
    name: &str,
    credential: &Credential,
) -> Result<VersionInfo, Failure> {
    check_correct(ledger, name, credential)?;
    first(ledger, name, credential)
}

/// Refuses what [`correct`] refuses.
pub(crate) fn check_correct(ledger: &Ledger<'_>, name: &str, credential: &Credential) -> Result<(), Failure> {
    check_new(ledger, name, credential)?;
    let book = ledger.book(name)?;
    let untouched = book.kept.is_empty()
        && book.versions.iter().all(|version| version.number == 1 && version.label == Label::Current);
    if !untouched {
        let why = format!("a rotation made another value of '{name}' from it");
        return Err(ledger
            .attempt
            .refuse(Code::VersionRefused, why)
            .kind(FailureKind::SecretExists)
            .help(format!("keyroll plan {name}")));
    }
    check_differs(ledger, name, credential)
}

/// No other secret may have the value.
pub(crate) fn check_differs(ledger: &Ledger<'_>, name: &str, credential: &Credential) -> Result<(), Failure> {
    let fingerprints = ledger.keys.fingerprints(credential);
    let names: Vec<String> = ledger.names().filter(|other| *other != name).map(str::to_owned).collect();
    for other in names {
        if ledger.book(&other)?.holds_any(&fingerprints) {
            let why = format!("the secret '{other}' has the same value");
            let help = format!("use '{other}' for all of its consumers, or give this one a value of its own");
            return Err(ledger.attempt.refuse(Code::VersionRefused, why).help(help));
        }
    }
    Ok(())
}

/// Seals the first version, which was checked.
fn first(ledger: &mut Ledger<'_>, name: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
    let version = Version {
        number: 1,
        label: Label::Current,
        credential: credential.id.as_ref().map(|id| id.as_str().to_owned()),
        fingerprints: ledger.keys.fingerprints(credential),
        sealed: Some(ledger.seal(name, &Place::Version(1), credential)?),
        needle: None,
        from: None,
        unix_ms: now_ms(),
    };
    let info = version.info();
    let book = Book { name: name.to_owned(), versions: vec![version], kept: Vec::new() };
    ledger.save(&book, &[1], &[])?;
    Ok(info)
}

/// Refuses a name or fields that no version may have.
pub(crate) fn check_new(ledger: &Ledger<'_>, name: &str, credential: &Credential) -> Result<(), Failure> {
    let refuse = |why: String| Err(ledger.attempt.refuse(Code::ValueRefused, why));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return refuse(format!("a secret's name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
    }
    if credential.fields.secrets().next().is_none() {
        return refuse("it has no secret field".to_owned());
    }
    for (field, content) in credential.fields.iter() {
        if content.value.len() > FIELD_BYTES_MAX {
            return refuse(format!("its field '{field}' is longer than {FIELD_BYTES_MAX} bytes"));
        }
        if content.secret && content.value.is_empty() {
            return refuse(format!("its field '{field}' is empty"));
        }
    }
    Ok(())
}

pub(crate) fn read(ledger: &Ledger<'_>, name: &str, number: u32) -> Result<Option<Credential>, Failure> {
    let book = ledger.book(name)?;
    let Some(version) = book.version(number) else { return Ok(None) };
    let Some(sealed) = &version.sealed else { return Ok(None) };
    let expected = (version.credential.as_deref(), &version.fingerprints);
    ledger.open(name, &Place::Version(number), sealed, expected).map(Some)
}

/// The values of retired versions that are sealed for searching, by number. They come without their credential's id:
/// nobody can use one.
pub(crate) fn needles(ledger: &Ledger<'_>, name: &str) -> Result<Vec<(u32, Vec<SecretBytes>)>, Failure> {
    let book = ledger.book(name)?;
    let mut all = Vec::new();
    for version in &book.versions {
        let Some(needle) = &version.needle else { continue };
        let expected = (version.credential.as_deref(), &version.fingerprints);
        let credential = ledger.open(name, &Place::Needle(version.number), needle, expected)?;
        let values = credential.fields.secrets().map(|(_, value)| value.duplicate());
        all.push((version.number, values.collect()));
    }
    Ok(all)
}

pub(crate) fn kept(
    ledger: &Ledger<'_>,
    name: &str,
    rotation: &str,
    intent: u64,
) -> Result<Option<Credential>, Failure> {
    let book = ledger.book(name)?;
    match book.kept(rotation, intent) {
        Some(kept) => open_kept(ledger, name, kept),
        None => Ok(None),
    }
}

fn open_kept(ledger: &Ledger<'_>, name: &str, kept: &Kept) -> Result<Option<Credential>, Failure> {
    let Some(sealed) = &kept.sealed else { return Ok(None) };
    let place = Place::Intent(&kept.rotation, kept.intent);
    ledger.open(name, &place, sealed, (kept.credential.as_deref(), &kept.fingerprints)).map(Some)
}

pub(crate) fn keep(
    ledger: &mut Ledger<'_>,
    name: &str,
    rotation: &str,
    intent: u64,
    credential: &Credential,
) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    let fingerprints = ledger.keys.fingerprints(credential);
    if fingerprints.is_empty() {
        return Err(ledger.attempt.refuse(Code::ValueRefused, "it has no secret field"));
    }
    if let Some(known) = book.kept(rotation, intent) {
        let before = open_kept(ledger, name, known)?;
        let same = match &before {
            Some(before) => before.fields.encode() == credential.fields.encode(),
            None => known.fingerprints == fingerprints,
        };
        let ids = (known.credential.as_deref(), credential.id.as_ref().map(CredentialId::as_str));
        let other_id = matches!(ids, (Some(known), Some(id)) if known != id);
        if !same || other_id {
            let why = format!("entry {intent} of rotation {rotation} has another value already");
            return Err(ledger.attempt.refuse(Code::VersionRefused, why).kind(FailureKind::OtherValue));
        }
        if before.is_none() || ids.0.is_some() || ids.1.is_none() {
            return Ok(());
        }
    }
    let sealed = ledger.seal(name, &Place::Intent(rotation, intent), credential)?;
    let row = Kept {
        rotation: rotation.to_owned(),
        intent,
        credential: credential.id.as_ref().map(|id| id.as_str().to_owned()),
        fingerprints,
        sealed: Some(sealed),
    };
    let order = |kept: &Kept| (kept.rotation.clone(), kept.intent.cast_signed());
    match book.kept.binary_search_by_key(&order(&row), order) {
        Ok(at) => {
            if let Some(known) = book.kept.get_mut(at) {
                *known = row;
            }
        }
        Err(at) => book.kept.insert(at, row),
    }
    ledger.save(&book, &[], &[(rotation.to_owned(), intent)])
}

pub(crate) fn put_pending(
    ledger: &mut Ledger<'_>,
    name: &str,
    rotation: &str,
    intent: u64,
    credential: &Credential,
) -> Result<u32, Failure> {
    let mut book = ledger.book(name)?;
    if let Some(version) = book.from(rotation, intent) {
        return Ok(version.number);
    }
    let fingerprints = ledger.keys.fingerprints(credential);
    // What was dropped does not come back, however late it is repeated.
    let kept = book.kept(rotation, intent).filter(|kept| kept.sealed.is_some());
    if kept.is_none_or(|kept| kept.fingerprints != fingerprints) {
        let why = format!("it is not what is kept under entry {intent} of rotation {rotation}");
        return Err(ledger.attempt.refuse(Code::NameNotFound, why));
    }
    // A value that is replaced by itself would be ended with the version that it replaces.
    if let Some(same) = book.versions.iter().find(|version| version.fingerprints == fingerprints) {
        let why = format!("its value is that of v{}", same.number);
        return Err(ledger
            .attempt
            .refuse(Code::VersionRefused, why)
            .help("make another credential at the issuer"));
    }
    let last = book.versions.last().map_or(0, |version| version.number);
    let number = last
        .checked_add(1)
        .ok_or_else(|| ledger.attempt.refuse(Code::ValueRefused, "it has too many versions"))?;
    book.versions.push(Version {
        number,
        label: Label::Pending,
        credential: credential.id.as_ref().map(|id| id.as_str().to_owned()),
        fingerprints,
        sealed: Some(ledger.seal(name, &Place::Version(number), credential)?),
        needle: None,
        from: Some((rotation.to_owned(), intent)),
        unix_ms: now_ms(),
    });
    ledger.save(&book, &[number], &[])?;
    Ok(number)
}

pub(crate) fn promote(ledger: &mut Ledger<'_>, name: &str, expected: u32, next: u32) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    if expected == NONE_BEFORE {
        return move_first(ledger, book, next, (Label::Pending, Label::Current));
    }
    let (before, after) = labels(ledger, &book, expected, next)?;
    match (before, after) {
        (Label::Previous | Label::Retired, Label::Current) => Ok(()),
        (Label::Current, Label::Pending) => {
            relabel(&mut book, expected, Label::Previous);
            relabel(&mut book, next, Label::Current);
            ledger.save(&book, &[expected, next], &[])
        }
        (_, _) => Err(wrong_labels(ledger, &book, &[(expected, before), (next, after)])),
    }
}

pub(crate) fn demote(ledger: &mut Ledger<'_>, name: &str, before: u32, next: u32) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    if before == NONE_BEFORE {
        return move_first(ledger, book, next, (Label::Current, Label::Pending));
    }
    let labels = labels(ledger, &book, before, next)?;
    match labels {
        (Label::Current, Label::Pending | Label::Retired) => Ok(()),
        (Label::Previous, Label::Current) => {
            relabel(&mut book, next, Label::Pending);
            relabel(&mut book, before, Label::Current);
            ledger.save(&book, &[before, next], &[])
        }
        (first, second) => Err(wrong_labels(ledger, &book, &[(before, first), (next, second)])),
    }
}

/// Makes a version that has none before it current, or pending again; only while no other version is current.
fn move_first(
    ledger: &mut Ledger<'_>,
    mut book: Book,
    number: u32,
    (from, to): (Label, Label),
) -> Result<(), Failure> {
    let now = find(ledger, &book, number)?.label;
    let other = book.current().is_some_and(|current| current.number != number);
    if other || (now != from && now != to && !(to == Label::Pending && now == Label::Retired)) {
        let why = format!("v{number} is {}, or another version is current", label_word(now));
        return Err(ledger.attempt.refuse(Code::VersionRefused, why));
    }
    if now != from {
        return Ok(());
    }
    relabel(&mut book, number, to);
    ledger.save(&book, &[number], &[])
}

/// Drops the value of the current version without a successor: the secret is not used any more.
pub(crate) fn close(
    ledger: &mut Ledger<'_>,
    name: &str,
    number: u32,
    retired: Retired,
) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    if find(ledger, &book, number)?.label == Label::Current {
        relabel(&mut book, number, Label::Previous);
        ledger.save(&book, &[number], &[])?;
    }
    retire(ledger, name, number, retired)
}

/// What happens to the values of retired versions, as the owner of a secret wants it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// They are dropped, and so are those that stayed sealed earlier.
    Dropped,
    /// They stay sealed, for searching alone.
    Found,
}

/// Retires a version. Its value stays sealed only if the owner wants to search for it.
fn end(ledger: &Ledger<'_>, name: &str, version: &mut Version, retired: Retired) -> Result<(), Failure> {
    version.label = Label::Retired;
    if let Some(sealed) = version.sealed.take().filter(|_| retired == Retired::Found) {
        let expected = (version.credential.as_deref(), &version.fingerprints);
        let credential = ledger.open(name, &Place::Version(version.number), &sealed, expected)?;
        version.needle = Some(ledger.seal(name, &Place::Needle(version.number), &credential)?);
    }
    Ok(())
}

/// Drops the needles of a secret whose owner wants none; the numbers of their versions.
fn forget_needles(book: &mut Book, retired: Retired) -> Vec<u32> {
    let with = book.versions.iter_mut().filter(|_| retired == Retired::Dropped);
    with.filter_map(|version| version.needle.take().map(|_| version.number)).collect()
}

pub(crate) fn retire(
    ledger: &mut Ledger<'_>,
    name: &str,
    number: u32,
    retired: Retired,
) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    let label = find(ledger, &book, number)?.label;
    if label == Label::Current {
        let why = format!("v{number} of '{name}' is the one that consumers use");
        return Err(ledger.attempt.refuse(Code::VersionRefused, why));
    }
    let mut changed = forget_needles(&mut book, retired);
    if label == Label::Retired && changed.is_empty() {
        return Ok(());
    }
    if let Some(version) = book.versions.iter_mut().find(|version| version.number == number) {
        end(ledger, name, version, retired)?;
    }
    changed.push(number);
    ledger.save(&book, &changed, &[])
}

/// Drops what is kept under an intent, and what is kept with the same value: it was chosen under an intent of its own.
pub(crate) fn forget(
    ledger: &mut Ledger<'_>,
    name: &str,
    rotation: &str,
    intent: u64,
) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    let Some(value) = book.kept(rotation, intent).map(|kept| kept.fingerprints.clone()) else {
        return Ok(());
    };
    let dropped = drop_kept(&mut book, |kept| kept.fingerprints == value);
    if dropped.is_empty() { Ok(()) } else { ledger.save(&book, &[], &dropped) }
}

/// Drops what is kept; the intents that it was kept under.
fn drop_kept(book: &mut Book, is_it: impl Fn(&Kept) -> bool) -> Vec<(String, u64)> {
    let all = book.kept.iter_mut().filter(|kept| kept.sealed.is_some() && is_it(kept));
    all.map(|kept| {
        kept.sealed = None;
        (kept.rotation.clone(), kept.intent)
    })
    .collect()
}

/// What to drop of a rotation: the abandoned values of one credential or of all, except the one sealed under `stays`.
pub(crate) struct GivenUp<'a> {
    pub(crate) rotation: &'a str,
    pub(crate) credential: Option<&'a str>,
    pub(crate) stays: Option<u64>,
}

pub(crate) fn discard(ledger: &mut Ledger<'_>, name: &str, what: &GivenUp<'_>) -> Result<(), Failure> {
    let mut book = ledger.book(name)?;
    let is_it = |id: &Option<String>| what.credential.is_none_or(|wanted| id.as_deref() == Some(wanted));
    let given_up = |kept: &Kept| kept.rotation == what.rotation && is_it(&kept.credential);
    let stays = what.stays.and_then(|stays| book.kept(what.rotation, stays)).map(|kept| &kept.fingerprints);
    // What was chosen has the same value without an id.
    let of_it = book.kept.iter().filter(|kept| given_up(kept)).map(|kept| kept.fingerprints.clone());
    let values: Vec<Fingerprints> = of_it.filter(|value| Some(value) != stays).collect();
    let dropped =
        drop_kept(&mut book, |kept| kept.rotation == what.rotation && values.contains(&kept.fingerprints));
    if dropped.is_empty() { Ok(()) } else { ledger.save(&book, &[], &dropped) }
}

fn find<'a>(ledger: &Ledger<'_>, book: &'a Book, number: u32) -> Result<&'a Version, Failure> {
    let missing = || ledger.attempt.refuse(Code::NameNotFound, format!("'{}' has no v{number}", book.name));
    book.version(number).ok_or_else(missing)
}

fn labels(ledger: &Ledger<'_>, book: &Book, one: u32, other: u32) -> Result<(Label, Label), Failure> {
    Ok((find(ledger, book, one)?.label, find(ledger, book, other)?.label))
}

/// Gives a version another label.
pub(crate) fn relabel(book: &mut Book, number: u32, label: Label) {
    if let Some(version) = book.versions.iter_mut().find(|version| version.number == number) {
        version.label = label;
    }
}

fn wrong_labels(ledger: &Ledger<'_>, book: &Book, versions: &[(u32, Label); 2]) -> Failure {
    let labels = versions.map(|(number, label)| format!("v{number} is {}", label_word(label)));
    let current = book.current().map_or_else(
        || "none is current".to_owned(),
        |version| format!("v{} is the current one", version.number),
    );
    let why = format!("{}; {current}", labels.join(", "));
    ledger
        .attempt
        .refuse(Code::VersionRefused, why)
        .help(format!("see the versions with `keyroll secret show {}`", book.name))
}

/// Wall clock, for display only.
#[expect(clippy::disallowed_methods, reason = "the time that is shown beside a version")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
