//! AWS: the access keys of an IAM user as an issuer, and the connection, the settings and the errors of every room that
//! speaks to AWS.
//!
//! Invariants, by what is absent: no attempt is repeated; no key is disabled or deleted but the one whose id the caller
//! names, of the configured user in the configured account, and never with a login that is this user; no refusal but that of
//! an unknown or inactive key counts as a dead key; no error holds a byte of a secret access key. What this room cannot
//! overwrite are the copies that the SDK of AWS makes of a new key while it reads an answer.

mod connector;
mod keys;
mod sdk_error;
mod settings;

pub use aws_config::SdkConfig;
pub use keys::{ACCESS_KEY_ID, AwsKeys, IamUser, REQUEST_MS_MAX_DEFAULT, SECRET_ACCESS_KEY};
pub use sdk_error::{AwsError, CREDENTIALS, Meaning, meaning, shown};
pub use settings::AwsSettings;
