//! The simulation: world, faults, workloads, invariants, mutants.
//!
//! [`run()`] drives the real `keyroll_engine::Driver` through one [`FaultPlan`] in simulated time. Everything is drawn
//! from the plan, so that the same plan is the same run on every machine.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutant or an invariant is about few variants of many")]

mod book;
mod carry;
mod coverage;
mod deeds;
mod explore;
mod faults;
mod hunt;
mod invariants;
mod issuer;
mod looks;
mod mutant;
mod mutants;
mod neighbour;
mod operator;
mod outside;
mod rng;
mod run;
mod scene;
mod seat;
mod sequence;
mod shrink;
mod world;

pub use coverage::Coverage;
pub use explore::{Tally, pairs, seeds, singles, triples};
pub use faults::{Class, Fault, FaultPlan, Planned};
pub use hunt::{Found, hunt, table};
pub use keyroll_rotation::Phase;
pub use mutant::{Lapse, Mutant};
pub use mutants::ALL as MUTANTS;
pub use run::{Keep, Report, Violation, run};
pub use scene::{Family, Kind, Scene, Size};
pub use shrink::shrink;
