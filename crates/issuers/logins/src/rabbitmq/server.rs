use std::net::SocketAddr;

use keyroll_http::Addresses;
use keyroll_port::Failure;

use super::link::{Link, ManagementApiError};
use super::silence::Silence;
use crate::options::Options;
use crate::own_sessions::Own;
use crate::stream::Tls;
use crate::two_logins::TwoLogins;

/// One request of the port makes at most three requests to the server, one after another.
const CALLS_MAX: u64 = 3;
/// How long a connection of our own may take to be gone from the server's list, milliseconds. A client's port is reused
/// only after a much longer time.
const OWN_MS_MAX: u64 = 5_000;

/// Options that only RabbitMQ has.
pub struct Broker {
    /// The port of the management API, on the same host.
    pub management_port: u16,
    /// The virtual host that consumers open. A probe logs in and opens it.
    pub vhost: String,
}

/// RabbitMQ as an issuer.
pub struct RabbitMq {
    pub(super) options: Options,
    pub(super) broker: Broker,
    pub(super) tls: Tls,
    /// The local addresses of our own probes' connections.
    pub(super) own: Own<SocketAddr>,
    pub(super) silence: Silence,
}

impl RabbitMq {
    /// Checks the options; asks nothing of the server.
    ///
    /// # Errors
    /// K0140, permanent.
    pub fn issuer(options: Options, broker: Broker) -> Result<TwoLogins, Failure> {
        Self::within(options, broker, Addresses::Any)
    }

    /// As [`Self::issuer`], for a host that may lead to these addresses alone.
    pub(super) fn within(
        options: Options,
        broker: Broker,
        addresses: Addresses,
    ) -> Result<TwoLogins, Failure> {
        options.check()?;
        let tls = Tls::new(&options, addresses)?;
        Ok(TwoLogins::new(Self {
            options,
            broker,
            tls,
            own: Own::for_ms(OWN_MS_MAX),
            silence: Silence::default(),
        }))
    }

    pub(super) fn limit_ms(&self) -> u64 {
        self.options.request_ms_max / CALLS_MAX
    }

    /// The management API, as the admin.
    pub(super) fn admin(&self) -> Link<'_> {
        Link::new(&self.tls, &self.options, self.broker.management_port, self.limit_ms())
    }

    pub(super) fn attempted(&self, what: &str) -> String {
        format!(
            "{what} at RabbitMQ {} (management API on port {})",
            self.options.endpoint(),
            self.broker.management_port
        )
    }

    /// The failure of a request that changes nothing.
    pub(super) fn failed(&self, fault: &ManagementApiError, what: &str) -> Failure {
        fault.without_effect(self.attempted(what))
    }
}
