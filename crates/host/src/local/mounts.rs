//! Files that a container would never see change.

use keyroll_manager::{Container, ContainerVerb, Run};
use keyroll_port::{Class, Failure};

use super::Local;
use crate::Write;

impl Local {
    /// Refuses a container that reads its file again and has this very file mounted, where the file is replaced by
    /// rename: the mount goes on showing the file of before. One that is restarted gets its mounts anew.
    ///
    /// # Errors
    /// `K0427`; or the engine does not tell.
    pub fn refuse_unseen_mounts(&self) -> Result<(), Failure> {
        for consumer in &self.setup.consumers {
            let replaced = || {
                let files = consumer.files.iter().filter_map(|id| self.setup.file(*id));
                files.filter(|file| file.write == Write::Rename)
            };
            for container in consumer.slots.iter().filter_map(|slot| rereads(&slot.run)) {
                for file in replaced() {
                    if container.mounts_alone(&file.path)? {
                        let what =
                            format!("show the container {} another {}", container.name, file.path.display());
                        return Err(Failure::new(Class::Permanent, "K0427", what)
                            .because("the file itself is mounted, and the mount goes on showing the one of before")
                            .help("write = \"in_place\" beside `file` under `reads`; or mount the folder above it"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn rereads(run: &Run) -> Option<&Container> {
    match run {
        Run::Container(container) if container.verb == ContainerVerb::Rereads => Some(container),
        Run::Container(_)
        | Run::Compose(_)
        | Run::Process(_)
        | Run::Reread(_)
        | Run::Unit(_)
        | Run::AtRest(_)
        | Run::Supervisor(_)
        | Run::Pm2(_)
        | Run::Adapter(_)
        | Run::Master(_)
        | Run::Cron(_)
        | Run::Agent(_) => None,
    }
}
