use std::path::PathBuf;

use crate::declaration::Admins;
use crate::endpoint;
use crate::id::is_ambiguous;
use crate::table::Table;
use crate::turn;
use keyroll_codes::Code;
use keyroll_http::is_loopback;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

/// The longest that one call may take by default, milliseconds.
pub const REQUEST_MS_MAX_DEFAULT: u64 = 15_000;
/// The longest name of a login, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Which server, which logins, and who administers them.
pub struct Options {
    /// The host that consumers connect to, a name or an address. To any but this machine connections are encrypted,
    /// and the server's certificate must bear this name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The two logins that take turns; they are made when first needed and never removed.
    pub slots: [String; 2],
    /// A PEM file of the root certificates to trust in place of the system's; with it, connections to this machine
    /// are encrypted too.
    pub root_certificates: Option<PathBuf>,
    /// The admin's login.
    pub admin: Admin,
    /// The longest that one call may take, milliseconds.
    pub request_ms_max: u64,
}

/// The login that changes others.
pub struct Admin {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: SecretBytes,
}

impl Admin {
    /// Reads the admin's file: `user:password` on one line; the password is all after the first colon, without the
    /// line's end.
    ///
    /// # Errors
    /// K0140 where there is no colon or no user. The message never shows what was read.
    pub fn from_file(content: &SecretBytes) -> Result<Self, Failure> {
        let (user, password) = turn::read_admin(content, is_name, "read the server's admin credential")?;
        Ok(Self { user, password })
    }
}

impl Options {
    /// The options of a server's table. [`Self::check`] refuses a missing one.
    pub(crate) fn read(table: &Table, admins: &Admins<'_>) -> Result<Self, Failure> {
        Ok(Self {
            host: table.text("host").unwrap_or_default().to_owned(),
            port: table.port("port").unwrap_or_default(),
            slots: table.slots().cloned().unwrap_or_default(),
            root_certificates: None,
            admin: Admin::from_file(admins.server)?,
            request_ms_max: REQUEST_MS_MAX_DEFAULT,
        })
    }

    /// Refuses options that cannot work, without connecting to the server.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let refuse = |why: String| {
            let attempted = format!("use the options of the server {}", self.endpoint());
            Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted).because(why))
        };
        let [one, two] = &self.slots;
        for login in [one, two, &self.admin.user] {
            if !is_name(login) || is_ambiguous(login) {
                return refuse(format!("{login:?} cannot be a login's name here (1 to 64 bytes, no space)"));
            }
        }
        if one == two {
            return refuse("the two slots must be different logins".to_owned());
        }
        if [one, two].contains(&&self.admin.user) {
            return refuse(format!("the admin {:?} cannot be a login that is rotated", self.admin.user));
        }
        if self.host.is_empty() || self.host.contains(char::is_whitespace) || self.host.contains('\0') {
            return refuse("host must be a name or an address".to_owned());
        }
        if self.request_ms_max == 0 {
            return refuse("request_ms_max must be positive".to_owned());
        }
        Ok(())
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.root_certificates.is_some() || !is_loopback(&self.host)
    }

    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn endpoint(&self) -> String {
        endpoint::host_port(&self.host, self.port)
    }

    /// The slot for the next credential: the other one. The first if the current login is no slot.
    pub(crate) fn next_slot(&self, current: &str) -> &str {
        turn::next_slot(&self.slots, current)
    }

    /// Whether a login is one of the two slots.
    pub(crate) fn is_slot(&self, login: &str) -> bool {
        self.slots.iter().any(|slot| slot == login)
    }
}

/// Whether every kind of server here stores a login of this name without cutting it.
fn is_name(name: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            slots: ["app_a".to_owned(), "app_b".to_owned()],
            root_certificates: None,
            admin: Admin { user: "keyroll".to_owned(), password: SecretBytes::from("x".to_owned()) },
            request_ms_max: REQUEST_MS_MAX_DEFAULT,
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        options().check().unwrap();
        let spoil: [fn(&mut Options); 6] = [
            |o| o.host.clear(),
            |o| o.slots = ["app_a".to_owned(), "app_a".to_owned()],
            |o| o.slots = ["app a".to_owned(), "app_b".to_owned()],
            |o| o.slots = ["a#keyroll/x".to_owned(), "app_b".to_owned()],
            |o| o.admin.user = "app_b".to_owned(),
            |o| o.request_ms_max = 0,
        ];
        for (at, spoil) in spoil.iter().enumerate() {
            let mut options = options();
            spoil(&mut options);
            assert_eq!(options.check().unwrap_err().code, Code::IssuerSettingsInvalid, "case {at}");
        }
    }

    #[test]
    fn nothing_leaves_this_machine_unencrypted() {
        let mut options = options();
        for local in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] {
            options.host = local.to_owned();
            assert!(!options.is_encrypted(), "{local}");
            assert_eq!(endpoint::parse_endpoint(&options.endpoint()), Some((local, 6379)));
        }
        for other in ["cache.example.org", "192.0.2.1", "localhost.example.org", "0.0.0.0", "/run/redis"] {
            options.host = other.to_owned();
            assert!(options.is_encrypted(), "{other}");
        }
    }
}
