use keyroll_rotation as own;
use serde::{Deserialize, Serialize};

use super::form::{Form, forms, is_false};
use super::words::{Aim, Canary, Delivery, MintedBy, OnFailure, Refusals, ReloadMode};
use crate::wire::WireError;

forms! {
    enum Overlap {
        Independent { max: u32 },
        TwoSlots,
        Grace { ms: u64 },
        None,
    }

    enum LastUsed {
        NotVisible,
        PerKey { lag_ms: u64, granularity_ms: u64 },
        PerPrincipal,
    }

    struct Capabilities {
        minted_by: MintedBy,
        overlap: Overlap,
        disable: bool,
        label: bool,
        /// Absent where it is false.
        #[serde(default, skip_serializing_if = "is_false")]
        mint_replaces: bool,
        list: bool,
        last_used: LastUsed,
        refusals: Refusals,
        sessions: bool,
        attributes: bool,
        birth_ms_max: u64,
        death_ms_max: u64,
        request_ms_max: u64,
    }

    struct RollPolicy {
        canary: Canary,
        bake_ms: u64,
        ask: bool,
        pause_ms: u64,
        hosts_max: u16,
    }

    struct Policy {
        on_failure: OnFailure,
        parallel_max: u16,
        probes_alive: u8,
        probes_dead: u8,
        idle_ms: u64,
        soak_ms: u64,
        phase_ms_max: u64,
        unit_ms_max: u64,
        /// Absent in plans of protocol 3 and before.
        #[serde(default = "unbounded", skip_serializing_if = "is_unbounded")]
        look_age_ms_max: u64,
        require: u8,
        standing_consent: bool,
        /// Absent in plans of protocol 9 and before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        roll: Option<RollPolicy>,
    }

    struct Consumer {
        host: u16,
        delivery: Delivery,
        uptake: ReloadMode,
        files: Vec<u16>,
        slots: u8,
        paths: u8,
        attributable: bool,
        /// Absent where it is false, as in plans of protocol 5 and before.
        #[serde(default, skip_serializing_if = "is_false")]
        own_word: bool,
        /// Absent where it is 0, as in plans of protocol 9 and before.
        #[serde(default, skip_serializing_if = "is_zero")]
        wave: u8,
    }
}

/// A plan but for the protocol that opened it, which is in the opening beside the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    capabilities: Capabilities,
    policy: Policy,
    endpoints: Vec<u16>,
    files: Vec<u16>,
    consumers: Vec<Consumer>,
    /// Absent where it declares none, as in plans of protocol 13 and before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bystanders: Vec<u64>,
    bound: bool,
    denied_is_alive: bool,
    recovery: bool,
    /// Absent where it replaces, as in every plan of before there was anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
}

impl Plan {
    /// What is written.
    pub(super) fn of(own: &own::Plan) -> Self {
        let own::Plan {
            capabilities,
            policy,
            endpoints,
            files,
            consumers,
            bystanders,
            bound,
            denied_is_alive,
            recovery,
            aim,
            protocol: _,
        } = own;
        Self {
            capabilities: Form::of(capabilities),
            policy: Form::of(policy),
            endpoints: Form::of(endpoints),
            files: Form::of(files),
            consumers: Form::of(consumers),
            bystanders: Form::of(bystanders),
            bound: *bound,
            denied_is_alive: *denied_is_alive,
            recovery: *recovery,
            aim: Form::of(aim),
        }
    }

    /// What was written, with the protocol that opened it. Errors: a number outside its range.
    pub(super) fn opened_by(self, protocol: u32) -> Result<own::Plan, WireError> {
        let Self {
            capabilities,
            policy,
            endpoints,
            files,
            consumers,
            bystanders,
            bound,
            denied_is_alive,
            recovery,
            aim,
        } = self;
        Ok(own::Plan {
            capabilities: capabilities.own()?,
            policy: policy.own()?,
            endpoints: endpoints.own()?,
            files: files.own()?,
            consumers: consumers.own()?,
            bystanders: bystanders.own()?,
            bound,
            denied_is_alive,
            recovery,
            aim: aim.own()?,
            protocol,
        })
    }
}

fn is_zero(wave: &u8) -> bool {
    *wave == 0
}

fn unbounded() -> u64 {
    u64::MAX
}

fn is_unbounded(ms: &u64) -> bool {
    *ms == unbounded()
}

impl Form<own::Aim> for Option<Aim> {
    fn of(own: &own::Aim) -> Self {
        (*own != own::Aim::Replace).then(|| Aim::of(own))
    }

    fn own(self) -> Result<own::Aim, WireError> {
        self.map_or(Ok(own::Aim::Replace), Aim::own)
    }
}
