//! `[secrets.NAME.roll]`: how a roll is paced; and the waves of consumers.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::period::read_period_within;

/// A longer watch or pause would keep both keys alive for days.
const PACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
/// The highest wave.
const WAVE_MAX: u32 = 99;
/// The largest `hosts_at_once`: as many hosts as consumers may move at once.
const HOSTS_MAX: u32 = 64;

/// How the consumers are moved one after the other. An emergency ignores this table and the waves, and so does a rotation
/// whose new key revokes the old one at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollShape {
    /// The canary, which is moved before anything else: `consumer` (default), the first consumer; `instance`, the first
    /// instance of the first consumer, which needs `bake` or `ask`; `host`, every consumer in the wave of the first one that
    /// is on the same machine, one after the other. The first consumer is the first of the lowest `wave` in this file;
    /// consumers with `fetch` or `reads = "store"` come after the others.
    pub(crate) canary: Option<At<String>>,
    /// How long the canary is watched with the new value before anything else is moved: 0s to 24h. Default `0s`.
    pub(crate) bake: Option<At<String>>,
    /// Whether the rotation pauses once the canary was watched, until `resume`. Not where the new key gives the old one a
    /// grace. Default false.
    #[serde(default)]
    pub(crate) ask: bool,
    /// How long nothing is moved after an instance or a consumer has proved the new value: 0s to 24h. Default `0s`.
    pub(crate) pause_between: Option<At<String>>,
    /// On how many hosts consumers are moved at the same time, after the canary: 1 to 64, and no more than `max_parallel`,
    /// which says how many consumers move at once on all hosts together. Default 1: one host after the other.
    pub(crate) hosts_at_once: Option<At<u32>>,
}

/// What is moved first, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Canary {
    /// The first instance of the first consumer.
    Instance,
    /// The first consumer.
    #[default]
    Consumer,
    /// Every consumer of the first one's machine and wave.
    Host,
}

/// How a roll is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll {
    /// What is moved first, alone.
    pub canary: Canary,
    /// How long it is watched before anything else is moved.
    pub bake: Duration,
    /// Whether the operator is asked before anything else is moved.
    pub ask: bool,
    /// How long nothing begins after an instance or a consumer was proven.
    pub pause_between: Duration,
    /// On how many hosts consumers are moved at the same time; at least 1.
    pub hosts_at_once: u16,
}

impl Default for Roll {
    fn default() -> Self {
        let (bake, pause_between) = (Duration::ZERO, Duration::ZERO);
        Self { canary: Canary::default(), bake, ask: false, pause_between, hosts_at_once: 1 }
    }
}

impl Roll {
    /// Reads the table, or its default. `parallel`: how many consumers may move at once.
    pub(crate) fn read(shape: Option<&At<RollShape>>, parallel: u32, all: &mut Mistakes) -> Read<Self> {
        let Some(At { value: shape, .. }) = shape else { return Some(Self::default()) };
        let period =
            |key, text: &Option<At<String>>| read_period_within(key, text.as_ref(), Duration::ZERO, PACE);
        let canary = all.note(shape.canary.as_ref().map(Canary::read).transpose());
        let bake = all.note(period("roll.bake", &shape.bake));
        let pause_between = all.note(period("roll.pause_between", &shape.pause_between));
        let hosts_at_once = all.note(read_hosts(shape.hosts_at_once.as_ref(), parallel));
        let read = Self {
            canary: canary?.unwrap_or_default(),
            bake: bake?,
            ask: shape.ask,
            pause_between: pause_between?,
            hosts_at_once: hosts_at_once?,
        };
        all.note(read.refuse_unwatched(shape.canary.as_ref()))
    }

    /// Refuses a canary of one instance that nothing watches. `canary`: where it is written.
    fn refuse_unwatched(self, canary: Option<&At<String>>) -> Result<Self, Mistake> {
        let unwatched = self.canary == Canary::Instance && self.bake.is_zero() && !self.ask;
        let Some(text) = canary.filter(|_| unwatched) else { return Ok(self) };
        let why = "`roll.canary = \"instance\"` changes nothing without `bake` and `ask`: the instances of a consumer are \
                   moved one after the other anyway";
        Err(Mistake::new(Kind::BadCombination, why).at(&text.span).help(
            "write `bake = \"10m\"`, to watch the first instance that long; or `ask = true`, to be asked before the next one",
        ))
    }
}

impl Canary {
    fn read(text: &At<String>) -> Result<Self, Mistake> {
        match text.value.as_str() {
            "instance" => Ok(Self::Instance),
            "consumer" => Ok(Self::Consumer),
            "host" => Ok(Self::Host),
            _ => Err(Mistake::one_of("roll.canary", text, &["instance", "consumer", "host"])),
        }
    }
}

/// Reads `hosts_at_once`, or its default. With more hosts than consumers that may move at once, the number means nothing.
fn read_hosts(number: Option<&At<u32>>, parallel: u32) -> Result<u16, Mistake> {
    let Some(At { value: hosts, span }) = number else { return Ok(1) };
    let within = u16::try_from(*hosts).ok().filter(|_| (1..=HOSTS_MAX).contains(hosts));
    let Some(within) = within else {
        let why = format!("`roll.hosts_at_once` must be 1 to {HOSTS_MAX}");
        return Err(Mistake::new(Kind::WrongForm, why).at(span));
    };
    if *hosts <= parallel {
        return Ok(within);
    }
    let why = format!(
        "`roll.hosts_at_once` is {hosts}, but `max_parallel` lets only {parallel} consumers move at the same time"
    );
    Err(Mistake::new(Kind::BadCombination, why).at(span).help(format!(
        "write `max_parallel = {hosts}` in [secrets.NAME] or [defaults], or a lower `hosts_at_once`"
    )))
}

/// Reads `wave`, or its default.
pub(crate) fn read_wave(number: Option<&At<u32>>) -> Result<u8, Mistake> {
    let Some(number) = number else { return Ok(0) };
    let wave = u8::try_from(number.value).ok().filter(|wave| u32::from(*wave) <= WAVE_MAX);
    wave.ok_or_else(|| {
        Mistake::new(Kind::WrongForm, format!("`wave` must be 0 to {WAVE_MAX}")).at(&number.span)
    })
}
