//! The simulated issuer: credentials with a delayed birth and death, labels, a list that may lag.

use keyroll_rotation::{Capabilities, CredId, Seq};

use crate::rng::Rng;
use crate::scene::{BIRTH_MS_MAX, DEATH_MS_MAX, Kind};

/// A value, by number; 0 is the value that is being replaced.
pub(crate) type Value = u8;

/// The value that is being replaced.
pub(crate) const OLD: Value = 0;
/// The consumers' own value, where they shared the old one.
pub(crate) const OWN: Value = 1;
/// Another party's value in a file.
pub(crate) const FOREIGN: Value = 255;

/// One credential, dead or alive.
#[derive(Debug, Clone)]
pub(crate) struct Cred {
    pub(crate) id: CredId,
    pub(crate) value: Value,
    pub(crate) label: Option<Seq>,
    pub(crate) works_from: u64,
    pub(crate) shows_from: u64,
    /// When it was disabled; every endpoint obeys only after `death_ms`.
    pub(crate) off: Option<u64>,
    /// When it was ended; with a grace, perhaps in the future.
    pub(crate) ended: Option<u64>,
    /// How long it takes until every endpoint obeys an end or a Disable.
    pub(crate) death_ms: u64,
    /// When another party last used it.
    pub(crate) last_used: Option<u64>,
    /// Uses by others that were refused.
    pub(crate) refused: u32,
    /// Uses by others since it was disabled that were refused, counted by the issuer or not.
    pub(crate) suffered: u32,
}

impl Cred {
    fn accepted(&self, now: u64) -> bool {
        self.accepted_after(self.death_ms, now)
    }

    /// Whether an endpoint accepts it that obeys an end after this time.
    fn accepted_after(&self, death_ms: u64, now: u64) -> bool {
        let over = |at: Option<u64>| at.is_some_and(|at| now >= at.saturating_add(death_ms));
        now >= self.works_from && !over(self.off) && !over(self.ended)
    }

    /// Whether the issuer will go on accepting it, if nothing else happens.
    fn stands(&self) -> bool {
        self.off.is_none() && self.ended.is_none()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    pub(crate) kind: Kind,
    pub(crate) creds: Vec<Cred>,
    pub(crate) labels: bool,
    /// What is in a slot has an id of its own.
    renames: bool,
    minted: u32,
    death_ms_max: u64,
    rng: Rng,
}

/// The slot that the credential in use is not in.
const FREE_SLOT: &str = "slot-b";

/// Labels from here on belong to no rotation of this journal.
pub(crate) const STRANGE: Seq = 1 << 40;

impl Cred {
    /// A living credential without a label, which works and shows from this time on.
    fn new(id: CredId, value: Value, from: u64, death_ms: u64) -> Self {
        Self {
            id,
            value,
            label: None,
            works_from: from,
            shows_from: from,
            off: None,
            ended: None,
            death_ms,
            last_used: None,
            refused: 0,
            suffered: 0,
        }
    }

    /// Its label belongs to no rotation of this journal.
    pub(crate) fn strange(&self) -> bool {
        self.label.is_some_and(|label| label >= STRANGE)
    }

    /// A colleague made it.
    pub(crate) fn of_colleague(&self) -> bool {
        self.id.as_str().starts_with("colleague-")
    }
}

impl Issuer {
    /// A credential appears under a label that this rotation did not give.
    pub(crate) fn strange_label(&mut self, value: Value, now: u64) {
        let label = STRANGE + self.creds.len() as Seq;
        let id = CredId::new(&format!("strange-{value}"));
        self.creds.push(Cred { label: Some(label), ..Cred::new(id, value, now, 0) });
    }

    /// A colleague makes a key; no label shows whose it is.
    pub(crate) fn colleague(&mut self, value: Value, now: u64) {
        let id = CredId::new(&format!("colleague-{value}"));
        let death_ms = self.death_ms();
        self.creds.push(Cred::new(id, value, now, death_ms));
    }

    pub(crate) fn new(kind: Kind, can: &Capabilities, seed: u64) -> Self {
        let mut issuer = Self {
            kind,
            creds: Vec::new(),
            labels: can.label,
            renames: can.mint_replaces,
            minted: 0,
            death_ms_max: DEATH_MS_MAX,
            rng: Rng::new(seed),
        };
        let id = if kind == Kind::TwoSlots { CredId::new("slot-a") } else { CredId::new("key-0") };
        let death_ms = issuer.death_ms();
        issuer.creds.push(Cred::new(id, OLD, 0, death_ms));
        issuer
    }

    /// A credential that existed before the rotation.
    pub(crate) fn before(&mut self, value: Value) {
        let death_ms = self.death_ms();
        self.creds.push(Cred::new(CredId::new("own"), value, 0, death_ms));
    }

    /// Makes a credential of this value under this label; a second call with the same value is harmless.
    pub(crate) fn mint(&mut self, value: Value, label: Seq, now: u64) -> CredId {
        let label = self.labels.then_some(label);
        if let Some(there) = self.creds.iter_mut().find(|cred| cred.value == value && cred.ended.is_none()) {
            there.label = label;
            return there.id.clone();
        }
        self.minted += 1;
        let id = match self.kind {
            Kind::TwoSlots if self.renames => CredId::new(&format!("{FREE_SLOT}@{}", self.minted)),
            Kind::TwoSlots => CredId::new(FREE_SLOT),
            Kind::None => CredId::new("key-0"),
            Kind::Independent | Kind::Grace => CredId::new(&format!("key-{}", self.minted)),
        };
        for cred in &mut self.creds {
            let replaced = match self.kind {
                Kind::TwoSlots => cred.id.as_str().starts_with(FREE_SLOT),
                Kind::None => cred.id == id,
                Kind::Grace => cred.ended.is_none(),
                Kind::Independent => false,
            };
            if replaced && cred.ended.is_none() {
                let grace = if self.kind == Kind::Grace { crate::scene::GRACE_MS } else { 0 };
                cred.ended = Some(now + grace);
            }
        }
        let works_from = now + self.rng.below(BIRTH_MS_MAX + 1);
        let shows_from = now + self.rng.below(BIRTH_MS_MAX + 1);
        let death_ms = self.death_ms();
        let made = Cred::new(id.clone(), value, works_from, death_ms);
        self.creds.push(Cred { label, shows_from, ..made });
        id
    }

    /// Whether it is in the free slot of a server that chooses the values there: nobody has to have it.
    pub(crate) fn is_replaced_by_a_mint(&self, cred: &Cred) -> bool {
        self.renames && cred.id.as_str().starts_with(FREE_SLOT)
    }

    /// All values that ever belonged to an id.
    pub(crate) fn values_of(&self, id: &CredId) -> impl Iterator<Item = Value> {
        self.creds.iter().filter(move |cred| cred.id == *id).map(|cred| cred.value)
    }

    pub(crate) fn by_value(&self, value: Value) -> Option<&Cred> {
        self.creds.iter().rev().find(|cred| cred.value == value)
    }

    pub(crate) fn by_value_mut(&mut self, value: Value) -> Option<&mut Cred> {
        self.creds.iter_mut().rev().find(|cred| cred.value == value)
    }

    pub(crate) fn accepts(&self, value: Value, now: u64) -> bool {
        self.by_value(value).is_some_and(|cred| cred.accepted(now))
    }

    /// Whether one endpoint accepts a value: the last endpoint obeys an end last.
    pub(crate) fn accepts_at(&self, (endpoint, last): (usize, usize), value: Value, now: u64) -> bool {
        let share = |ms: u64| ms * (endpoint as u64 + 1) / (last as u64 + 1);
        self.by_value(value).is_some_and(|cred| cred.accepted_after(share(cred.death_ms), now))
    }

    /// Takes longer than it declares until it obeys an end.
    pub(crate) fn slow_down(&mut self) {
        self.death_ms_max = 4 * DEATH_MS_MAX;
        let death_ms = self.death_ms();
        self.creds.iter_mut().for_each(|cred| cred.death_ms = death_ms);
    }

    fn death_ms(&mut self) -> u64 {
        self.rng.below(self.death_ms_max + 1)
    }

    /// Whether the issuer will go on accepting a value, if nothing else happens; propagation apart.
    pub(crate) fn stands(&self, value: Value) -> bool {
        self.by_value(value).is_some_and(Cred::stands)
    }

    /// Ends the credential that has this id now. "Already gone" is success.
    pub(crate) fn end(&mut self, id: &CredId, now: u64) {
        if let Some(cred) = self.living(id) {
            cred.ended = Some(cred.ended.map_or(now, |at| at.min(now)));
        }
    }

    pub(crate) fn switch(&mut self, id: &CredId, on: bool, now: u64) -> bool {
        let Some(cred) = self.living(id) else { return false };
        if on {
            cred.off = None;
        } else if cred.off.is_none() {
            cred.off = Some(now);
            cred.suffered = 0;
        }
        true
    }

    /// The newest credential of an id that was not ended: slots and exchanged values keep their ids.
    pub(crate) fn living(&mut self, id: &CredId) -> Option<&mut Cred> {
        self.creds.iter_mut().rev().find(|cred| cred.id == *id && cred.ended.is_none())
    }

    /// Whether it was made, and ended.
    pub(crate) fn is_gone(&self, id: &CredId) -> bool {
        self.creds.iter().rev().find(|cred| cred.id == *id).is_some_and(|cred| cred.ended.is_some())
    }

    /// The content of a complete list: every credential that was not ended and has appeared.
    pub(crate) fn listed(&self, now: u64) -> impl Iterator<Item = &Cred> {
        self.creds.iter().filter(move |cred| cred.shows_from <= now && cred.ended.is_none_or(|at| at > now))
    }

    /// Credentials that the issuer will go on accepting.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Cred> {
        self.creds.iter().filter(|cred| cred.ended.is_none())
    }
}
