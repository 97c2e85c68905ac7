//! Where the rooms meet: what a configuration names becomes an issuer, a setup of this machine, and ports.

pub(crate) mod agents;
pub(crate) mod compose;
pub(crate) mod family;
pub(crate) mod fields;
pub(crate) mod gathered;
mod here;
pub(crate) mod issuer;
mod litellm;
mod logins;
pub(crate) mod open;
pub(crate) mod programs;
mod project;
pub(crate) mod provable;
pub(crate) mod sealing;
pub(crate) mod taken;
pub(crate) mod trusted;

pub(crate) use issuer::issuer;
