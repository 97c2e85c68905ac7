use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::link::{Link, MariaDbError};
use crate::options::Options;
use crate::own_sessions::Own;
use crate::two_logins::TwoLogins;

/// One request of the port makes at most three connections, one after another.
const CONNECTIONS_MAX: u64 = 3;
/// How long a session of our own may take to end, milliseconds. The limit is short because a restarted server counts
/// its session numbers from the start again.
const OWN_MS_MAX: u64 = 5_000;

/// MariaDB as an issuer.
pub struct MariaDb {
    pub(super) options: Options,
    pub(super) own: Own<u32>,
}

impl MariaDb {
    /// Checks the options; asks nothing of the server.
    ///
    /// # Errors
    /// K0140, permanent.
    pub fn issuer(options: Options) -> Result<TwoLogins, Failure> {
        options.check()?;
        if options.is_encrypted() {
            let attempted = format!("use the options of the server {}", options.endpoint());
            return Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
                .because("connections to MariaDB are not encrypted yet, so it must be on this machine")
                .help("run keyroll on the server's machine, with `host = \"127.0.0.1\"`"));
        }
        Ok(TwoLogins::new(Self { options, own: Own::for_ms(OWN_MS_MAX) }))
    }

    pub(super) fn limit_ms(&self) -> u64 {
        self.options.request_ms_max / CONNECTIONS_MAX
    }

    /// A connection of the admin's.
    pub(super) async fn admin(&self) -> Result<Link, Failure> {
        let (options, admin) = (&self.options, &self.options.admin);
        let place = (options.host.as_str(), options.port);
        let link = async {
            let mut link = Link::open(place, &admin.user, &admin.password, self.limit_ms()).await?;
            // Override the settings of the admin's account: they must not change what a statement means or how long it
            // waits.
            link.run("SET SESSION sql_mode = '', lock_wait_timeout = 3, autocommit = 1").await?;
            Ok(link)
        };
        link.await.map_err(|fault: MariaDbError| {
            fault.of_connecting(format!("log in as {:?} at MariaDB {}", admin.user, options.endpoint()))
        })
    }

    pub(super) fn attempted(&self, what: &str) -> String {
        format!("{what} at MariaDB {}", self.options.endpoint())
    }

    /// A failure of a statement that changes nothing.
    pub(super) fn failed(&self, fault: &MariaDbError, what: &str) -> Failure {
        fault.without_effect(self.attempted(what))
    }
}
