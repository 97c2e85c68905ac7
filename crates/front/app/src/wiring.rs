//! Composes the rooms: a configured secret becomes an issuer, a setup of this machine, and ports.

mod each_host;
pub mod family;
pub mod fields;
pub mod gather_values;
pub(crate) mod hosts;
pub mod issuer;
pub mod kubernetes;
pub mod open;
pub mod policy;
pub mod provable;
pub mod sealing;
pub mod sealing_source;
pub mod served;
pub mod trusted;
pub(crate) mod truth;
pub mod validate_value;
pub(crate) mod vault;
pub(crate) mod wanted;

pub use issuer::issuer;
