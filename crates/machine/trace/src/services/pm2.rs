use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_manager::{Pm2, Pm2App, Pm2Daemon, pm2_dump};
use keyroll_observe::{Rights, plain_ids, shown, started_unix_ms};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;
use rustix::process::geteuid;

use super::assignments::is_same_for_shells;
use super::context::Context;
use super::env_file;
use super::source::{Assignment, Kept, Origin, Read, Source, word};
use super::start_again::belongs_to;
use crate::place::harmless;
use crate::{Made, ManagedBy, Record};

/// The usual names of an ecosystem file.
const ECOSYSTEMS: [&str; 7] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.json",
    "pm2.config.js",
    "process.json",
];

/// The folder of a user's pm2.
const OF_USER: &str = ".pm2";

/// The apps of every pm2 that runs.
pub(crate) fn kept(
    context: &mut Context<'_>,
    asked: Vec<(Pm2Daemon, Result<Vec<Pm2App>, Failure>)>,
) -> Vec<Kept> {
    let mut all = Vec::new();
    let run: Vec<PathBuf> = asked
        .iter()
        .filter(|(daemon, _)| is_its_own(daemon))
        .map(|(daemon, _)| daemon.home.clone())
        .collect();
    for (daemon, apps) in asked {
        let what = format!("the apps of pm2 in {}", shown(&daemon.home));
        let untold = |context: &Context<'_>| {
            let processes = context.tree(daemon.process).into_iter().skip(1).collect();
            Kept::untold(ManagedBy::Manager(Pm2::NAME), what.clone(), processes)
        };
        let apps = match apps {
            Ok(apps) => apps,
            Err(failure) => {
                context.not_told(what.clone(), &failure);
                all.push(untold(context));
                continue;
            }
        };
        let mut of_name: BTreeMap<String, Vec<Pm2App>> = BTreeMap::new();
        for app in apps {
            of_name.entry(app.name.clone()).or_default().push(app);
        }
        let seen: &Context<'_> = context;
        let read = Rights::of_process(&daemon.process).and_then(|rights| {
            rights.outside().reading(|| {
                let dumps = daemon.dumps().into_iter();
                let dumps: Vec<(PathBuf, Vec<Pm2App>)> =
                    dumps.filter_map(|path| Some((path.clone(), pm2_dump(&path).ok()?))).collect();
                let apps = of_name.into_iter();
                apps.map(|(name, apps)| app(seen, &daemon, name, apps, &dumps)).collect::<Vec<Kept>>()
            })
        });
        match read {
            Ok(apps) => all.extend(apps),
            Err(why) => {
                all.push(untold(context));
                context.not_seen(what, why.to_string());
            }
        }
    }
    let homes = context.owners.keys().cloned().collect();
    all.extend(of_homes(context, homes, &run));
    all
}

/// Whether a daemon's folder belongs to the daemon's user: the daemon's title names the folder, and a process can set
/// any title.
fn is_its_own(daemon: &Pm2Daemon) -> bool {
    let rights = Rights::of_process(&daemon.process);
    let owner = daemon.home.metadata().map(|meta| meta.uid());
    rights.is_ok_and(|rights| owner.is_ok_and(|uid| rights.is_of(uid)))
}

/// The apps that a boot restores in these homes. For a pm2 that runs, its daemon has reported more.
fn of_homes(context: &mut Context<'_>, homes: BTreeSet<PathBuf>, run: &[PathBuf]) -> Vec<Kept> {
    let mut all = Vec::new();
    for home in homes {
        if !run.contains(&home.join(OF_USER)) {
            all.extend(of_home(context, &home));
        }
    }
    all
}

fn of_home(context: &mut Context<'_>, home: &Path) -> Vec<Kept> {
    let own = home.join(OF_USER);
    context.in_home(home, move |_| at_rest(&own))
}

/// The apps of a pm2 that does not run now: at boot it starts them from its list.
fn at_rest(home: &Path) -> Vec<Kept> {
    let path = home.join("dump.pm2");
    let Ok(apps) = pm2_dump(&path) else { return Vec::new() };
    let again = "pm2 start with the new value, then pm2 save";
    let mut of_name: BTreeMap<String, Kept> = BTreeMap::new();
    for app in apps {
        let what = format!("{}, from which `pm2 resurrect` starts", shown(&path));
        let mut source = Source::of_file(what, &path).holding(app.variables).applied_by(again);
        let kept = of_name.entry(app.name.clone()).or_insert_with(|| {
            let project = Some(app.folder.clone());
            Kept { project, ..Kept::untold(ManagedBy::Manager(Pm2::NAME), app.name, Vec::new()) }
        });
        if let Some(first) = kept.sources.last() {
            source.entries.retain(|name, entry| entry.value.as_ref().ok() != first.value(name));
            source.read = Read::Perhaps("pm2 keeps different values for its instances");
        }
        kept.sources.insert(0, source);
    }
    of_name.into_values().collect()
}

/// An app, perhaps with several instances: each restarts with the environment that the daemon has for it.
fn app(
    context: &Context<'_>,
    daemon: &Pm2Daemon,
    name: String,
    apps: Vec<Pm2App>,
    dumps: &[(PathBuf, Vec<Pm2App>)],
) -> Kept {
    let folder = apps.first().map(|app| app.folder.clone()).unwrap_or_default();
    // The answer could name any process: only the daemon's own children are accepted.
    let mains = apps.iter().filter_map(|app| context.process(app.pid?));
    let mains = mains.filter(|one| one.ppid == daemon.process.pid).map(|one| one.id);
    let mains: Vec<_> = mains.collect();
    let processes = mains.iter().flat_map(|main| context.tree(*main)).collect();
    let file = ECOSYSTEMS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let wrong = format!("pm2 restart {}", word(&name));
    let right = match &file {
        Some(file) => format!("pm2 restart {} --only {} --update-env", word(shown(file)), word(&name)),
        None => format!("from a shell that exports the new value: {wrong} --update-env"),
    };
    // pm2 forgets when it got an environment: its `created_at` is that of the last restart.
    let began = started_unix_ms(&daemon.process).ok();
    // With another user's daemon, pm2 would start one of its own.
    let is_own = plain_ids(&daemon.process).is_some_and(|(uid, _)| uid == geteuid().as_raw());
    let made = began.filter(|_| file.is_none()).map(|unix_ms| Made {
        unix_ms,
        event: "pm2's daemon was started",
        folder: Some(folder.clone()),
        again: if is_own { made_again } else { made_again_by_user },
        restart: wrong.clone(),
    });
    let mut sources: Vec<Source> = Vec::new();
    for app in apps {
        let kept = Origin::Kept(Record::Manager, format!("pm2 in {}", shown(&daemon.home)));
        let what = format!("what pm2's daemon {} keeps of {name}", daemon.process.pid);
        let mut source = Source::new(what, kept).holding(app.variables).applied_by(&right).not_by(&wrong);
        // The daemon gets another value only by a start: the running process has the daemon's present environment.
        source.since_unix_ms = Some(0);
        if let Some(first) = sources.last() {
            source.entries.retain(|name, entry| entry.value.as_ref().ok() != first.value(name));
            source.read = Read::Perhaps("pm2 keeps different values for its instances");
        }
        // The first instance's source comes last: if another instance has a different value, nothing wins.
        sources.insert(0, source);
    }
    let names: Vec<String> = sources.iter().flat_map(|source| source.entries.keys().cloned()).collect();
    if let Some(path) = &file {
        let source = Source::of_file(format!("the ecosystem file {}", shown(path)), path);
        let mut source = source.read(Read::Not).applied_by(&right).not_by(&wrong);
        source.entries = written(path, &name, &names);
        sources.push(source);
    }
    for (path, saved) in dumps {
        let file = env_file::read(path).unwrap_or_else(|_| SecretBytes::new(Vec::new()));
        for app in saved.iter().filter(|app| app.name == name) {
            let at = |name: &String| env_file::line_of(file.expose(), name);
            let entries = app.variables.iter();
            let entries =
                entries.map(|(name, value)| (name.clone(), Assignment::at(at(name), value.duplicate())));
            let source = Source::of_file(format!("{}, from which a boot starts", shown(path)), path);
            let source = Source { entries: entries.collect(), ..source.read(Read::Not) };
            sources.push(source.applied_by(format!("{right}, then pm2 save")).not_by(&wrong));
        }
    }
    let declaration = Pm2::declaration(&harmless(&name), file.as_deref(), &daemon.home);
    let (main, project) = (mains.first().copied(), Some(folder));
    Kept { main, made, project, sources, ..Kept::of(declaration, name, processes) }
}

/// In a shell of its own, so that the operator's shell exports nothing.
fn made_again(name: &str, file: &Path) -> String {
    let uid = geteuid().as_raw();
    if !is_same_for_shells(file) || !belongs_to(uid, file) {
        return made_again_by_user(name, file);
    }
    format!("(set -a && . {} && set +a && pm2 restart {} --update-env)", word(shown(file)), word(name))
}

fn made_again_by_user(name: &str, file: &Path) -> String {
    let (name, file) = (word(name), shown(file));
    format!("as the user of pm2, from a shell that exports what {file} has: pm2 restart {name} --update-env")
}

/// The variables that an ecosystem file contains as literals. The file is a program and is not run: a value that it
/// computes is not visible. In a file with several apps, a variable counts if it has one value after the app's name and
/// before the next app's name.
fn written(path: &Path, app: &str, names: &[String]) -> BTreeMap<String, Assignment> {
    let Ok(file) = env_file::read(path) else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(file.expose());
    let mut from = 0;
    let mut to = text.len();
    for (at, value) in values(&text, "name") {
        if value == app {
            from = at;
        } else if at > from && from > 0 {
            to = to.min(at);
        }
    }
    let part = text.get(from..to).unwrap_or_default();
    let before = text.get(..from).unwrap_or_default().matches('\n').count() as u64;
    let mut found = BTreeMap::new();
    for name in names {
        let line = |at: usize| before + 1 + part.get(..at).unwrap_or_default().matches('\n').count() as u64;
        let entry = match values(part, name).as_slice() {
            [(at, value)] => Assignment::at(line(*at), SecretBytes::new(value.as_bytes().to_vec())),
            [] if part.contains(name.as_str()) => {
                Assignment::not_told(1, "it is a program, which keyroll does not run to inspect it")
            }
            [] => continue,
            [(at, _), ..] => Assignment::not_told(line(*at), "it gives several values for it"),
        };
        found.insert(name.clone(), entry);
    }
    found
}

/// `NAME: 'value'` or `"NAME": "value"` in a text: the offset and the value. A value with an escape or a `${` does not
/// count.
fn values<'a>(text: &'a str, name: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(name) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        if before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '.')) {
            continue;
        }
        let rest = text.get(at + name.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start();
        let Some(rest) = rest.strip_prefix(':').map(str::trim_start) else { continue };
        let Some(quote) = rest.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '`')) else {
            continue;
        };
        let Some((value, _)) = rest.get(1..).and_then(|rest| rest.split_once(quote)) else { continue };
        if !value.contains('\\') && !value.contains("${") && !value.contains('\n') {
            found.push((at, value));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::context::tests::{UserProcess, alone, home_with_links};
    use super::*;

    const LIST: &str = ".pm2/dump.pm2";
    const APPS: &str = r#"[{"name":"bot","pm_cwd":"/srv","A_API_KEY":"there"}]"#;

    #[test]
    fn a_list_behind_a_link_is_read_where_its_user_could_read_it() {
        for (links, apps) in [([LIST, "none"], 1), (["none", LIST], 0)] {
            let Some(home) = home_with_links(APPS, links) else { return };
            assert_eq!(alone(|context| of_home(context, home.path()).len()), apps, "{links:?}");
        }
    }

    #[test]
    fn the_list_of_a_daemon_is_read_where_the_daemon_could_read_it() {
        for (links, saved) in [([LIST, "none"], 1), (["none", LIST], 0)] {
            let Some(home) = home_with_links(APPS, links) else { return };
            let theirs = UserProcess::start(home.path());
            let daemon = Pm2Daemon { process: theirs.process().id, home: home.path().join(OF_USER) };
            let (name, folder) = ("bot".to_owned(), home.path().to_owned());
            let app = Pm2App { name, pid: None, folder, variables: BTreeMap::new() };
            let all = alone(|context| kept(context, vec![(daemon, Ok(vec![app]))]));
            let its = all.iter().find(|one| one.project.as_deref() == Some(home.path())).unwrap();
            let of_list = |source: &&Source| source.what.ends_with("from which a boot starts");
            assert_eq!(its.sources.iter().filter(of_list).count(), saved, "{links:?}");
        }
    }

    #[test]
    fn an_app_of_a_daemon_that_runs_is_not_told_a_second_time_by_its_list() {
        let folder = tempfile::tempdir().unwrap();
        let homes = ["runs", "rests"].map(|name| folder.path().join(name));
        for home in &homes {
            std::fs::create_dir_all(home.join(OF_USER)).unwrap();
            let text = format!(r#"[{{"name":"bot","pm_cwd":"{}"}}]"#, home.display());
            std::fs::write(home.join(LIST), text).unwrap();
        }
        let run = [homes[0].join(OF_USER)];
        let all = alone(|context| of_homes(context, homes.clone().into(), &run));
        let told: Vec<_> = all.into_iter().map(|one| one.project.unwrap()).collect();
        assert_eq!(told, homes[1..]);
    }

    #[test]
    fn a_daemon_that_only_says_that_a_home_is_its_own_hides_nothing_of_it() {
        let Some(home) = home_with_links(APPS, ["none", "other"]) else { return };
        let theirs = UserProcess::start(home.path());
        let daemon = |home: &Path| Pm2Daemon { process: theirs.process().id, home: home.to_owned() };
        let roots = tempfile::tempdir().unwrap();
        assert!(is_its_own(&daemon(home.path())) && !is_its_own(&daemon(roots.path())));
    }

    #[test]
    fn a_list_without_a_daemon_is_what_a_boot_starts_from() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"[{"name":"bot","pm_cwd":"/srv","A_API_KEY":"one","B_API_KEY":"same"},
                       {"name":"bot","pm_cwd":"/srv","A_API_KEY":"two","B_API_KEY":"same"},{"name":"web","env":{"A_API_KEY":"x"}}]"#;
        std::fs::write(folder.path().join("dump.pm2"), text).unwrap();
        let all = at_rest(folder.path());
        let [bot, web] = all.as_slice() else { panic!("two apps") };
        assert_eq!((bot.name.as_str(), bot.sources.len(), bot.processes.len()), ("bot", 2, 0));
        assert_eq!(bot.sources[0].read, Read::Perhaps("pm2 keeps different values for its instances"));
        assert_eq!(bot.sources[0].entries.keys().collect::<Vec<_>>(), ["A_API_KEY"]);
        assert!(web.sources[0].value("A_API_KEY").is_some() && web.sources[0].read == Read::Start);
        assert!(at_rest(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn literals_of_an_ecosystem_file_are_seen_and_the_rest_is_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ecosystem.config.js");
        let text = "const K = process.env.K;\nmodule.exports = { apps: [\n{ name: 'a', env: { KEY: 'one', MADE: K } },\n\
                    { \"name\": \"b\", \"env\": { \"KEY\": \"two\",\n 'OTHER': `x${K}` } }] };\n";
        std::fs::write(&path, text).unwrap();
        let names = ["KEY", "MADE", "OTHER", "NONE"].map(str::to_owned);
        let of = |app: &str| -> Vec<String> {
            let told = |entry: &Assignment| match &entry.value {
                Ok(value) => String::from_utf8_lossy(value.expose()).into_owned(),
                Err(_) => "?".to_owned(),
            };
            written(&path, app, &names)
                .iter()
                .map(|(name, one)| format!("{name}={} {}", told(one), one.line))
                .collect()
        };
        assert_eq!(of("a"), ["KEY=one 3", "MADE=? 1"]);
        assert_eq!(of("b"), ["KEY=two 4", "OTHER=? 1"]);
    }
}
