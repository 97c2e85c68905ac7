//! Ports in memory: an issuer, a store, a journal that can break off, and a machine.
#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(dead_code)]

pub(crate) mod machine;
pub(crate) mod truth;

pub(crate) use machine::{Fate, Machine};
pub(crate) use truth::Source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_engine::{OtherKeys, Ports, TokioSpawner};
use keyroll_port::{
    Class, Clock, Failure, Identity, Issuer, Journal, JournalError, Label, Listed, Listing, MadeBy, Minted,
    Opening, Overview, Probe, Recorded, RefusedUse, RotationId, Session, Sleep, Staging, Store, Truth,
    ValueFormat, VersionInfo,
};
use keyroll_rotation::{
    Capabilities, Event, Fact, HostId, Kinds, LastUsed, MintedBy, OnFailure, Op, Overlap, Plan, Policy,
    Reconciled, Refusals, Seq, Stamp,
};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

/// How long it takes to look once more for what does not show: nobody waits for that here, but the rotation's clock.
const UNCLEAR_MS: u64 = 1_000;

pub(crate) fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn credential(id: &str, value: &str) -> Credential {
    let mut fields = Fields::new();
    fields.insert("key", SecretBytes::from(value.to_owned()), true);
    Credential { id: Some(CredentialId::new(id)), fields }
}

/// An issuer with keys by id; what a mint answers is chosen by the test.
pub(crate) struct Keys {
    pub(crate) capabilities: Capabilities,
    pub(crate) alive: Mutex<BTreeMap<String, String>>,
    pub(crate) labels: Mutex<BTreeMap<String, String>>,
    /// The keys that the operator says another keyroll made.
    pub(crate) of_others: Mutex<BTreeSet<(String, String)>>,
    pub(crate) ended: Mutex<Vec<String>>,
    /// Those that are disabled, by id.
    pub(crate) off: Mutex<BTreeSet<String>>,
    /// The next list misses those that are off, as where another key is deleted between two of its pages.
    pub(crate) overlooks: Mutex<bool>,
    /// So many lists are incomplete and miss the old key.
    pub(crate) incomplete_lists: AtomicU64,
    /// Its lists have no time of last use.
    pub(crate) hides_use: AtomicBool,
    /// A switch off came to its first half only.
    pub(crate) half_off: Mutex<bool>,
    /// How often a key that was off was presented.
    pub(crate) presented_off: AtomicU64,
    /// Whether it has a record of refused uses, and what that shows since the mark, look after look.
    pub(crate) record: Mutex<Option<Vec<Result<usize, ()>>>>,
    pub(crate) next: (String, String),
    /// A mint ends the other values of the id that it answers with.
    pub(crate) replaces: AtomicBool,
    /// A colleague makes this key, id and value, while a mint of ours is carried out.
    pub(crate) colleagues: Mutex<Option<(String, String)>>,
    /// How late a minted key is listed.
    pub(crate) lag_ms: AtomicU64,
    /// Only the operator ends keys here.
    pub(crate) console: AtomicBool,
    /// Whether the one session of the old key is known to be idle after so many looks more; none is there otherwise.
    pub(crate) unknown_looks: Mutex<Option<usize>>,
    /// Every key is refused while the new one is to be deleted.
    pub(crate) refuses_meanwhile: AtomicBool,
    /// What is answered about the new key, if not what is so.
    pub(crate) instead: Mutex<Option<Probe>>,
    /// Its endpoints.
    pub(crate) endpoints: Mutex<Vec<String>>,
    deleting: Arc<AtomicBool>,
    born_ms: AtomicU64,
    time: Time,
    mints: AtomicU64,
    fate: Arc<Fate>,
}

fn value_of(credential: &Credential) -> String {
    let field = credential.fields.get("key").expect("a key");
    String::from_utf8(field.value.expose().to_vec()).expect("text")
}

#[async_trait]
impl Issuer for Keys {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    fn value_format(&self) -> ValueFormat {
        ValueFormat { alphabet: Vec::new(), length_max: 0 }
    }
    fn endpoints(&self) -> Vec<String> {
        locked(&self.endpoints).clone()
    }
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    async fn preflight(&self, _: &Credential) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
    async fn identify(&self, _: &Credential) -> Result<Identity, Failure> {
        Ok(Identity { id: None, principal: None })
    }
    fn propose(&self, _: &Credential) -> Result<Option<Credential>, Failure> {
        let ours = self.capabilities.minted_by == MintedBy::Us;
        Ok(ours.then(|| Credential { id: None, ..credential("", &self.next.1) }))
    }
    async fn mint(&self, label: &str, _: &Credential, _: Option<&Credential>) -> Result<Minted, Failure> {
        self.fate.befall(|| {
            let (mut id, mut value) = self.next.clone();
            let before = self.mints.fetch_add(1, Ordering::SeqCst);
            if before > 0 && id != "id-1" {
                (id, value) = (format!("{id}-{before}"), format!("{value}-{before}"));
            }
            let mut alive = locked(&self.alive);
            if self.capabilities.overlap == Overlap::None {
                alive.clear();
            }
            if self.replaces.load(Ordering::SeqCst) {
                alive.retain(|_, held| *held != id);
            }
            alive.insert(value.clone(), id.clone());
            self.born_ms.store(self.time.monotonic_ms(), Ordering::SeqCst);
            alive.extend(locked(&self.colleagues).take().map(|(id, value)| (value, id)));
            if self.capabilities.label {
                locked(&self.labels).insert(id.clone(), label.to_owned());
            }
            let minted = credential(&id, &value);
            Minted { id: CredentialId::new(id), fields: minted.fields }
        })
    }
    async fn list(&self, _: &Credential) -> Result<Listing, Failure> {
        let mut ids: BTreeSet<String> = locked(&self.alive).values().cloned().collect();
        let seen_ms = self.born_ms.load(Ordering::SeqCst) + self.lag_ms.load(Ordering::SeqCst);
        if self.time.monotonic_ms() < seen_ms {
            ids.remove(&self.next.0);
        }
        let left = |left: u64| left.checked_sub(1);
        let complete = self.incomplete_lists.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err();
        if !complete {
            ids.remove("id-1");
        }
        let (labels, off) = (locked(&self.labels), locked(&self.off));
        let shown = !self.hides_use.load(Ordering::SeqCst);
        let overlooked = !off.is_empty() && std::mem::take(&mut *locked(&self.overlooks));
        let entries = ids.into_iter().filter(|id| !(overlooked && off.contains(id))).map(|id| Listed {
            label: labels.get(&id).cloned(),
            id: CredentialId::new(id.clone()),
            disabled: off.contains(&id),
            last_used_unix_ms: shown.then_some(1),
            hint: None,
        });
        Ok(Listing { entries: entries.collect(), complete, incomplete: None })
    }
    async fn probe(&self, _: &str, credential: &Credential) -> Probe {
        let off = locked(&self.off);
        let known = locked(&self.alive).get(&value_of(credential)).cloned();
        if known.is_some_and(|id| off.contains(&id)) {
            self.presented_off.fetch_add(1, Ordering::SeqCst);
        }
        let instead = locked(&self.instead).clone();
        if let Some(instead) = instead.filter(|_| value_of(credential) == self.next.1) {
            return instead;
        }
        if self.refuses_meanwhile.load(Ordering::SeqCst) && self.deleting.load(Ordering::SeqCst) {
            return Probe::Dead;
        }
        let on = locked(&self.alive).get(&value_of(credential)).is_some_and(|id| !off.contains(id));
        if on { Probe::Alive } else { Probe::Dead }
    }
    fn decoy(&self, _: &Credential) -> Credential {
        credential("decoy", "a wrong value")
    }
    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.fate.befall(|| {
            locked(&self.off).insert(id.as_str().to_owned());
            *locked(&self.half_off) = false;
        })
    }
    async fn is_wholly_off(&self, _: &CredentialId) -> Result<bool, Failure> {
        Ok(!*locked(&self.half_off))
    }
    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.fate.befall(|| {
            locked(&self.off).remove(id.as_str());
        })
    }
    fn revokes(&self) -> bool {
        !self.console.load(Ordering::SeqCst)
    }
    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        self.fate.befall(|| {
            locked(&self.ended).push(id.as_str().to_owned());
            locked(&self.off).remove(id.as_str());
            locked(&self.alive).retain(|_, held| held != id.as_str());
        })
    }
    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        let mut unknown = locked(&self.unknown_looks);
        let Some(looks) = unknown.as_mut().filter(|_| id.as_str() == "id-1") else { return Ok(None) };
        let busy = *looks > 0;
        *looks = looks.saturating_sub(1);
        Ok(Some(vec![Session { client: None, pid: None, busy, handle: "one".to_owned(), calls: None }]))
    }
    fn idle_ms(&self) -> u64 {
        2
    }
    async fn end_sessions(&self, _: &CredentialId, handles: &[String], _: bool) -> Result<usize, Failure> {
        *locked(&self.unknown_looks) = None;
        Ok(handles.len())
    }
    async fn mark_refusals(&self, _: &Credential) -> Result<String, Failure> {
        let unread = || Failure::new(Class::Retryable, Code::RefusedUsesUnknown, "mark the record");
        locked(&self.record).as_ref().map(|_| "here".to_owned()).ok_or_else(unread)
    }
    async fn refusals(&self, _: &Credential, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        assert_eq!(mark, "here");
        let mut record = locked(&self.record);
        let told = record.as_mut().expect("a record that was marked");
        let next = if told.len() > 1 { Some(told.remove(0)) } else { told.first().copied() };
        let unread = |()| Failure::new(Class::Retryable, Code::RefusedUsesUnknown, "read the record");
        let count = next.unwrap_or(Ok(0)).map_err(unread)?;
        Ok(vec![RefusedUse { client: None, told: Some("somebody".to_owned()) }; count])
    }
}

/// Number, label, values, and the intent that made it.
type Version = (u32, Label, Option<Credential>, Seq);

/// Versions in memory.
#[derive(Default)]
pub(crate) struct Safe {
    fate: Arc<Fate>,
    versions: Mutex<Vec<Version>>,
    kept: Mutex<BTreeMap<Seq, Credential>>,
    /// Every secret that was ever to be kept.
    pub(crate) secrets: Mutex<BTreeSet<String>>,
    /// Where consumers fetch from instead.
    source: Mutex<Option<Arc<Source>>>,
}

impl Safe {
    pub(crate) fn with(current: Credential, fate: Arc<Fate>) -> Self {
        let safe = Self { fate, ..Self::default() };
        locked(&safe.versions).push((1, Label::Current, Some(current), 0));
        safe
    }
    fn relabel(&self, number: u32, label: Label) {
        for version in locked(&self.versions).iter_mut().filter(|it| it.0 == number) {
            version.1 = label;
        }
    }
    /// An earlier version, whose key was ended.
    pub(crate) fn add_retired(&self, id: &str, value: &str) {
        let number = u32::try_from(locked(&self.versions).len()).unwrap() + 1;
        locked(&self.versions).push((number, Label::Retired, Some(credential(id, value)), 0));
    }
    /// The value that is current.
    pub(crate) fn current_value(&self) -> String {
        let versions = locked(&self.versions);
        let current = versions.iter().find(|it| it.1 == Label::Current).and_then(|it| it.2.as_ref());
        value_of(current.expect("a current version"))
    }
    /// The value that consumers are given.
    pub(crate) fn given_out(&self) -> String {
        let source = locked(&self.source).clone();
        source.map_or_else(|| self.current_value(), |source| source.gives())
    }
    /// The store of before the rotation takes its place.
    pub(crate) fn put_back_older(&self) {
        locked(&self.kept).clear();
        let mut versions = locked(&self.versions);
        versions.retain(|it| it.0 == 1);
        versions.iter_mut().for_each(|it| it.1 = Label::Current);
    }
    /// The operator hands over what they made at the console; the entry of that number says so.
    pub(crate) fn hand_over(&self, entry: Seq, id: &str, value: &str) {
        locked(&self.kept).insert(entry, credential(id, value));
    }
    /// The values that are sealed, staged or kept.
    pub(crate) fn sealed(&self) -> BTreeSet<String> {
        let versions = locked(&self.versions);
        let staged = versions.iter().filter_map(|it| it.2.as_ref()).map(value_of);
        staged.chain(locked(&self.kept).values().map(value_of)).collect()
    }
    pub(crate) fn label(&self, number: u32) -> Option<Label> {
        locked(&self.versions).iter().find(|it| it.0 == number).map(|it| it.1)
    }
}

#[async_trait]
impl Store for Safe {
    async fn add(&self, _: &str, _: &Credential) -> Result<VersionInfo, Failure> {
        Err(Failure::new(Class::Permanent, Code::StateUnusable, "add"))
    }
    async fn secrets(&self) -> Result<Vec<String>, Failure> {
        Ok(vec!["acme".to_owned()])
    }
    async fn versions(&self, _: &str) -> Result<Vec<VersionInfo>, Failure> {
        let info = |it: &(u32, Label, Option<Credential>, Seq)| VersionInfo {
            number: it.0,
            label: it.1,
            credential: it.2.as_ref().and_then(|credential| credential.id.clone()),
            fingerprints: Vec::new(),
            // The first one was imported.
            made_by: (it.0 > 1).then(|| MadeBy { rotation: RotationId("0192".to_owned()), intent: it.3 }),
            unix_ms: 0,
        };
        Ok(locked(&self.versions).iter().map(info).collect())
    }
    async fn read(&self, _: &str, number: u32) -> Result<Option<Credential>, Failure> {
        let versions = locked(&self.versions);
        Ok(versions.iter().find(|it| it.0 == number).and_then(|it| it.2.as_ref()).map(Credential::duplicate))
    }
    async fn put_pending(
        &self,
        _: &str,
        _: &RotationId,
        intent: Seq,
        it: &Credential,
    ) -> Result<u32, Failure> {
        let mut versions = locked(&self.versions);
        if let Some(version) = versions.iter().find(|it| it.3 == intent) {
            return Ok(version.0);
        }
        let number = u32::try_from(versions.len()).unwrap() + 1;
        self.fate.befall(|| versions.push((number, Label::Pending, Some(it.duplicate()), intent)))?;
        Ok(number)
    }
    async fn promote(&self, _: &str, expected: u32, next: u32) -> Result<(), Failure> {
        let current = locked(&self.versions).iter().find(|it| it.1 == Label::Current).map(|it| it.0);
        if current == Some(next) {
            return Ok(());
        }
        if current != Some(expected) {
            return Err(Failure::new(Class::Permanent, Code::StateUnusable, "promote"));
        }
        self.fate.befall(|| {
            self.relabel(expected, Label::Previous);
            self.relabel(next, Label::Current);
        })
    }
    async fn demote(&self, _: &str, before: u32, next: u32) -> Result<(), Failure> {
        self.fate.befall(|| {
            self.relabel(next, Label::Pending);
            self.relabel(before, Label::Current);
        })
    }
    async fn retire(&self, _: &str, number: u32) -> Result<(), Failure> {
        self.fate.befall(|| {
            self.relabel(number, Label::Retired);
            locked(&self.versions).iter_mut().filter(|it| it.0 == number).for_each(|it| it.2 = None);
        })
    }
}

#[async_trait]
impl Staging for Safe {
    async fn keep(&self, _: &str, _: &RotationId, intent: Seq, it: &Credential) -> Result<(), Failure> {
        let secrets =
            it.fields.secrets().map(|(_, value)| String::from_utf8_lossy(value.expose()).into_owned());
        locked(&self.secrets).extend(secrets);
        locked(&self.kept).insert(intent, it.duplicate());
        Ok(())
    }
    async fn kept(&self, _: &str, _: &RotationId, intent: Seq) -> Result<Option<Credential>, Failure> {
        Ok(locked(&self.kept).get(&intent).map(Credential::duplicate))
    }
    async fn forget(&self, _: &str, made_by: &MadeBy) -> Result<(), Failure> {
        self.fate.befall(|| drop(locked(&self.kept).remove(&made_by.intent)))
    }
    async fn discard(
        &self,
        _: &str,
        _: &RotationId,
        id: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure> {
        self.fate.befall(|| {
            locked(&self.kept)
                .retain(|seq, it| Some(*seq) == stays || id.is_some_and(|id| it.id.as_ref() != Some(id)));
        })
    }
}

/// A journal in memory that can refuse one entry, as if its driver had ended right before it.
pub(crate) struct Book {
    opening: Opening,
    events: Mutex<Vec<Event>>,
    /// The names that it remembers.
    pub(crate) names: Mutex<BTreeMap<u64, String>>,
    epoch: AtomicU64,
    /// Breaks off at the outcome of this operation, once.
    pub(crate) breaks_at: Mutex<Option<Op>>,
    /// Breaks off right behind the outcome of this operation, once.
    pub(crate) breaks_after: Mutex<Option<Op>>,
    /// Breaks off behind this many entries, once. Which they are depends on the time that everything takes.
    pub(crate) breaks_behind: Mutex<Option<Seq>>,
    /// Breaks off before this intent, once.
    pub(crate) breaks_before: Mutex<Option<Op>>,
    /// Has no space behind this many entries.
    pub(crate) full_behind: Mutex<Option<Seq>>,
    skipped_ms: Arc<AtomicU64>,
    deleting: Arc<AtomicBool>,
}

impl Book {
    pub(crate) fn entries(&self) -> Vec<Event> {
        locked(&self.events).clone()
    }

    fn outcome_of(&self, event: &Event) -> Option<Op> {
        let Fact::Ended { intent, .. } = event.fact else { return None };
        let at = usize::try_from(intent).ok()?.checked_sub(1)?;
        match locked(&self.events).get(at).map(|event| event.fact.clone()) {
            Some(Fact::Intended(op)) => Some(op),
            _ => None,
        }
    }
}

#[async_trait]
impl Journal for Book {
    async fn open(&self, _: &RotationId, _: &Opening) -> Result<(), JournalError> {
        Ok(())
    }
    async fn take_over(&self, _: &RotationId) -> Result<u64, JournalError> {
        Ok(self.epoch.fetch_add(1, Ordering::SeqCst) + 1)
    }
    async fn append(&self, _: &RotationId, seq: Seq, event: &Event, _: u64) -> Result<(), JournalError> {
        if locked(&self.full_behind).is_some_and(|behind| seq > behind) {
            return Err(JournalError::Unavailable("no space left on device".to_owned().into()));
        }
        let op = self.outcome_of(event);
        match (&event.fact, &op) {
            (Fact::Intended(Op::DeleteNew), _) => self.deleting.store(true, Ordering::SeqCst),
            (_, Some(Op::DeleteNew)) => self.deleting.store(false, Ordering::SeqCst),
            _ => {}
        }
        let mut before = locked(&self.breaks_before);
        if before.clone().is_some_and(|op| event.fact == Fact::Intended(op)) {
            *before = None;
            return Err(JournalError::Fenced { newest: 0 });
        }
        let mut breaks = locked(&self.breaks_at);
        if op.is_some() && *breaks == op {
            *breaks = None;
            return Err(JournalError::Fenced { newest: 0 });
        }
        let mut after = locked(&self.breaks_after);
        let last = locked(&self.events).last().cloned();
        if after.is_some() && *after == last.and_then(|last| self.outcome_of(&last)) {
            *after = None;
            return Err(JournalError::Fenced { newest: 0 });
        }
        let mut behind = locked(&self.breaks_behind);
        if behind.is_some_and(|behind| seq > behind) {
            *behind = None;
            return Err(JournalError::Fenced { newest: 0 });
        }
        if matches!(event.fact, Fact::Reconciled { found: Reconciled::Unclear, .. }) {
            self.skipped_ms.fetch_add(UNCLEAR_MS, Ordering::SeqCst);
        }
        let mut events = locked(&self.events);
        assert_eq!(seq, events.len() as u64 + 1);
        events.push(event.clone());
        Ok(())
    }
    async fn witness(&self) -> Result<(), JournalError> {
        Ok(())
    }
    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError> {
        let events = locked(&self.events).clone();
        let unix_ms = vec![0; events.len()];
        Ok(Recorded { id: id.clone(), opening: self.opening.clone(), events, unix_ms })
    }
    async fn list(&self) -> Result<Vec<Overview>, JournalError> {
        Ok(Vec::new())
    }
    async fn close(&self, _: &RotationId) -> Result<(), JournalError> {
        Ok(())
    }
    async fn remember(&self, digest: u64, name: &str) -> Result<(), JournalError> {
        locked(&self.names).insert(digest, name.to_owned());
        Ok(())
    }
    async fn recall(&self, digest: u64) -> Result<Option<String>, JournalError> {
        Ok(locked(&self.names).get(&digest).cloned())
    }
}

/// Real time, and what was skipped.
struct Time(Instant, Arc<AtomicU64>);

impl Clock for Time {
    fn monotonic_ms(&self) -> u64 {
        let real = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        real.saturating_add(self.1.load(Ordering::SeqCst))
    }
    fn boot(&self) -> u64 {
        1
    }
    fn unix_ms(&self) -> u64 {
        0
    }
    fn sleep_until(&self, ms: u64) -> Sleep {
        Box::pin(tokio::time::sleep(Duration::from_millis(ms.saturating_sub(self.monotonic_ms()))))
    }
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        minted_by: MintedBy::Api,
        overlap: Overlap::Independent { max: 0 },
        disable: false,
        label: true,
        mint_replaces: false,
        list: true,
        last_used: LastUsed::NotVisible,
        refusals: Refusals::NotVisible,
        sessions: false,
        attributes: false,
        birth_ms_max: 0,
        death_ms_max: 0,
        request_ms_max: 1,
    }
}

pub(crate) fn plan(capabilities: Capabilities) -> Plan {
    let policy = Policy {
        on_failure: OnFailure::Rollback,
        parallel_max: 1,
        probes_alive: 1,
        probes_dead: 1,
        idle_ms: 0,
        soak_ms: 0,
        phase_ms_max: 60_000,
        unit_ms_max: 60_000,
        look_age_ms_max: 10_000,
        require: Kinds::NONE,
        standing_consent: true,
        roll: None,
    };
    Plan {
        capabilities,
        policy,
        endpoints: vec![HostId(0)],
        files: Vec::new(),
        consumers: Vec::new(),
        bystanders: Vec::new(),
        bound: true,
        denied_is_alive: false,
        recovery: false,
        aim: keyroll_rotation::Aim::Replace,
        protocol: keyroll_rotation::PROTOCOL,
    }
}

/// Everything of one rotation of `acme`, whose current key is `id-1` with the value `value-one`.
pub(crate) struct Scene {
    pub(crate) keys: Arc<Keys>,
    pub(crate) safe: Arc<Safe>,
    pub(crate) book: Arc<Book>,
    pub(crate) host: Arc<Machine>,
    pub(crate) fate: Arc<Fate>,
    source: Option<Arc<Source>>,
    started: Instant,
}

impl Scene {
    /// The next mint answers with this id and value.
    pub(crate) fn new(id: &str, value: &str) -> Self {
        Self::with(capabilities(), &[], id, value)
    }

    /// The same, and nobody has consented to the end of the old key.
    pub(crate) fn unconsented(capabilities: Capabilities, refusals: &[u32]) -> Self {
        let mut scene = Self::with(capabilities, refusals, "id-2", "value-two");
        if let Some(book) = Arc::get_mut(&mut scene.book) {
            book.opening.plan.policy.standing_consent = false;
        }
        scene
    }

    /// The same with phases that last a moment.
    pub(crate) fn shortly() -> Self {
        let mut scene = Self::unconsented(capabilities(), &[]);
        if let Some(book) = Arc::get_mut(&mut scene.book) {
            book.opening.plan.policy.phase_ms_max = 1_500;
        }
        scene
    }

    /// At an issuer that can do this; the logs show these refusals, look after look.
    pub(crate) fn with(capabilities: Capabilities, refusals: &[u32], id: &str, value: &str) -> Self {
        Self::of(plan(capabilities), refusals, id, value)
    }

    /// A rotation by this plan.
    pub(crate) fn of(plan: Plan, refusals: &[u32], id: &str, value: &str) -> Self {
        let fate = Arc::new(Fate::default());
        let alive = BTreeMap::from([("value-one".to_owned(), "id-1".to_owned())]);
        let (started, skipped_ms) = (Instant::now(), Arc::<AtomicU64>::default());
        let deleting = Arc::<AtomicBool>::default();
        let keys = Keys {
            capabilities: plan.capabilities.clone(),
            off: Mutex::default(),
            overlooks: Mutex::default(),
            incomplete_lists: AtomicU64::new(0),
            hides_use: AtomicBool::default(),
            half_off: Mutex::default(),
            alive: Mutex::new(alive),
            labels: Mutex::default(),
            of_others: Mutex::default(),
            ended: Mutex::default(),
            presented_off: AtomicU64::new(0),
            record: Mutex::default(),
            next: (id.to_owned(), value.to_owned()),
            replaces: AtomicBool::default(),
            colleagues: Mutex::default(),
            lag_ms: AtomicU64::new(0),
            console: AtomicBool::default(),
            unknown_looks: Mutex::default(),
            refuses_meanwhile: AtomicBool::default(),
            instead: Mutex::default(),
            endpoints: Mutex::new(vec!["here:1".to_owned()]),
            deleting: deleting.clone(),
            born_ms: AtomicU64::new(0),
            time: Time(started, skipped_ms.clone()),
            mints: AtomicU64::new(0),
            fate: fate.clone(),
        };
        let safe = Arc::new(Safe::with(credential("id-1", "value-one"), fate.clone()));
        let host = Arc::new(Machine::new(&plan, safe.clone(), fate.clone(), refusals));
        let opening = Opening {
            secret: "acme".to_owned(),
            from_version: 1,
            plan,
            names: String::new(),
            at: Stamp { ms: 0, boot: 1, epoch: 0 },
            unix_ms: 0,
        };
        let book = Book {
            opening,
            events: Mutex::default(),
            names: Mutex::default(),
            epoch: AtomicU64::new(0),
            breaks_at: Mutex::default(),
            breaks_after: Mutex::default(),
            breaks_behind: Mutex::default(),
            breaks_before: Mutex::default(),
            full_behind: Mutex::default(),
            skipped_ms,
            deleting,
        };
        Self { keys: Arc::new(keys), safe, book: Arc::new(book), host, fate, source: None, started }
    }

    /// The same, where consumers fetch from a source of truth beside the store.
    pub(crate) fn with_a_source(mut self) -> Self {
        let source = Arc::new(Source::of("value-one"));
        *locked(&self.safe.source) = Some(source.clone());
        self.source = Some(source);
        self
    }

    pub(crate) fn source(&self) -> &Source {
        self.source.as_deref().expect("a source of truth")
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            journal: self.book.clone(),
            store: self.safe.clone(),
            truth: self.source.clone().map(|source| source as Arc<dyn Truth>),
            staging: self.safe.clone(),
            issuer: self.keys.clone(),
            host: self.host.clone(),
            clock: Arc::new(Time(self.started, self.book.skipped_ms.clone())),
            other_keys: OtherKeys { named: locked(&self.keys.of_others).clone(), in_object: false },
            spawner: Arc::new(TokioSpawner),
        }
    }
}
