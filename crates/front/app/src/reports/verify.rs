//! Asks the issuer whether each version of a secret is alive.
//!
//! A wrong credential is presented first: a call that accepts it proves nothing. A version that an open rotation may
//! have disabled is never presented, because a refused attempt would count as its use; the issuer's list says what is
//! known of it.

use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{IssuerRef, Secret};
use keyroll_issuer::Spec;
use keyroll_journal::{LockError, StateLock};
use keyroll_port::{Issuer, Journal as _, Label, Listing, Probe, Store as _, VersionInfo};
use keyroll_rotation::{OldKey, Phase};
use keyroll_secret::{Credential, CredentialId};
use tokio::runtime::Runtime;

use crate::configured::secret;
use crate::installation::Installation;
use crate::operator::{CheckShown, Finding};
use crate::places::Places;
use crate::problem::Problem;
use crate::quantity::quantity;
use crate::records::open_rotation_guard::open_of;
use crate::records::recorded::{rotations_unread, state_of};
use crate::records::{old_key, versions};
use crate::redact;
use crate::wiring::issuer::{Described, described};
use crate::wiring::open;

/// Versions without a value that are reported: the newest.
const DROPPED_SHOWN_MAX: usize = 3;

/// Verifies every version of a secret and passes each finding to `show` as soon as it is known. Returns whether a
/// finding is bad.
///
/// # Errors
/// The secret has no current value, or configuration, journal or store cannot be read.
pub fn verify(
    name: &str,
    installation: &Installation,
    show: &mut dyn FnMut(CheckShown),
) -> Result<bool, Problem> {
    let config = installation.config()?;
    let secret = secret(&config, name)?;
    let places = installation.places()?;
    let name = secret.name.as_str();
    let described = described(secret)?;
    let issuer = described.issuer(secret, None)?;
    let runtime = open::runtime(&places)?;
    let store = open::store(&places)?;
    let (mut current, mut number) = (None, 0);
    let (mut versions, mut dropped) = (Vec::new(), Vec::new());
    for info in runtime.block_on(versions::kept(store.as_ref(), name))? {
        if let Some(credential) = runtime.block_on(store.read(name, info.number))? {
            redact::remember_fields(&credential.fields);
            if info.label == Label::Current {
                (current, number) = (Some(credential.duplicate()), info.number);
            }
            versions.push(StoredVersion { info, credential });
        } else {
            dropped.push(info);
        }
    }
    let current = current.ok_or_else(|| nothing(name, dropped.is_empty()))?;
    let login = matches!(secret.issuer, IssuerRef::Server(_));
    let mut verifier = Verifier {
        name,
        places: &places,
        runtime,
        issuer: issuer.as_ref(),
        current,
        login,
        with_ended: with_ended(described, secret)?,
        listing: None,
        all: None,
    };
    let mut bad = false;
    for endpoint in issuer.endpoints() {
        let control = runtime.block_on(issuer.probe(&endpoint, &issuer.decoy(&verifier.current)));
        let checks = std::iter::once(Ok(control_check(format!("{name} control at {endpoint}"), &control)));
        for check in checks.chain(versions.iter().map(|version| verifier.present(&endpoint, version))) {
            let check = check?;
            bad |= check.finding == Finding::Bad;
            show(check);
        }
    }
    for info in dropped.iter().rev().take(DROPPED_SHOWN_MAX) {
        show(verifier.dropped(info)?);
    }
    verifier.list_check(number)?.into_iter().for_each(show);
    Ok(bad)
}

/// The issuer whose list has the keys that have ended too; none if its list never has them.
fn with_ended(described: Described, secret: &Secret) -> Result<Option<Arc<dyn Issuer>>, Problem> {
    let spec = described.spec.filter(Spec::lists_ended);
    let issuer = |spec: Spec| Described { spec: Some(spec.with_ended()), text: None }.issuer(secret, None);
    spec.map(issuer).transpose()
}

/// There is no current value to present.
fn nothing(name: &str, never: bool) -> Problem {
    let problem = Problem::new(Code::NoCurrentValue, format!("verify {name}"));
    match never {
        true => problem.because("it has no value yet").help(format!("keyroll secret add {name}")),
        false => problem
            .because("its last key was revoked without a successor: its consumers have their own keys")
            .help(format!("keyroll history {name}")),
    }
}

/// A version of a secret whose value is stored.
struct StoredVersion {
    info: VersionInfo,
    credential: Credential,
}

/// What the versions of one secret are verified with.
struct Verifier<'a> {
    name: &'a str,
    places: &'a Places,
    runtime: &'a Runtime,
    issuer: &'a dyn Issuer,
    current: Credential,
    /// The secret is a login of a server, which keyroll never removes.
    login: bool,
    /// The same issuer with the keys that have ended in its list, where it marks them.
    with_ended: Option<Arc<dyn Issuer>>,
    /// The issuer's list, asked for once; the inner `None` means that it has none or did not answer.
    listing: Option<Option<Listing>>,
    /// The same list with the keys that have ended.
    all: Option<Option<Listing>>,
}

impl Verifier<'_> {
    /// Presents one version at one endpoint, unless a rotation may have disabled it.
    fn present(&mut self, endpoint: &str, version: &StoredVersion) -> Result<CheckShown, Problem> {
        let StoredVersion { info, credential } = version;
        let name = self.named(info);
        // The lock is held for this one call: meanwhile no driver can disable the version.
        match self.permission(info.number)? {
            Permission::Given { lock: _lock, needed } => {
                let answer = self.runtime.block_on(self.issuer.probe(endpoint, credential));
                let must_live = needed || info.label == Label::Current;
                Ok(version_check(format!("{name} at {endpoint}"), &answer, must_live))
            }
            Permission::Refused(why) => {
                let detail = format!("not presented ({why}); {}", self.listed(credential.id.as_ref()));
                Ok(CheckShown { name, finding: Finding::Note, detail, help: None })
            }
        }
    }

    /// A version whose value was dropped: which rotation revoked it, and what the issuer's list says.
    fn dropped(&mut self, info: &VersionInfo) -> Result<CheckShown, Problem> {
        let revoked = self.revoked_by(info.number)?;
        let detail = format!("{revoked}its value was dropped; {}", self.listed(info.credential.as_ref()));
        Ok(CheckShown { name: self.named(info), finding: Finding::Note, detail, help: None })
    }

    /// Whether the issuer's list can be read and is whole: a rotation cannot wait for what never comes. A driver may have
    /// disabled the value that a list is asked for with: while one runs, nothing is asked.
    fn list_check(&self, current: u32) -> Result<Option<CheckShown>, Problem> {
        if !self.issuer.capabilities().list {
            return Ok(None);
        }
        let Permission::Given { lock: _lock, .. } = self.permission(current)? else { return Ok(None) };
        let (finding, detail) = match self.runtime.block_on(self.issuer.list(&self.current)) {
            Ok(Listing { complete: true, entries, .. }) => {
                (Finding::Good, format!("complete: {}", quantity(entries.len(), "key")))
            }
            Ok(Listing { incomplete, .. }) => {
                let why = incomplete.map(|why| format!(": {why}")).unwrap_or_default();
                (Finding::Note, format!("incomplete, so it proves no absence{why}"))
            }
            Err(failure) => {
                let Problem { attempted, code, causes, .. } = Problem::from(failure);
                (Finding::Note, format!("could not {attempted} ({code}): {}", causes.join(": ")))
            }
        };
        let help = (finding == Finding::Note).then(|| {
            "correct `op.list` of the spec if the issuer answers so each time; docs/guides/write-an-issuer.md".to_owned()
        });
        let name = format!("{} list of keys", self.name);
        Ok(Some(CheckShown { name, finding, detail, help }))
    }

    fn named(&self, info: &VersionInfo) -> String {
        format!("{} v{} {}", self.name, info.number, versions::label(info.label))
    }

    /// The rotation that confirmed a version dead, from its journal.
    fn revoked_by(&self, version: u32) -> Result<String, Problem> {
        if !self.places.journal().exists() {
            return Ok(String::new());
        }
        let journal = open::journal(self.places)?;
        let all = self.runtime.block_on(journal.list()).map_err(rotations_unread)?;
        for one in all.iter().filter(|one| one.secret == self.name) {
            let recorded = self.runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
            let state = state_of(&recorded)?;
            let old = version == recorded.opening.from_version;
            if old && state.phase() == Phase::Done && state.debt().is_none() {
                let at = recorded.unix_ms.last().copied().map(old_key::clock).unwrap_or_default();
                return Ok(format!("revoked, and seen dead by rotation {} ({at}); ", one.id));
            }
        }
        Ok(String::new())
    }

    /// Whether a version may be presented now. A driver can disable the old key at any moment, and the new key during
    /// a rollback: while one runs, neither is presented.
    fn permission(&self, version: u32) -> Result<Permission, Problem> {
        if !self.places.journal().exists() {
            return Ok(Permission::Given { lock: None, needed: false });
        }
        let journal = open::journal(self.places)?;
        let open = self.runtime.block_on(open_of(&journal, self.name)).map_err(rotations_unread)?;
        let Some(id) = open else { return Ok(Permission::Given { lock: None, needed: false }) };
        let (lock, places) = match open::try_lock_places(self.places) {
            Ok(locked) => locked,
            Err(LockError::Held { .. }) => {
                return Ok(Permission::Refused(format!("rotation {id} is being driven")));
            }
            Err(error) => {
                return Err(
                    Problem::new(Code::OtherDriver, format!("verify {}", self.name)).because_of(&error)
                );
            }
        };
        // Under the lock the state can no longer change.
        let journal = open::journal(&places)?;
        let recorded = self.runtime.block_on(journal.load(&id)).map_err(rotations_unread)?;
        let state = state_of(&recorded)?;
        let old = version == recorded.opening.from_version;
        Ok(match (old, state.old_key()) {
            (true, OldKey::Off(_)) => Permission::Refused(format!("rotation {id} disabled it")),
            _ if old && state.must_enable() => {
                Permission::Refused(format!("rotation {id} may have disabled it"))
            }
            // An enabled old key is in use, and a rollback needs it.
            (true, OldKey::On) => Permission::Given { lock: Some(lock), needed: true },
            (true | false, OldKey::On | OldKey::Off(_) | OldKey::Ended) => {
                Permission::Given { lock: Some(lock), needed: false }
            }
        })
    }

    /// What the issuer's list says of a credential.
    fn listed(&mut self, id: Option<&CredentialId>) -> &'static str {
        let Self { runtime, issuer, current, .. } = self;
        let listing = self.listing.get_or_insert_with(|| match issuer.capabilities().list {
            true => runtime.block_on(issuer.list(current)).ok(),
            false => None,
        });
        let (Some(listing), Some(id)) = (listing, id) else {
            return match issuer.capabilities().list && id.is_some() {
                true => "not visible whether it is enabled: the issuer's list could not be read",
                false => "not visible whether it is enabled: the issuer has no list of keys",
            };
        };
        match listing.entries.iter().find(|entry| entry.id == *id) {
            Some(entry) if entry.disabled => "the issuer lists it as disabled",
            Some(_) => "the issuer lists it as enabled",
            None if listing.complete && self.login => {
                "no login has this password any more; keyroll never removes the login itself"
            }
            None if listing.complete && self.with_ended.is_some() => self.gone_or_ended(id),
            None if listing.complete => "the issuer no longer lists it",
            None => "the issuer's list is incomplete and does not show it",
        }
    }

    /// What the list with the keys that have ended says of a credential that is not among those that are alive.
    fn gone_or_ended(&mut self, id: &CredentialId) -> &'static str {
        let Self { runtime, with_ended, current, all, .. } = self;
        let all = all.get_or_insert_with(|| runtime.block_on(with_ended.as_ref()?.list(current)).ok());
        match all {
            Some(all) if all.entries.iter().any(|entry| entry.id == *id) => {
                "the issuer lists it as one that has ended"
            }
            Some(Listing { complete: true, .. }) => "the issuer no longer lists it",
            Some(_) | None => "the issuer no longer lists it, or lists it as one that has ended",
        }
    }
}

/// Whether a version may be presented to the issuer.
enum Permission {
    /// It may while the lock is held; `needed` if an open rotation needs the version alive.
    Given { lock: Option<StateLock>, needed: bool },
    /// It may not, and why.
    Refused(String),
}

/// Only a refused control is good: without it no other answer proves anything.
fn control_check(name: String, answer: &Probe) -> CheckShown {
    let detail = match answer {
        Probe::Dead => "a wrong value is refused, as it must be".to_owned(),
        Probe::Alive | Probe::Denied | Probe::Unknown(_) => answered(answer),
    };
    let (finding, help) = match answer {
        Probe::Dead => (Finding::Good, None),
        Probe::Alive | Probe::Denied | Probe::Unknown(_) => (
            Finding::Bad,
            Some(
                "the issuer did not refuse a wrong value, so this call cannot prove that a credential is dead: \
                 check the issuer's spec",
            ),
        ),
    };
    CheckShown { name, finding, detail, help: help.map(str::to_owned) }
}

/// A version that must live and does not is bad; of any other the answer is only noted.
fn version_check(name: String, answer: &Probe, must_live: bool) -> CheckShown {
    let lives = matches!(answer, Probe::Alive | Probe::Denied);
    let (finding, help) = match (must_live, lives) {
        (true, true) => (Finding::Good, None),
        (true, false) => {
            (Finding::Bad, Some("ask again; keyroll plan shows how a dead value is replaced".to_owned()))
        }
        (false, _) => (Finding::Note, None),
    };
    CheckShown { name, finding, detail: answered(answer), help }
}

fn answered(answer: &Probe) -> String {
    match answer {
        Probe::Alive => "alive".to_owned(),
        Probe::Denied => "alive: authenticated, but not permitted".to_owned(),
        Probe::Dead => "dead".to_owned(),
        Probe::Unknown(why) => format!("unknown: {why}"),
    }
}
