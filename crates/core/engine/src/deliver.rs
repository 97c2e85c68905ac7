//! Writes a version into a file.

use keyroll_codes::Code;
use keyroll_port::{Asked, Failure, Label, Values};
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
            Err(failure) if failure.code == Code::CopyDiffers && state.has_abandoned() => failure,
            done => return done,
        };
        let stays = state.new_version().map(|new| new.mint);
        for version in self.ports.store.versions(self.secret()).await? {
            let given_up = self.made_here(&version).is_some_and(|intent| Some(intent) != stays);
            if !given_up || version.label == Label::Retired || which == Which::Old {
                continue;
            }
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
