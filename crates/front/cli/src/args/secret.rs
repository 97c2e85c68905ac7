use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{LookArgs, SecretArgs};
use crate::examples;

/// `secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Add a secret; its value comes from a hidden prompt or stdin
    ///
    /// The value is validated first: its form, whether the issuer accepts it, and whether the configured copies hold it.
    #[command(after_help = examples::SECRET_ADD)]
    Add(SecretAddArgs),
    /// Add a secret's value from its configured copies or its store
    ///
    /// All copies must hold the same value, or --from names the copy to use. A secret with a store outside of keyroll gets the
    /// value that the store gives out, also if somebody changed it there since.
    #[command(after_help = examples::SECRET_IMPORT)]
    Import(SecretImportArgs),
    /// Show what a store gives out, beside the stored versions and beside what runs
    ///
    /// For secrets whose `store` is not keyroll's own. Asks the store, and searches the processes of this machine; changes
    /// nothing.
    #[command(after_help = examples::SECRET_DRIFT)]
    Drift(SecretDriftArgs),
    /// Test a program of an `exec:` store against every rule of its protocol
    ///
    /// Asks the program alone, not keyroll.toml; changes nothing without --write.
    #[command(after_help = examples::SECRET_CHECK_STORE)]
    CheckStore(SecretCheckStoreArgs),
    /// Leave a key alone that another keyroll made at the same account
    ///
    /// keyroll stops at a key whose label is of no rotation in its journal. This command writes the key's id and label into
    /// other_keys in keyroll.toml, and records in the journal, if there is one, who asked for that.
    #[command(after_help = examples::SECRET_ACCEPT_KEY)]
    AcceptKey(SecretAcceptKeyArgs),
    /// Change the wrapping of the sealing key; the key itself stays the same
    #[command(after_help = examples::SECRET_REWRAP)]
    Rewrap(SecretRewrapArgs),
    /// List the configured secrets and their versions
    #[command(after_help = examples::SECRET_LIST)]
    List,
    /// Show a secret's versions, fields and consumers; never prints a value
    #[command(after_help = examples::SECRET_SHOW)]
    Show(SecretArgs),
}

/// `secret add`.
#[derive(Debug, Args)]
pub(crate) struct SecretAddArgs {
    /// The secret's name
    pub(crate) name: String,
    /// The issuer's id of this credential
    ///
    /// Without the id keyroll cannot revoke the key: an operator must revoke it at the issuer's console.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// A field that is not secret, such as a user or host name
    #[arg(long = "field", value_name = "NAME=TEXT")]
    pub(crate) fields: Vec<String>,
    /// Also write the secret into keyroll.toml, with this issuer
    #[arg(long, value_name = "SPEC")]
    pub(crate) issuer: Option<String>,
    /// The admin credential to write with --issuer, such as file:./admin.key
    #[arg(long, value_name = "REFERENCE", requires = "issuer")]
    pub(crate) admin: Option<String>,
    /// Replace a wrong value; refused after the secret's first rotation
    #[arg(long, conflicts_with = "issuer")]
    pub(crate) replace: bool,
    /// Add the value although validation failed
    ///
    /// Validation fails if the form is wrong, the issuer refuses the value, or a copy holds another value.
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// `secret import`.
#[derive(Debug, Args)]
pub(crate) struct SecretImportArgs {
    /// The secret's name
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Import every configured secret that has no value yet
    #[arg(long, conflicts_with_all = ["id", "fields", "from"])]
    pub(crate) all: bool,
    /// Use this copy if the copies differ, or the secret's store: vault:MOUNT/PATH#KEY
    #[arg(long, value_name = "PATH|STORE")]
    pub(crate) from: Option<PathBuf>,
    /// The issuer's id of this credential [default: as the issuer reports it]
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// A field that is not secret, such as a user or host name
    #[arg(long = "field", value_name = "NAME=TEXT")]
    pub(crate) fields: Vec<String>,
    /// Add the value although validation failed
    ///
    /// Validation fails if the form is wrong, the issuer refuses the value, or a copy holds another value.
    #[arg(long)]
    pub(crate) anyway: bool,
    /// Refuse a key whose id at the issuer is not known
    #[arg(long, hide = true, conflicts_with = "anyway")]
    pub(crate) bound: bool,
}

/// `secret drift`.
#[derive(Debug, Args)]
pub(crate) struct SecretDriftArgs {
    /// The secret's name [default: every secret with a store outside of keyroll]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `secret check-store`.
#[derive(Debug, Args)]
pub(crate) struct SecretCheckStoreArgs {
    /// The program
    pub(crate) program: String,
    /// The item, as behind # in `store`; use one that nothing depends on
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) item: String,
    /// Also write generated values, into an item whose value begins with keyroll-test
    #[arg(long)]
    pub(crate) write: bool,
}

/// `secret accept-key`.
#[derive(Debug, Args)]
pub(crate) struct SecretAcceptKeyArgs {
    /// The secret's name
    pub(crate) name: String,
    /// The issuer's id of the other key
    #[arg(long)]
    pub(crate) id: String,
    /// The whole label of the other key: keyroll/ROTATION/STEP
    #[arg(long)]
    pub(crate) label: String,
    /// Stop at this key again
    #[arg(long)]
    pub(crate) withdraw: bool,
}

/// `secret rewrap`.
#[derive(Debug, Args)]
pub(crate) struct SecretRewrapArgs {
    /// Wrap the key with SOURCE
    ///
    /// SOURCE is file (no wrapping), file:PATH, credential:NAME, fd:NUMBER or passphrase.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) to: String,
    /// With --to fd:NUMBER: a second pipe with the same key
    ///
    /// keyroll reads it to test that the new wrapping can be opened, and only then removes the old wrapping.
    #[arg(long, value_name = "fd:NUMBER")]
    pub(crate) again: Option<String>,
}
