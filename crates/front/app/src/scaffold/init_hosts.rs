use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::LOCAL;

use super::init::{HEAD, InitRequest, Scaffold, before};
use super::machines::Machine;
use super::merge_hosts::join_machines;
use crate::hosts::{Chosen, HostCall, HostReport, HostSeen, look_at};
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;

/// A configuration file that is about to be written with what several machines have.
pub struct ScaffoldOfHosts {
    /// The file.
    pub scaffold: Scaffold,
    /// The machines that were searched.
    pub seen: Vec<HostSeen>,
    /// Those that were not, each with its problem.
    pub failed: Vec<(String, Problem)>,
}

/// Adds what is found on the chosen machines to the text of the configuration. A machine that cannot be searched does not keep
/// the others from it.
///
/// # Errors
/// Nothing can be added to the existing file, nothing can be looked at from here, or no machine has a named secret.
pub fn of_hosts(
    request: &InitRequest<'_>,
    chosen: Chosen,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<ScaffoldOfHosts, Problem> {
    let path = installation.config_path();
    let before = before(&path)?;
    let file = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let (chosen, mut failed) = with_folder(chosen);
    let folders = folders(&chosen, file.parent().unwrap_or(Path::new("/")));
    let sent = folders.iter().map(|(name, folder)| (name.clone(), folder.display().to_string()));
    let call = HostCall::Draft { secrets: request.secrets.to_vec(), folders: sent.collect() };
    let (mut seen, mut machines, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    // Nothing is asked of nobody: that no machine has a secret would be no answer.
    if chosen.here || !chosen.hosts.is_empty() {
        for (host, result) in look_at(&chosen, &call, request.roots, &request.limits, installation, operator)?
        {
            match result {
                Ok(one) => seen.push(one),
                Err(problem) => failed.push((host, problem)),
            }
        }
    }
    for one in &seen {
        let HostReport::Draft(report) = &one.report else { continue };
        left_out.extend(report.left_out.iter().map(|line| format!("{}: {line}", one.host)));
        machines.extend(Machine::of(one, report, folders.get(&one.host).cloned()));
    }
    let text = before.as_deref().unwrap_or(HEAD);
    let joined = join_machines(text, &file.display().to_string(), machines)?;
    failed.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(ScaffoldOfHosts { scaffold: Scaffold { path, before, joined, left_out }, seen, failed })
}

/// The machines whose consumers can be written, and the others, each with its problem. In a cluster no path is relative.
fn with_folder(chosen: Chosen) -> (Chosen, Vec<(String, Problem)>) {
    let Chosen { here, hosts } = chosen;
    let (hosts, without): (Vec<_>, Vec<_>) =
        hosts.into_iter().partition(|host| host.folder.is_some() || host.connect.cluster().is_some());
    let problem = |name: &str| {
        Problem::new(Code::ConfigInvalid, format!("look for consumers on {name}"))
            .because(format!(
                "[hosts.{name}] has no `folder`, which the paths of its consumers are relative to"
            ))
            .help(format!("write folder = \"/srv/app\" under [hosts.{name}]: the folder of its services"))
    };
    let failed = without.into_iter().map(|host| {
        let name = host.name.as_str().to_owned();
        let problem = problem(&name);
        (name, problem)
    });
    (Chosen { here, hosts }, failed.collect())
}

/// The folder of each machine that relative paths of its consumers begin in. Clusters have none.
fn folders(chosen: &Chosen, here: &Path) -> BTreeMap<String, PathBuf> {
    let local = chosen.here.then(|| (LOCAL.to_owned(), here.to_owned()));
    let there = chosen.hosts.iter().filter_map(|host| {
        let folder = host.folder.clone()?;
        Some((host.name.as_str().to_owned(), folder))
    });
    local.into_iter().chain(there).collect()
}
