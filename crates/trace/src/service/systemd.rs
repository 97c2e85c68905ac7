use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_manager::{UnitLine, UnitSays, UnitSources, Variables, unit_lines, unit_sources};
use keyroll_observe::{ProcessId, shown};

use super::around::Around;
use super::env_file;
use super::source::{Entry, Kept, Origin, Read, Source};
use super::{Handle, Keeper};
use crate::Record;

/// Where the managers of users have their sockets. Source: systemd(1).
const USERS: &str = "/run/user";

/// The services of the system's manager and of the users' own ones.
pub(crate) fn kept(around: &mut Around<'_>) -> Vec<Kept> {
    let mut all = of_manager(around, None);
    let users: Vec<String> = std::fs::read_dir(USERS)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("systemd/private").exists())
        .filter_map(|entry| around.users.get(&entry.file_name().to_str()?.parse().ok()?).cloned())
        .collect();
    for user in users {
        all.extend(of_manager(around, Some(&user)));
    }
    all
}

fn of_manager(around: &mut Around<'_>, user: Option<&str>) -> Vec<Kept> {
    let asked = match unit_sources(user) {
        Ok(asked) => asked,
        // There is no systemd here, or no such manager runs.
        Err(failure) if failure.code == "K0406" && user.is_none() => return Vec::new(),
        Err(failure) => {
            let whose = user.map_or_else(|| "the system".to_owned(), |name| format!("the user {name}"));
            around.not_told(format!("the services of systemd of {whose}"), &failure);
            return Vec::new();
        }
    };
    let of_manager: Variables = asked.of_manager.into_iter().collect();
    let units = asked.units.into_iter().map(|unit| service(around, unit, user, &of_manager));
    units.filter(|one| !one.processes.is_empty() || !one.sources.is_empty()).collect()
}

fn service(around: &Around<'_>, unit: UnitSources, user: Option<&str>, of_manager: &Variables) -> Kept {
    let keeper = if user.is_some() { Keeper::SystemdUser } else { Keeper::Systemd };
    let name = user.map_or_else(|| unit.unit.clone(), |user| format!("{} of {user}", unit.unit));
    let handle = Handle::Unit { name: unit.unit.clone(), user: user.map(str::to_owned) };
    let processes = processes(around, &unit.control_group, user);
    let main = processes.iter().find(|id| id.pid == unit.main_pid).copied();
    let project = unit.of_unit.first().and_then(|path| path.parent()).map(Path::to_owned);
    let verbs = Verbs::of(&unit.unit, user);
    let mut sources = vec![
        Source::of_file(
            format!("ExecStart= of {}", unit.unit),
            unit.of_unit.first().map_or(Path::new(""), PathBuf::as_path),
        )
        .holding(unit.wrapper.into_iter().collect())
        .applied_by(&verbs.read_again)
        .not_by(&verbs.restart),
    ];
    for path in unit.environment_files.iter().rev() {
        let what = format!("EnvironmentFile={}", shown(path));
        let source = if path.to_string_lossy().contains('*') {
            Source::of_file(what, path).closed("it is a pattern of names")
        } else {
            env_file::source(what, path)
        };
        sources.push(source.applied_by(&verbs.restart).not_by(&verbs.reload));
    }
    let files = Files::read(&unit.of_unit);
    let loaded: Variables = unit.environment.into_iter().collect();
    sources.extend(files.environment(&unit.unit, &loaded, &verbs));
    sources.extend(files.credentials(&verbs));
    let handed_on = of_manager.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect();
    let what = "the service manager's own environment";
    let own = Source::new(what, Origin::Kept(Record::Manager, "systemd".to_owned())).holding(handed_on);
    sources.push(own.applied_by(format!("{} set-environment, then {}", verbs.systemctl, verbs.restart)));
    for name in &unit.unset {
        sources.iter_mut().for_each(|source| drop(source.entries.remove(name)));
    }
    sources.retain(|source| !source.says_nothing());
    Kept { keeper, name, handle, processes, main, project, sources }
}

/// The processes of a control group; a user's manager is believed of that user's alone. Inside a container the kernel may show a longer path, of which systemd knows the end.
fn processes(around: &Around<'_>, group: &str, user: Option<&str>) -> Vec<ProcessId> {
    if group.is_empty() || group == "/" {
        return Vec::new();
    }
    let below = format!("{group}/");
    let inside = |path: &str| path.ends_with(group) || path.contains(&below);
    let whose = |uid: Option<u32>| uid.and_then(|uid| around.users.get(&uid)).map(String::as_str);
    let all = around.listing.seen.iter().filter(|one| user.is_none() || user == whose(one.uid));
    let belongs = all.filter(|one| one.cgroup.as_deref().is_some_and(inside));
    belongs.map(|one| one.id).collect()
}

/// The commands that make a change live, and those that only seem to.
struct Verbs {
    systemctl: String,
    restart: String,
    reload: String,
    /// After a unit file was changed.
    read_again: String,
}

impl Verbs {
    fn of(unit: &str, user: Option<&str>) -> Self {
        let systemctl = if user.is_some() { "systemctl --user" } else { "systemctl" };
        let restart = format!("{systemctl} restart {unit}");
        Self {
            systemctl: systemctl.to_owned(),
            reload: format!("{systemctl} reload {unit}"),
            read_again: format!("{systemctl} daemon-reload, then {restart}"),
            restart,
        }
    }
}

/// The unit file and its drop-ins, in their order.
struct Files {
    all: Vec<(PathBuf, Result<Vec<UnitLine>, std::io::Error>)>,
}

/// What a file says of a variable; no value where only the manager can tell it.
type Said = BTreeMap<String, (u64, Option<keyroll_secret::SecretBytes>)>;

impl Files {
    fn read(paths: &[PathBuf]) -> Self {
        Self { all: paths.iter().map(|path| (path.clone(), unit_lines(path))).collect() }
    }

    /// `Environment=` as systemd has loaded it, and as the files say now; what is later wins.
    fn environment(&self, unit: &str, loaded: &Variables, verbs: &Verbs) -> Vec<Source> {
        let said = self.said();
        let same = |name: &str| {
            let last = said.iter().rev().find_map(|(_, said)| said.get(name));
            match (last, loaded.get(name)) {
                (Some((_, Some(value))), Some(loaded)) => value == loaded,
                (Some((_, None)), Some(_)) => true,
                (None, _) | (Some(_), None) => false,
            }
        };
        let agreed: BTreeSet<String> = loaded.keys().filter(|name| same(name)).cloned().collect();
        let kept = Origin::Kept(Record::Manager, unit.to_owned());
        let what = format!("what systemd has loaded of {unit}");
        let mut of_memory = Source::new(what, kept).applied_by(&verbs.read_again).not_by(&verbs.restart);
        for (name, value) in loaded.iter().filter(|(name, _)| !agreed.contains(*name)) {
            of_memory.entries.insert(name.clone(), Entry::at(1, value.duplicate()));
        }
        let mut sources = vec![of_memory];
        for (path, said) in said.into_iter().rev() {
            let source = |read| {
                let what = format!("Environment= in {}", shown(path));
                let source = Source::of_file(what, path).read(read);
                source.applied_by(&verbs.read_again).not_by(&verbs.restart)
            };
            let (mut live, mut edited) = (source(Read::Start), source(Read::Not));
            for (name, (line, value)) in said {
                let into = if agreed.contains(&name) { &mut live } else { &mut edited };
                let value = value.or_else(|| loaded.get(&name).map(|it| it.duplicate()));
                let entry = match value {
                    Some(value) => Entry::at(line, value),
                    None => Entry::not_told(line, "only systemd can tell what its specifier stands for"),
                };
                into.entries.insert(name, entry);
            }
            sources.extend([live, edited]);
        }
        sources
    }

    /// The last thing that each file says of each variable; what stands before a line `Environment=` does not count.
    fn said(&self) -> Vec<(&Path, Said)> {
        let mut all: Vec<(&Path, Said)> = Vec::new();
        for (path, lines) in &self.all {
            all.push((path, Said::new()));
            for line in lines.iter().flatten() {
                match &line.says {
                    UnitSays::Reset => all.iter_mut().for_each(|(_, said)| said.clear()),
                    UnitSays::Variable(name, value) => {
                        let value = value.as_ref().map(|value| value.duplicate());
                        if let Some((_, said)) = all.last_mut() {
                            said.insert(name.clone(), (line.line, value));
                        }
                    }
                    UnitSays::Credential(..) | UnitSays::Encrypted(..) => {}
                }
            }
        }
        all
    }

    /// What the next start is given as credentials: read then, and the same until the service ends.
    fn credentials(&self, verbs: &Verbs) -> Vec<Source> {
        let mut all = Vec::new();
        for (_, lines) in self.all.iter().rev() {
            for line in lines.iter().flatten() {
                let (name, path, closed) = match &line.says {
                    UnitSays::Credential(name, path) => (name, path, false),
                    UnitSays::Encrypted(name, path) => (name, path, true),
                    UnitSays::Variable(..) | UnitSays::Reset => continue,
                };
                let what =
                    format!("LoadCredential{}={name}:{}", if closed { "Encrypted" } else { "" }, shown(path));
                let source = Source::of_file(what, path).applied_by(&verbs.restart).not_by(&verbs.reload);
                let mut entry = match env_file::read(path) {
                    _ if closed => Entry::not_told(1, "it is encrypted"),
                    Ok(file) => Entry::at(1, env_file::whole(&file)),
                    Err(_) => Entry::not_told(1, "it cannot be read"),
                };
                entry.secret = true;
                all.push(source.with(format!("credential:{name}"), entry));
            }
        }
        all
    }
}
