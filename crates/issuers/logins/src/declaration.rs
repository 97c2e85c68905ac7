//! What a server declares about itself: its table in keyroll.toml, and how it becomes an issuer.

use std::fmt;

use keyroll_http::Addresses;
use keyroll_port::{Failure, Issuer};
use keyroll_secret::SecretBytes;
use keyroll_vault::VaultSettings;

use crate::table::Table;

/// Checks a server's table and makes an issuer of it, without connecting to the server.
pub(crate) type Build = fn(&Table, &Admins<'_>) -> Result<Box<dyn Issuer>, Failure>;

/// A kind of server on which two logins take turns.
pub struct LoginServer {
    /// The value of `issuer` in keyroll.toml, and the name of the server's table there.
    pub word: &'static str,
    /// One sentence about its table, for the schema and the reference page.
    pub doc: &'static str,
    /// The keys of its table, in the order of the reference page.
    pub keys: &'static [Key],
    /// The fields of a login's credential, each with whether it is secret.
    pub fields: &'static [(&'static str, bool)],
    /// Who may be its admin, as an end of "the admin is …".
    pub admin: &'static str,
    pub(crate) issuer: Build,
}

/// The contents of the files of admin credentials, `user:password`, how keyroll logs in at Vault, and where the server may be.
pub struct Admins<'a> {
    /// The one that changes logins, or watches them where another party changes them.
    pub server: &'a SecretBytes,
    /// Those of the table's poolers, in their order.
    pub poolers: &'a [SecretBytes],
    /// How Vault or OpenBao is reached, which only a table with static roles needs.
    pub vault: &'a VaultSettings,
    /// Where the server's name may lead.
    pub addresses: Addresses,
}

/// One key of a server's table.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The kind of its value.
    pub form: KeyForm,
    /// Whether the table must have it.
    pub required: bool,
    /// For the schema and the reference page.
    pub doc: &'static str,
}

impl Key {
    pub(crate) const fn required(name: &'static str, form: KeyForm, doc: &'static str) -> Self {
        Self { name, form, required: true, doc }
    }

    pub(crate) const fn optional(name: &'static str, form: KeyForm, doc: &'static str) -> Self {
        Self { name, form, required: false, doc }
    }
}

/// The kind of a key's value.
#[derive(Clone, Copy)]
pub enum KeyForm {
    /// A name, an address, or the folder of a Unix socket.
    Host,
    /// A TCP port of `host`, and its default.
    Port(u16),
    /// A name at the server, and the longest one that it takes, bytes.
    Name(usize),
    /// The names of two logins that differ from each other, and from the login that another key names.
    Slots {
        /// What such a login is called: `login roles`.
        noun: &'static str,
        /// The other key.
        apart_from: Option<&'static str>,
        /// The key with which one of the two may be that login.
        unless: Option<&'static str>,
    },
    /// The static roles of Vault or OpenBao that change the passwords of the two logins, `MOUNT/NAME`, in their order.
    StaticRoles,
    /// An absolute path on the server's machine.
    ServerPath,
    /// A reference to a file of this machine: `file:./name`.
    File,
    /// An array of tables with these keys, each a server of its own.
    Tables(&'static [Key]),
}

impl LoginServer {
    /// Makes an issuer of a server's table, without connecting to the server.
    ///
    /// # Errors
    /// K0140, permanent: the table cannot be used.
    pub fn issuer(&self, table: &Table, admins: &Admins<'_>) -> Result<Box<dyn Issuer>, Failure> {
        (self.issuer)(table, admins)
    }
}

/// Prints the word alone.
impl fmt::Debug for LoginServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginServer({})", self.word)
    }
}

/// Two declarations are equal if they have the same word.
impl PartialEq for LoginServer {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for LoginServer {}

/// The fields of a login's credential, for servers that need no further field.
pub(crate) const LOGIN_FIELDS: &[(&str, bool)] =
    &[("user", false), ("password", true), ("host", false), ("port", false)];

/// The key `host` of servers that are reached by TCP alone.
pub(crate) const HOST: Key = Key::required(
    "host",
    KeyForm::Host,
    "The server's name or address. keyroll encrypts connections to another machine, and the server's certificate must \
     contain this name.",
);

/// The two logins, on a server where no other key names a login that they could clash with.
pub(crate) const TWO_LOGINS: KeyForm = KeyForm::Slots { noun: "logins", apart_from: None, unless: None };
