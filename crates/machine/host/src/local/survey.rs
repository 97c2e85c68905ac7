//! The questions about this machine before a rotation is open: the reading part of Preflight, and the content of every
//! copy.

use std::path::PathBuf;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_observe::process;
use keyroll_port::{
    Class, CopySeen, Failure, Holder, Looked, PendingChanges, Survey, Surveying, Surveyor, Values,
};
use keyroll_rotation::{ConsumerId, Holds, ObservedInstance, Which};
use tokio::task::block_in_place;

use super::deliver::unclear;
use super::enumerate::listing;
use super::running::Running;
use super::{FileSetup, Local};
use crate::read;

#[async_trait]
impl Surveyor for Local {
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        block_in_place(|| {
            let linked = self.refuse_unfit(&of)?;
            let looked = self.enumerate_all(of.values, of.sessions, Which::New)?;
            // After the search, which compares the sessions with the connections of now: a check may take long.
            let checks = if of.rehearses { self.rehearse_checks(of.values) } else { Vec::new() };
            let holders = self.undeclared(&looked);
            let live = if of.restarts { self.live_now() } else { PendingChanges::default() };
            let running = self.running(&listing()?)?;
            let other_networks = self.in_other_networks(&running);
            let programs = running.iter().map(program).collect();
            Ok(Survey { looked, holders, live, other_networks, linked, checks, programs })
        })
    }

    async fn copies(&self, values: Values<'_>) -> Vec<CopySeen> {
        let seen = |file: &FileSetup| {
            let holds = self.holds(file, values, Which::New);
            let unclear = if holds == Holds::Other { self.unclear_in(file) } else { None };
            CopySeen { path: file.path.clone(), holds, unclear }
        };
        block_in_place(|| self.setup.files.iter().map(seen).collect())
    }

    async fn live(&self) -> PendingChanges {
        block_in_place(|| self.live_now())
    }
}

impl Local {
    /// Refuses what can be refused without a search; returns the messages about files.
    fn refuse_unfit(&self, of: &Surveying<'_>) -> Result<Vec<String>, Failure> {
        self.refuse_unseen_mounts()?;
        self.refuse_wrong_copies(of)?;
        of.next.map_or(Ok(()), |next| self.refuse_taken(next))?;
        self.linked_files()
    }

    pub(super) fn undeclared(&self, looked: &Looked) -> Vec<Holder> {
        let seen = &looked.enumeration;
        let undeclared = |it: &&ObservedInstance| it.consumer.is_none() && seen.bystander(it.who).is_none();
        let all = seen.instances.iter().filter(undeclared);
        all.filter_map(|instance| self.describe_holder(instance.who)).collect()
    }

    /// Refuses a copy that does not hold what the rotation begins with.
    fn refuse_wrong_copies(&self, of: &Surveying<'_>) -> Result<(), Failure> {
        for file in &self.setup.files {
            let why = match self.holds(file, of.values, Which::New) {
                holds if holds == of.begins_on => continue,
                Holds::Unreadable => "it cannot be read".to_owned(),
                Holds::Old if of.begins_on == Holds::New => "it holds the shared key again".to_owned(),
                // Most likely a mistyped slot, or one about which readers disagree.
                Holds::Old | Holds::New | Holds::Other => {
                    self.unclear_in(file).unwrap_or_else(|| "it holds something else".to_owned())
                }
            };
            let attempted = format!("find the current value in {}", file.path.display());
            return Err(Failure::new(Class::Permanent, Code::CopyDiffers, attempted)
                .because(why)
                .help("correct `reads` in the configuration, or write the current value there"));
        }
        Ok(())
    }

    /// Why a value cannot be read from its slot in a file, if it cannot.
    fn unclear_in(&self, file: &FileSetup) -> Option<String> {
        let content = self.resolved(file).and_then(|resolved| read(&resolved)).ok()?;
        unclear(file, content.bytes.expose()).map(|error| error.to_string())
    }
}

fn program(one: &Running) -> (ConsumerId, PathBuf) {
    let exe = process(one.process.pid).ok().and_then(|process| process.exe);
    (one.consumer, exe.unwrap_or_default())
}
