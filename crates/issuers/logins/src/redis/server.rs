use keyroll_http::Addresses;
use keyroll_port::Failure;

use super::link::{Link, RedisError};
use crate::options::Options;
use crate::own_sessions::Own;
use crate::stream::Tls;
use crate::two_logins::TwoLogins;

/// One request of the port makes at most three connections, one after another.
const CONNECTIONS_MAX: u64 = 3;

/// Redis as an issuer.
pub struct Redis {
    pub(super) options: Options,
    pub(super) tls: Tls,
    /// The client id and the address of our own probes' connections. A restarted server reuses ids, so an id alone is
    /// not enough.
    pub(super) own: Own<(i64, String)>,
}

impl Redis {
    /// Checks the options, without connecting to the server.
    ///
    /// # Errors
    /// K0140, permanent.
    pub fn issuer(options: Options) -> Result<TwoLogins, Failure> {
        Self::within(options, Addresses::Any)
    }

    /// As [`Self::issuer`], for a host that may lead to these addresses alone.
    pub(super) fn within(options: Options, addresses: Addresses) -> Result<TwoLogins, Failure> {
        options.check()?;
        let tls = Tls::new(&options, addresses)?;
        Ok(TwoLogins::new(Self { options, tls, own: Own::for_ms(u64::MAX) }))
    }

    pub(super) fn limit_ms(&self) -> u64 {
        self.options.request_ms_max / CONNECTIONS_MAX
    }

    /// A connection of the admin's.
    pub(super) async fn admin(&self) -> Result<Link, Failure> {
        let (options, admin) = (&self.options, &self.options.admin);
        let place = (options.host.as_str(), options.port);
        let link = Link::open(&self.tls, place, &admin.user, &admin.password, self.limit_ms()).await;
        link.map_err(|fault| {
            fault.of_connecting(format!("log in as {:?} at Redis {}", admin.user, options.endpoint()))
        })
    }

    pub(super) fn attempted(&self, what: &str) -> String {
        format!("{what} at Redis {}", self.options.endpoint())
    }

    /// The failure of a command that changes nothing.
    pub(super) fn failed(&self, fault: &RedisError, what: &str) -> Failure {
        fault.without_effect(self.attempted(what))
    }
}
