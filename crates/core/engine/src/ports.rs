use std::sync::Arc;

use keyroll_port::{Clock, Host, Issuer, Journal, Staging, Store};

use crate::Spawner;

/// What a rotation is driven with.
#[derive(Clone)]
pub struct Ports {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The source of truth for values.
    pub store: Arc<dyn Store>,
    /// What the rotation received or chose, sealed before anybody else learns of it.
    pub staging: Arc<dyn Staging>,
    /// Who accepts the credential.
    pub issuer: Arc<dyn Issuer>,
    /// The machine that its consumers run on.
    pub host: Arc<dyn Host>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the calls to the other ports run.
    pub spawner: Arc<dyn Spawner>,
}
