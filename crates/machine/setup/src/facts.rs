//! What a setup needs to know of the issuer.

use keyroll_port::Issuer;
use serde::{Deserialize, Serialize};

/// What an issuer says of itself, as far as the setup of a host depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerFacts {
    /// It shows which process made a call.
    pub attributes: bool,
    /// Every byte that a value may contain.
    pub alphabet: Vec<u8>,
    /// The longest value, in bytes.
    pub length_max: usize,
    /// The endpoints (host:port) that consumers talk to.
    pub endpoints: Vec<String>,
}

impl IssuerFacts {
    /// Those of one issuer. No request is sent.
    pub fn of(issuer: &dyn Issuer) -> Self {
        let format = issuer.value_format();
        Self {
            attributes: issuer.capabilities().attributes,
            alphabet: format.alphabet,
            length_max: format.length_max,
            endpoints: issuer.endpoints(),
        }
    }
}
