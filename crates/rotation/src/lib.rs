//! The protocol: phases, events, effects, evidence, gates. No IO, clock, randomness or serde.

mod capabilities;

pub use capabilities::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
