use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_config::{Config, Secret};
use keyroll_port::PendingChange;
use keyroll_rotation::Adoptee;

use super::executable::adopting;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::Opened;
use crate::records::saved_plan::{SeenFile, on_host};
use crate::session::holder_on_host::HolderOnHost;
use crate::session::look_again::look_again_in;
use crate::wiring::hosts::hosts;
use crate::wiring::issuer::issuer;
use crate::wiring::open::{folder_of, runtime};
use crate::wiring::wanted::{Planned, Wanted};

/// A configuration with the consumer.
#[derive(Clone, Copy)]
pub(in crate::session) struct Edited<'a> {
    /// What it says.
    pub(in crate::session) config: &'a Config,
    /// Its file, absolute.
    pub(in crate::session) file: &'a Path,
    /// Its text.
    pub(in crate::session) text: &'a str,
}

/// Gives a host its part of the configuration, as for a plan: it reads the files of its consumers, and refuses commands that
/// are missing there or that another user can change. Nothing is recorded or written here, and nothing is changed there.
/// Returns its files as they are now, as a plan names them, and what restarts there would make live.
///
/// # Errors
/// The host cannot be reached, or refuses its part.
pub(in crate::session) fn given_part(
    host: &str,
    secret: &Secret,
    edited: Edited<'_>,
    places: &Places,
) -> Result<(BTreeMap<PathBuf, SeenFile>, Vec<PendingChange>), Problem> {
    // The other hosts are not asked: they may be away.
    let secret = secret.on(host);
    let issuer = issuer(&secret)?;
    places.ensure()?;
    let mut hosts = hosts(&Wanted {
        search: Some(&edited.config.search),
        config: Some((edited.config, edited.text)),
        planned: Planned::Now,
        ..Wanted::of(&secret, issuer.as_ref(), places, folder_of(edited.file))
    })?;
    let runtime = runtime(places)?;
    runtime.block_on(hosts.see_elsewhere())?;
    let live = runtime.block_on(hosts.machine.live()).live;
    Ok((hosts.seen, live))
}

/// What is adopted on another host, and what that host says of the consumers that it then has.
pub(super) struct OnHost {
    there: HolderOnHost,
    /// Its files as they are now, as a plan names them.
    seen: BTreeMap<PathBuf, SeenFile>,
    /// What restarts there would make live.
    pub(super) live: Vec<PendingChange>,
}

impl OnHost {
    /// Asks the host about its part of the configuration.
    ///
    /// # Errors
    /// The host cannot be reached, or refuses its part.
    pub(super) fn look(
        there: HolderOnHost,
        secret: &Secret,
        edited: Edited<'_>,
        places: &Places,
    ) -> Result<Self, Problem> {
        let (seen, live) = given_part(&there.host, secret, edited, places)?;
        Ok(Self { there, seen, live })
    }

    /// The files of these paths on the host, as a plan remembers them.
    pub(super) fn files(&self, paths: &[PathBuf]) -> Result<BTreeMap<PathBuf, SeenFile>, Problem> {
        let mut files = BTreeMap::new();
        for path in paths {
            let path = on_host(Some(&self.there.host), path);
            let seen = self.seen.get(&path).cloned().ok_or_else(|| {
                adopting().because(format!("the host did not say where {} leads", path.display()))
            })?;
            files.insert(path, seen);
        }
        Ok(files)
    }

    /// What the adoption explains in the open rotation.
    ///
    /// # Errors
    /// The rotation does not have this host, or did not see this process at its last inspection.
    pub(super) fn explains(&self, opened: &Opened) -> Result<Adoptee, Problem> {
        let (host, id) = (&self.there.host, &opened.id);
        if opened.saved.host_id(host).is_none() {
            return Err(adopting()
                .because(format!("the open rotation {id} has no consumer on {host}, and takes no other host"))
                .help(format!("keyroll abort {id}, or adopt it when the rotation has ended")));
        }
        match &self.there.what {
            Err(path) => Ok(Adoptee::Copy(self.there.digest_of(path))),
            Ok(pid) => self.there.seen_by(opened, *pid).map(Adoptee::Holder).ok_or_else(|| {
                adopting()
                    .because(format!("rotation {id} saw no process {pid} of {host} that holds the value"))
                    .help(look_again_in(opened))
            }),
        }
    }
}
