//! Which release is packed, and the one time that its files have.

use std::path::Path;

use crate::run::output;

/// A release.
pub(super) struct Release {
    pub(super) version: &'static str,
    /// The time of every packed file, seconds since 1970.
    pub(super) epoch: String,
}

impl Release {
    /// The release of this checkout, with the time of `SOURCE_DATE_EPOCH`, or else of the commit.
    pub(super) fn read() -> Result<Self, String> {
        if std::env::consts::ARCH != "x86_64" {
            return Err("packages are made on x86_64 only".to_owned());
        }
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => output("git", &["log", "-1", "--format=%ct"])?.trim().to_owned(),
        };
        if epoch.parse::<u64>().is_err() {
            return Err(format!("SOURCE_DATE_EPOCH is no number of seconds: {epoch}"));
        }
        Ok(Self { version: env!("CARGO_PKG_VERSION"), epoch })
    }

    /// Refuses a program of another release.
    pub(super) fn is_of(&self, program: &Path) -> Result<(), String> {
        let says = output(&program.display().to_string(), &["--version"])?;
        let wanted = format!("keyroll {}", self.version);
        if says.trim() == wanted {
            return Ok(());
        }
        Err(format!("{} is {}, and this is the source of {wanted}", program.display(), says.trim()))
    }

    /// The time, as RFC 3339 has it.
    pub(super) fn stamp(&self) -> Result<String, String> {
        let stamp = output("date", &["-u", "-d", &format!("@{}", self.epoch), "+%Y-%m-%dT%H:%M:%SZ"])?;
        Ok(stamp.trim().to_owned())
    }

    /// The name of the archive without its ending: also the folder in it.
    pub(super) fn name(&self) -> String {
        format!("keyroll-{}-x86_64-linux-gnu", self.version)
    }
}
