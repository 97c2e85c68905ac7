//! The simulation: world, faults, workloads, invariants, mutants.
//!
//! [`run()`] drives the real shell of `keyroll_engine`, over ports in memory, through one [`FaultPlan`] in simulated
//! time. Every choice is drawn from the plan: the same plan gives the same run on every machine.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutant or an invariant is about few variants of many")]

mod absence;
mod answers;
mod audit;
mod audit_invariants;
mod away;
mod away_checks;
mod calling;
mod calls;
mod connections;
mod coverage;
mod driver_slot;
mod end_invariants;
mod exec;
mod explore;
mod fault_effects;
mod fault_plan;
mod faults;
mod followers;
mod generated;
mod hands;
mod heard;
mod helpful;
mod hunt;
mod idle_checks;
mod invariants;
mod issuer;
mod issuer_faults;
mod lasting;
mod lasting_faults;
mod ledger;
mod let_go;
mod link_record;
mod links;
mod look;
mod mutant;
mod mutants;
mod mutated;
mod neighbour;
mod older_store;
mod operator;
mod pace;
mod policy;
mod ports;
mod process;
mod proving;
mod quirks;
mod rng;
mod scene;
mod schedule;
mod sequence;
mod served;
mod shared;
mod shell;
mod shrink;
mod simulate;
mod steps;
mod store;
mod truth;
mod truth_checks;
mod unsearched;
mod waits;
mod way_checks;
mod world;

pub use coverage::{Coverage, SEEDS_OF_WAITS};
pub use explore::{Tally, helped, pairs, seeds, singles, triples};
pub use fault_plan::{FaultPlan, Planned};
pub use faults::{Class, Fault};
pub use generated::{Fate, Reached, Schedule, reached, schedules, try_mutant};
pub use hunt::{Detection, find, hunt, table};
pub use keyroll_rotation::Phase;
pub use mutant::{Mutant, Mutation};
pub use mutants::ALL as MUTANTS;
pub use policy::{Direction, Policy};
pub use quirks::Quirks;
pub use scene::{Family, Kind, Scene, Size};
pub use schedule::{Keep, Violation};
pub use shrink::shrink;
pub use simulate::{Report, run};
