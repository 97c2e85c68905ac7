//! One schedule: a workload, what goes wrong when, and what the operator does.

use serde::{Deserialize, Serialize};

use crate::faults::Fault;
use crate::policy::{Direction, Policy};
use crate::quirks::Quirk;
use crate::rng::Rng;
use crate::scene::{Scene, Size};

/// A fault and the number of the action that it happens at, or at the next one that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The number of the action.
    pub at: u32,
    /// The fault.
    pub fault: Fault,
}

/// A schedule: a workload, a seed for every delay, and what goes wrong when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// The workload.
    pub scene: Scene,
    /// The seed of delays and of the operator's choices.
    pub seed: u64,
    /// What goes wrong, in the order of the actions.
    pub faults: Vec<Planned>,
    /// An operator who does what the rotation names. `None`: one who draws what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// The most faults of a seeded schedule.
const FAULTS_MAX: u64 = 6;

/// Draws the faults of hosts, those of links, and how many of either there are at most.
const OF_HOSTS: u64 = 0xa3_a4a7;
const OF_LINKS: u64 = 0x11_4c5d;
const OF_HOSTS_MAX: u64 = 3;

impl FaultPlan {
    /// The same schedule with one more fault.
    pub(crate) fn with_fault(&self, at: u32, fault: Fault) -> Self {
        let mut plan = self.clone();
        plan.faults.push(Planned { at, fault });
        plan
    }

    /// The same schedule with an operator who, from this action on, does what the rotation names.
    #[must_use]
    pub fn helped(&self, from_action: u32, way: Direction) -> Self {
        Self { policy: Some(Policy { way, from_action }), ..self.clone() }
    }

    /// Some of these faults of hosts.
    fn of_hosts(seed: u64, actions: u64, of: &[Fault]) -> Vec<Planned> {
        let mut rng = Rng::new(seed);
        let many = 1 + rng.below(OF_HOSTS_MAX);
        let each = |_| {
            let place = usize::try_from(rng.below(of.len() as u64)).ok()?;
            let fault = of.get(place).copied()?;
            Some(Planned { at: u32::try_from(rng.below(actions)).ok()?, fault })
        };
        (0..many).filter_map(each).collect()
    }

    /// The schedule of one seed.
    pub fn of(seed: u64) -> Self {
        let scene = Scene::of(seed);
        let mut rng = Rng::new(seed ^ 0xfa_0175);
        let actions = if scene.size == Size::Full { 320 } else { 160 };
        let many = rng.below(FAULTS_MAX + 1);
        let mut faults: Vec<Planned> = (0..many)
            .filter_map(|_| {
                let place = usize::try_from(rng.below(Fault::DRAWN)).ok()?;
                let fault = Fault::ALL.get(place).copied()?;
                Some(Planned { at: u32::try_from(rng.below(actions)).ok()?, fault })
            })
            .collect();
        if scene.quirks.has(Quirk::Away) {
            faults.extend(Self::of_hosts(seed ^ OF_HOSTS, actions, &Fault::OF_HOSTS));
        }
        if scene.quirks.has(Quirk::Links) {
            faults.extend(Self::of_hosts(seed ^ OF_LINKS, actions, &Fault::OF_LINKS));
        }
        faults.sort_by_key(|planned| planned.at);
        Self { scene, seed, faults, policy: None }
    }
}
