use keyroll_rotation as own;
use keyroll_rotation::{FileId, HostId};
use serde::{Deserialize, Serialize};

use super::evidence::kinds;
use super::words::{Aim, Delivery, MintedBy, OnFailure, Refusals, Uptake};
use crate::wire::WireError;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Overlap {
    Independent { max: u32 },
    TwoSlots,
    Grace { ms: u64 },
    None,
}

impl From<own::Overlap> for Overlap {
    fn from(overlap: own::Overlap) -> Self {
        match overlap {
            own::Overlap::Independent { max } => Self::Independent { max },
            own::Overlap::TwoSlots => Self::TwoSlots,
            own::Overlap::Grace { ms } => Self::Grace { ms },
            own::Overlap::None => Self::None,
        }
    }
}

impl From<Overlap> for own::Overlap {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Independent { max } => Self::Independent { max },
            Overlap::TwoSlots => Self::TwoSlots,
            Overlap::Grace { ms } => Self::Grace { ms },
            Overlap::None => Self::None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum LastUsed {
    NotVisible,
    PerKey { lag_ms: u64, granularity_ms: u64 },
    PerPrincipal,
}

impl From<own::LastUsed> for LastUsed {
    fn from(last_used: own::LastUsed) -> Self {
        match last_used {
            own::LastUsed::NotVisible => Self::NotVisible,
            own::LastUsed::PerKey { lag_ms, granularity_ms } => Self::PerKey { lag_ms, granularity_ms },
            own::LastUsed::PerPrincipal => Self::PerPrincipal,
        }
    }
}

impl From<LastUsed> for own::LastUsed {
    fn from(last_used: LastUsed) -> Self {
        match last_used {
            LastUsed::NotVisible => Self::NotVisible,
            LastUsed::PerKey { lag_ms, granularity_ms } => Self::PerKey { lag_ms, granularity_ms },
            LastUsed::PerPrincipal => Self::PerPrincipal,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    minted_by: MintedBy,
    overlap: Overlap,
    disable: bool,
    label: bool,
    list: bool,
    last_used: LastUsed,
    refusals: Refusals,
    sessions: bool,
    attributes: bool,
    birth_ms_max: u64,
    death_ms_max: u64,
    request_ms_max: u64,
}

impl From<&own::Capabilities> for Capabilities {
    fn from(capabilities: &own::Capabilities) -> Self {
        let own::Capabilities {
            minted_by,
            overlap,
            disable,
            label,
            list,
            last_used,
            refusals,
            sessions,
            attributes,
            birth_ms_max,
            death_ms_max,
            request_ms_max,
        } = *capabilities;
        Self {
            minted_by: minted_by.into(),
            overlap: overlap.into(),
            disable,
            label,
            list,
            last_used: last_used.into(),
            refusals: refusals.into(),
            sessions,
            attributes,
            birth_ms_max,
            death_ms_max,
            request_ms_max,
        }
    }
}

impl From<Capabilities> for own::Capabilities {
    fn from(capabilities: Capabilities) -> Self {
        Self {
            minted_by: capabilities.minted_by.into(),
            overlap: capabilities.overlap.into(),
            disable: capabilities.disable,
            label: capabilities.label,
            list: capabilities.list,
            last_used: capabilities.last_used.into(),
            refusals: capabilities.refusals.into(),
            sessions: capabilities.sessions,
            attributes: capabilities.attributes,
            birth_ms_max: capabilities.birth_ms_max,
            death_ms_max: capabilities.death_ms_max,
            request_ms_max: capabilities.request_ms_max,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    on_failure: OnFailure,
    parallel_max: u16,
    probes_alive: u8,
    probes_dead: u8,
    idle_ms: u64,
    soak_ms: u64,
    phase_ms_max: u64,
    unit_ms_max: u64,
    require: u8,
    standing_consent: bool,
}

impl From<&own::Policy> for Policy {
    fn from(policy: &own::Policy) -> Self {
        let own::Policy {
            on_failure,
            parallel_max,
            probes_alive,
            probes_dead,
            idle_ms,
            soak_ms,
            phase_ms_max,
            unit_ms_max,
            require,
            standing_consent,
        } = *policy;
        Self {
            on_failure: on_failure.into(),
            parallel_max,
            probes_alive,
            probes_dead,
            idle_ms,
            soak_ms,
            phase_ms_max,
            unit_ms_max,
            require: require.bits(),
            standing_consent,
        }
    }
}

impl TryFrom<Policy> for own::Policy {
    type Error = WireError;

    fn try_from(policy: Policy) -> Result<Self, WireError> {
        Ok(Self {
            on_failure: policy.on_failure.into(),
            parallel_max: policy.parallel_max,
            probes_alive: policy.probes_alive,
            probes_dead: policy.probes_dead,
            idle_ms: policy.idle_ms,
            soak_ms: policy.soak_ms,
            phase_ms_max: policy.phase_ms_max,
            unit_ms_max: policy.unit_ms_max,
            require: kinds(policy.require)?,
            standing_consent: policy.standing_consent,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consumer {
    host: u16,
    delivery: Delivery,
    uptake: Uptake,
    files: Vec<u16>,
    slots: u8,
    paths: u8,
    attributable: bool,
}

impl From<&own::Consumer> for Consumer {
    fn from(consumer: &own::Consumer) -> Self {
        let own::Consumer { host, delivery, uptake, files, slots, paths, attributable } = consumer;
        Self {
            host: host.0,
            delivery: (*delivery).into(),
            uptake: (*uptake).into(),
            files: files.iter().map(|file| file.0).collect(),
            slots: *slots,
            paths: *paths,
            attributable: *attributable,
        }
    }
}

impl From<Consumer> for own::Consumer {
    fn from(consumer: Consumer) -> Self {
        Self {
            host: HostId(consumer.host),
            delivery: consumer.delivery.into(),
            uptake: consumer.uptake.into(),
            files: consumer.files.into_iter().map(FileId).collect(),
            slots: consumer.slots,
            paths: consumer.paths,
            attributable: consumer.attributable,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    capabilities: Capabilities,
    policy: Policy,
    endpoints: Vec<u16>,
    files: Vec<u16>,
    consumers: Vec<Consumer>,
    bound: bool,
    denied_is_alive: bool,
    recovery: bool,
    /// Absent if the rotation replaces the key, as in every plan from before the other aims existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
}

impl From<&own::Plan> for Plan {
    fn from(plan: &own::Plan) -> Self {
        let own::Plan {
            capabilities,
            policy,
            endpoints,
            files,
            consumers,
            bound,
            denied_is_alive,
            recovery,
            aim,
        } = plan;
        Self {
            capabilities: capabilities.into(),
            policy: policy.into(),
            endpoints: endpoints.iter().map(|host| host.0).collect(),
            files: files.iter().map(|host| host.0).collect(),
            consumers: consumers.iter().map(Consumer::from).collect(),
            bound: *bound,
            denied_is_alive: *denied_is_alive,
            recovery: *recovery,
            aim: (*aim != own::Aim::Replace).then(|| (*aim).into()),
        }
    }
}

impl TryFrom<Plan> for own::Plan {
    type Error = WireError;

    fn try_from(plan: Plan) -> Result<Self, WireError> {
        Ok(Self {
            capabilities: plan.capabilities.into(),
            policy: plan.policy.try_into()?,
            endpoints: plan.endpoints.into_iter().map(HostId).collect(),
            files: plan.files.into_iter().map(HostId).collect(),
            consumers: plan.consumers.into_iter().map(own::Consumer::from).collect(),
            bound: plan.bound,
            denied_is_alive: plan.denied_is_alive,
            recovery: plan.recovery,
            aim: plan.aim.map_or(own::Aim::Replace, own::Aim::from),
        })
    }
}
