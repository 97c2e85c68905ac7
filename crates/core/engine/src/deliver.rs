//! Writes a version into a file.

use keyroll_codes::Code;
use keyroll_port::{Asked, Failure, Label, Values, VersionInfo};
use keyroll_rotation::{FileId, State, Which};

use crate::executor::Executor;

impl Executor {
    /// Delivers a version. Where another one was given up after it was delivered, a file may hold that one: it is
    /// keyroll's own, and is replaced as the old one is.
    pub(crate) async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
        state: &State,
    ) -> Result<(), Failure> {
        let host = &self.ports.host;
        let refused = match host.deliver(file, which, values, asked).await {
            Err(failure)
                if failure.code == Code::CopyDiffers && which == Which::New && state.has_abandoned() =>
            {
                failure
            }
            done => return done,
        };
        let versions = self.ports.store.versions(self.secret()).await?;
        let held = |it: &&VersionInfo| it.label != Label::Retired && self.is_given_up(it, state);
        for version in versions.iter().filter(held) {
            let Some(there) = self.ports.store.read(self.secret(), version.number).await? else { continue };
            let values = Values { old: &there.fields, ..values };
            match host.deliver(file, which, values, asked).await {
                Err(failure) if failure.code == Code::CopyDiffers => {}
                done => return done,
            }
        }
        Err(refused)
    }
}
