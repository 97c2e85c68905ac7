//! The check of the job at rest: one real call with the key that the job's env file holds.

use std::os::unix::ffi::OsStringExt;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::folder::Folder;
use crate::worker::Acme;

/// Makes one model call with `ACME_KEY` of the environment; fails if the issuer does not accept it.
pub(crate) async fn run(folder: &Folder) -> Result<(), Failure> {
    let failed = || {
        Failure::new(Class::Permanent, Code::DemoFailed, "make the nightly job's call to the demo's issuer")
    };
    let key =
        std::env::var_os("ACME_KEY").ok_or_else(|| failed().because("no ACME_KEY in the environment"))?;
    let acme = Acme::new(folder.ports()?.issuer(), format!("nightly.{}", std::process::id()));
    let answer = acme.ask("/v1/infer", &SecretBytes::new(key.into_vec()), 7).await;
    answer.filter(|square| *square == 49).map(|_| ()).ok_or_else(|| failed().because("it was not accepted"))
}
