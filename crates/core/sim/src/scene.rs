//! The workloads: one plan per combination of what issuers and consumers can be.

use keyroll_rotation::{
    Aim, Canary, Capabilities, Consumer, Delivery, FileId, HostId, Kinds, LastUsed, MintedBy, OnFailure,
    Overlap, PROTOCOL, Plan, Policy, Refusals, ReloadMode, RollPolicy,
};

use crate::quirks::{Quirk, Quirks};
use crate::rng::Rng;

/// The id of the rotation that is simulated.
pub(crate) const ROTATION: &str = "0190-1";

/// The most hosts that a scene has.
pub(crate) const HOSTS_MAX: usize = 5;

/// Every host that a scene may have, in the order of their numbers.
pub(crate) const HOSTS: [HostId; HOSTS_MAX] = [HostId(0), HostId(1), HostId(2), HostId(3), HostId(4)];

/// How large the world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Size {
    /// 3 hosts, 6 consumers, 7 instances, and further instances that start late.
    Full,
    /// 2 hosts, 2 consumers: for pairs and triples.
    Reduced,
    /// Hosts, consumers, files, slots and paths are drawn too.
    Drawn,
}

/// How old and new coexist, without figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// Independent credentials.
    Independent,
    /// Two slots with fixed ids.
    TwoSlots,
    /// The old value dies some time after the new one is made.
    Grace,
    /// The new value replaces the old one.
    None,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Independent, Self::TwoSlots, Self::Grace, Self::None];
}

/// What the rotation does with a key that several secrets share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// Nothing: one secret, one key.
    #[default]
    None,
    /// The plan's consumers get a key of their own; others go on using the old one.
    Part,
    /// The old key is ended; the plan's consumers have a key of their own.
    End,
}

/// A workload, drawn from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    /// How large.
    pub size: Size,
    /// The kind of overlap.
    pub kind: Kind,
    /// The number from which everything else is drawn.
    pub draw: u64,
    /// The old value is dead when the plan is made.
    #[serde(default)]
    pub recovery: bool,
    /// Whether the old key is shared.
    #[serde(default)]
    pub family: Family,
    /// What its parts do that plain ones do not.
    #[serde(default)]
    pub quirks: Quirks,
}

/// Draws whether an issuer that lists its credentials shows labels.
const UNLABELLED: u64 = 0x1ab_e15;
/// Draws whether the server chooses the value of a slot.
const REPLACES: u64 = 0x5e1f_0ddd;

/// Draws the policy of a scene with quirks.
const QUIRKS: u64 = 0x90_11c7;
/// Draws how a roll is paced.
const STAGED: u64 = 0x57_a6e5;

/// Draws how many endpoints the issuer has.
const PAIRS: u64 = 0x9a_1125;

/// How many waves there are at most.
const WAVES: u64 = 3;

/// Delays of the simulated issuer and the windows of the policy, in milliseconds.
pub(crate) const BIRTH_MS_MAX: u64 = 1_500;
pub(crate) const DEATH_MS_MAX: u64 = 1_500;
/// How long the work of a session takes, milliseconds.
pub(crate) const SESSION_MS: u64 = 150;
pub(crate) const REQUEST_MS_MAX: u64 = 2_000;
pub(crate) const GRACE_MS: u64 = 170_000;
pub(crate) const LAG_MS: u64 = 400;
pub(crate) const GRAIN_MS: u64 = 100;
pub(crate) const LOOK_AGE_MS_MAX: u64 = 3_000;

impl Scene {
    /// A scene of one secret with one living key, without quirks.
    pub fn plain(size: Size, kind: Kind, draw: u64) -> Self {
        Self { size, kind, draw, recovery: false, family: Family::None, quirks: Quirks::default() }
    }

    /// The scene of one seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5ce7e);
        let kind = match rng.below(8) {
            0..=2 => Kind::Independent,
            3..=4 => Kind::TwoSlots,
            5 => Kind::Grace,
            _ => Kind::None,
        };
        let size = match rng.below(8) {
            0 | 1 => Size::Full,
            2 | 3 => Size::Drawn,
            _ => Size::Reduced,
        };
        let (draw, recovery) = (rng.next(), rng.one_in(24));
        let family = match (kind, Rng::new(seed ^ 0xfa_3117).below(10)) {
            (Kind::Independent, 0 | 1) => Family::Part,
            (Kind::Independent, 2 | 3) => Family::End,
            _ => Family::None,
        };
        Self { size, kind, draw, recovery, family, quirks: Quirks::of(seed) }
    }

    /// The plan of this scene.
    pub fn plan(&self) -> Plan {
        let mut rng = Rng::new(self.draw);
        let capabilities = self.capabilities(&mut rng);
        let mut policy = self.with_quirks(self.policy(&mut rng));
        let attributes = capabilities.attributes;
        let (mut consumers, mut files, hosts) = match self.size {
            Size::Full => full(attributes),
            Size::Reduced => reduced(attributes, &mut rng),
            Size::Drawn => drawn(attributes, self.kind, &mut rng),
        };
        if self.quirks.has(Quirk::Links) {
            spread(&mut consumers, &mut files, self.draw);
        }
        if self.quirks.has(Quirk::Served) {
            serve(&mut consumers, attributes, self.draw);
        }
        if self.quirks.has(Quirk::Staged) {
            policy.roll = Some(self.pace(&mut consumers));
        }
        let mut plan = Plan {
            bound: rng.below(8) != 0,
            denied_is_alive: self.quirks.has(Quirk::Denies),
            recovery: self.recovery,
            aim: match self.family {
                Family::None => Aim::Replace,
                Family::Part => Aim::Part,
                Family::End => Aim::End,
            },
            endpoints: self.endpoints(&consumers, hosts),
            files,
            consumers,
            bystanders: Vec::new(),
            capabilities,
            policy,
            protocol: PROTOCOL,
        };
        // A grace may be too short for a roll that is paced.
        if plan.fits().is_err() {
            plan.policy.roll = None;
        }
        plan
    }

    fn capabilities(&self, rng: &mut Rng) -> Capabilities {
        // The server chooses the value of its free slot: a lost one is replaced.
        let replaces = self.kind == Kind::TwoSlots && Rng::new(self.draw ^ REPLACES).one_in(2);
        let minted_by = match (self.kind, rng.below(8)) {
            (_, 0) => MintedBy::Human,
            (Kind::TwoSlots, _) if replaces => MintedBy::Api,
            (Kind::TwoSlots, _) | (Kind::None, 1..=4) | (Kind::Independent, 1) => MintedBy::Us,
            _ => MintedBy::Api,
        };
        let mint_replaces = replaces && minted_by == MintedBy::Api;
        let overlap = match self.kind {
            Kind::Independent => Overlap::Independent { max: 0 },
            Kind::TwoSlots => Overlap::TwoSlots,
            Kind::Grace => Overlap::Grace { ms: GRACE_MS },
            Kind::None => Overlap::None,
        };
        let lists = rng.below(5) != 0;
        // Ids without labels: a mint whose answer is lost is found by comparing lists.
        let unlabelled = minted_by == MintedBy::Us
            && self.kind == Kind::Independent
            && Rng::new(self.draw ^ UNLABELLED).one_in(2);
        Capabilities {
            minted_by,
            overlap,
            disable: !matches!(self.kind, Kind::None | Kind::Grace) && rng.below(3) != 0,
            label: lists && !unlabelled && !mint_replaces,
            mint_replaces,
            list: lists,
            last_used: match rng.below(3) {
                0 => LastUsed::NotVisible,
                1 => LastUsed::PerPrincipal,
                _ => LastUsed::PerKey { lag_ms: LAG_MS, granularity_ms: GRAIN_MS },
            },
            refusals: match rng.below(4) {
                0 => Refusals::NotVisible,
                1 => Refusals::ConsumerLogs,
                _ => Refusals::IssuerLog,
            },
            // Where both values have one id, nobody knows which value a session uses.
            sessions: rng.one_in(2) && self.kind != Kind::None,
            attributes: rng.one_in(2),
            birth_ms_max: BIRTH_MS_MAX,
            death_ms_max: DEATH_MS_MAX,
            request_ms_max: REQUEST_MS_MAX,
        }
    }

    fn policy(&self, rng: &mut Rng) -> Policy {
        Policy {
            on_failure: if rng.one_in(2) { OnFailure::Rollback } else { OnFailure::Pause },
            parallel_max: 1 + u16::from(rng.one_in(2)),
            probes_alive: 2,
            probes_dead: 2,
            idle_ms: 700,
            soak_ms: 1_200,
            phase_ms_max: 30_000,
            unit_ms_max: 8_000,
            look_age_ms_max: LOOK_AGE_MS_MAX,
            require: Kinds::NONE,
            standing_consent: rng.one_in(3),
            roll: None,
        }
    }
}

impl Scene {
    /// The pairs of a host and an endpoint of the issuer's: so many endpoints on the machine of keyroll as there are hosts, or,
    /// where hosts go away, one or two there and on each host that a consumer runs on.
    fn endpoints(&self, consumers: &[Consumer], hosts: u16) -> Vec<HostId> {
        if !self.quirks.has(Quirk::Away) {
            return vec![HostId(0); usize::from(hosts)];
        }
        let mut from: Vec<HostId> = consumers.iter().map(|it| it.host).chain([HostId(0)]).collect();
        from.sort_unstable();
        from.dedup();
        let each = 1 + usize::from(Rng::new(self.draw ^ PAIRS).one_in(2));
        from.into_iter().flat_map(|host| std::iter::repeat_n(host, each)).collect()
    }

    /// The policy under the quirks of this scene.
    fn with_quirks(&self, mut policy: Policy) -> Policy {
        let mut rng = Rng::new(self.draw ^ QUIRKS);
        if self.quirks.has(Quirk::Requires) {
            let kinds = [Kinds::DELIVERED, Kinds::LOADED, Kinds::REPORTED, Kinds::READ];
            policy.require = pick(&mut rng, kinds);
        }
        if self.quirks.has(Quirk::Windows) {
            policy.idle_ms = pick(&mut rng, [20, 700, 5_000]);
            policy.soak_ms = pick(&mut rng, [0, 90, 7_000]);
            policy.probes_alive = pick(&mut rng, [1, 2, 4]);
            policy.probes_dead = pick(&mut rng, [1, 3, 5]);
            policy.phase_ms_max = pick(&mut rng, [20_000, 60_000]);
            policy.look_age_ms_max = pick(&mut rng, [LOOK_AGE_MS_MAX, 2 * LOOK_AGE_MS_MAX]);
        }
        policy
    }

    /// Gives every consumer a wave, and draws how the roll is paced.
    fn pace(&self, consumers: &mut [Consumer]) -> RollPolicy {
        let mut rng = Rng::new(self.draw ^ STAGED);
        for one in consumers.iter_mut() {
            one.wave = u8::try_from(rng.below(WAVES)).unwrap_or(0);
        }
        // Promote comes after every consumer that is pushed to, and before every other one.
        let pushed = consumers.iter().filter(|it| it.delivery == Delivery::Push);
        let last = pushed.map(|it| it.wave).max().unwrap_or(0);
        for one in consumers.iter_mut().filter(|it| it.delivery != Delivery::Push) {
            one.wave = one.wave.max(last);
        }
        let canary = match rng.below(3) {
            0 => Canary::Instance,
            1 => Canary::Consumer,
            _ => Canary::Host,
        };
        RollPolicy {
            canary,
            bake_ms: pick(&mut rng, [0, 300, 3_000]),
            // While a grace runs, no operator is waited for.
            ask: rng.one_in(3) && self.kind != Kind::Grace,
            pause_ms: pick(&mut rng, [0, 200, 1_500]),
            hosts_max: 1 + u16::from(rng.one_in(2)),
        }
    }
}

fn pick<T: Copy + Default, const N: usize>(rng: &mut Rng, from: [T; N]) -> T {
    let place = usize::try_from(rng.below(N as u64)).unwrap_or(0);
    from.get(place).copied().unwrap_or_default()
}

fn consumer(host: u16, delivery: Delivery, uptake: ReloadMode, files: &[u16]) -> Consumer {
    Consumer {
        host: HostId(host),
        delivery,
        uptake,
        files: files.iter().map(|file| FileId(*file)).collect(),
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    }
}

/// Two instances behind one file that another consumer re-reads; a forked one; a job at rest; a fetcher; a follower.
fn full(attributes: bool) -> (Vec<Consumer>, Vec<HostId>, u16) {
    let mut consumers = vec![
        consumer(0, Delivery::Push, ReloadMode::Verb, &[0]),
        consumer(0, Delivery::Push, ReloadMode::Rereads, &[0]),
        consumer(1, Delivery::Push, ReloadMode::Verb, &[1]),
        consumer(2, Delivery::Push, ReloadMode::AtRest, &[2]),
        consumer(1, Delivery::Fetch, ReloadMode::Verb, &[3]),
        consumer(2, Delivery::Follow, ReloadMode::Rereads, &[]),
    ];
    if let Some(first) = consumers.first_mut() {
        first.slots = 2;
        first.paths = 2;
        first.attributable = attributes;
    }
    (consumers, [0, 1, 2, 1].map(HostId).to_vec(), 3)
}

fn reduced(attributes: bool, rng: &mut Rng) -> (Vec<Consumer>, Vec<HostId>, u16) {
    let mut first = consumer(0, Delivery::Push, ReloadMode::Verb, &[0]);
    first.attributable = attributes;
    let second = match rng.below(5) {
        0 => consumer(1, Delivery::Push, ReloadMode::Verb, &[1]),
        1 => consumer(1, Delivery::Push, ReloadMode::Rereads, &[1]),
        2 => consumer(1, Delivery::Push, ReloadMode::AtRest, &[1]),
        3 => consumer(1, Delivery::Fetch, ReloadMode::Verb, &[1]),
        _ => consumer(1, Delivery::Follow, ReloadMode::Rereads, &[]),
    };
    (vec![first, second], [0, 1].map(HostId).to_vec(), 2)
}

/// One to three hosts, one to five consumers of every sort; some share a file.
fn drawn(attributes: bool, kind: Kind, rng: &mut Rng) -> (Vec<Consumer>, Vec<HostId>, u16) {
    let hosts = 1 + small(rng, 3);
    let (mut consumers, mut files) = (Vec::new(), Vec::new());
    for _ in 0..=small(rng, 5) {
        let host = small(rng, hosts);
        let delivery = match rng.below(5) {
            0 => Delivery::Fetch,
            1 => Delivery::Follow,
            _ => Delivery::Push,
        };
        let uptake = match (delivery, rng.below(3)) {
            (Delivery::Follow, 0 | 1) | (Delivery::Fetch, 0) | (Delivery::Push, 1) => ReloadMode::Rereads,
            (Delivery::Push, 2) => ReloadMode::AtRest,
            (Delivery::Follow | Delivery::Push | Delivery::Fetch, _) => ReloadMode::Verb,
        };
        let same =
            |it: &&Consumer| it.host.0 == host && it.delivery == delivery && delivery == Delivery::Push;
        let shared = consumers.iter().find(same).filter(|_| rng.one_in(3)).map(|it| it.files.clone());
        let own = || FileId(u16::try_from(files.len()).unwrap_or(u16::MAX));
        let held = match (delivery, shared) {
            (Delivery::Follow, _) => Vec::new(),
            (Delivery::Push | Delivery::Fetch, Some(shared)) => shared,
            (Delivery::Push | Delivery::Fetch, None) => vec![own()],
        };
        if held.iter().any(|file| file.index() == files.len()) {
            files.push(HostId(host));
        }
        let mut one = consumer(host, delivery, uptake, &[]);
        one.files = held;
        // A grace must be long enough for all of them.
        let most = if kind == Kind::Grace || uptake != ReloadMode::Verb { 1 } else { 3 };
        one.slots = 1 + u8::try_from(rng.below(most)).unwrap_or(0);
        one.paths = 1 + u8::try_from(rng.below(2)).unwrap_or(0);
        one.attributable = attributes && rng.one_in(2);
        consumers.push(one);
    }
    (consumers, files, hosts)
}

fn small(rng: &mut Rng, below: u16) -> u16 {
    u16::try_from(rng.below(u64::from(below))).unwrap_or(0)
}

/// Draws on how many hosts consumers are.
const SPREAD: u64 = 0x5b_4ead;

/// Gives each file, with its readers, the next of two to five hosts; the first one is not on the machine of keyroll. What
/// reads no file is on any of them.
fn spread(consumers: &mut [Consumer], files: &mut [HostId], draw: u64) {
    let mut rng = Rng::new(draw ^ SPREAD);
    let hosts = 2 + small(&mut rng, 4);
    let ids = (0..hosts).cycle().skip(1).map(HostId);
    files.iter_mut().zip(ids).for_each(|(host, id)| *host = id);
    for one in consumers {
        let of_file = one.files.first().and_then(|file| files.get(file.index()).copied());
        one.host = of_file.unwrap_or(HostId(small(&mut rng, hosts)));
    }
}

/// Draws which consumers are served, and whose word is trusted.
const SERVED: u64 = 0x5e_12fed;

/// Makes some of the consumers that are pushed to served ones; one that had to be restarted takes the value by itself.
fn serve(consumers: &mut [Consumer], attributes: bool, draw: u64) {
    let mut rng = Rng::new(draw ^ SERVED);
    for one in consumers.iter_mut().filter(|it| it.delivery == Delivery::Push) {
        if one.uptake == ReloadMode::Verb && rng.below(3) > 0 {
            one.uptake = ReloadMode::Rereads;
        }
        if one.uptake == ReloadMode::Verb {
            continue;
        }
        one.slots = 1;
        one.paths = 1 + u8::from(rng.one_in(2));
        one.own_word = rng.below(3) > 0;
        one.attributable = attributes && one.uptake == ReloadMode::Rereads && rng.one_in(2);
    }
}
