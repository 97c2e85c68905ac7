//! Gets a version into files: keyroll writes them, or a command of the consumer does.

use keyroll_codes::Code;
use keyroll_port::{Asked, Failure, Label, Values, VersionInfo};
use keyroll_rotation::{ConsumerId, FileId, State, Which};

use crate::executor::{Executor, Old, values};

impl Executor {
    /// Lets a consumer fetch the version that it is moved to.
    pub(crate) async fn fetch(
        &self,
        consumer: ConsumerId,
        old: &Old,
        asked: Asked,
        state: &State,
    ) -> Result<(), Failure> {
        self.gives_out_next(consumer, old, asked, state).await?;
        let which = state.units().get(consumer.index()).map_or(Which::New, |unit| unit.toward);
        let new = self.new_credential(state).await?;
        self.ports.host.fetch(consumer, which, values(old, new.as_ref(), state), asked).await
    }

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
