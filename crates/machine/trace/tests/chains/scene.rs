//! A folder with versions of values, and the chains that a survey finds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_testkit::{TempDir, alphanumeric, write_program};
use keyroll_trace::{LinkRole, Managers, Options, Survey, survey_with};
use serde::{Deserialize, Serialize};

/// How long anything that must come may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(100);

/// Versions of a value, by the names that the tests call them.
const VERSIONS: [&str; 4] = ["first", "second", "third", "fourth"];

pub(crate) struct Scene {
    folder: TempDir,
    versions: BTreeMap<String, String>,
    pub managers: Managers,
}

/// A chain with its values by their names; `-` where there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NamedChain {
    pub keeper: String,
    pub service: String,
    pub name: String,
    pub next: String,
    /// `wins second EnvironmentFile=@/api.env`
    pub links: Vec<String>,
    pub pids: Vec<u32>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let versions = VERSIONS.iter().map(|name| ((*name).to_owned(), alphanumeric(24))).collect();
        Self { folder, versions, managers: Managers::default() }
    }

    /// The scene that another process made.
    pub(crate) fn again(folder: &Path) -> BTreeMap<String, String> {
        serde_json::from_slice(&fs::read(folder.join("versions")).unwrap()).unwrap()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn value(&self, version: &str) -> &str {
        &self.versions[version]
    }

    pub(crate) fn versions(&self) -> &BTreeMap<String, String> {
        &self.versions
    }

    /// Writes a file; `{second}` stands for that version, `@/` for the folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.filled(text)).unwrap();
    }

    /// The same for a program, which can be executed at once.
    pub(crate) fn program(&self, name: &str, text: &str) {
        write_program(&self.path(name), self.filled(text));
    }

    pub(crate) fn filled(&self, text: &str) -> String {
        let mut text = text.replace("@/", &format!("{}/", self.dir().display()));
        for (name, value) in &self.versions {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    pub(crate) fn look(&self) -> Vec<NamedChain> {
        told(&self.survey(), &self.versions, &self.dir())
    }

    pub(crate) fn survey(&self) -> Survey {
        let options = Options { roots: vec![self.dir()], wait: TIME_MAX };
        survey_with(&options, &self.managers, FingerprintKey::new(&[7; 32]), Vec::new()).unwrap()
    }

    /// The chain of a name of one service.
    pub(crate) fn chain(&self, keeper: &str, service: &str, name: &str) -> NamedChain {
        only(&self.look(), |one| one.keeper == keeper && one.service == service && one.name == name)
    }

    /// The chains of the service that a process belongs to.
    pub(crate) fn chain_of(&self, pid: u32, name: &str) -> NamedChain {
        only(&self.look(), |one| one.pids.contains(&pid) && one.name == name)
    }

    /// The version that a process was started with.
    pub(crate) fn started_with(&self, pid: u32, name: &str) -> String {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let prefix = format!("{name}=");
        let entry = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(prefix.as_bytes()));
        self.version(entry.unwrap_or_default())
    }

    pub(crate) fn version(&self, value: &[u8]) -> String {
        version(&self.versions, |known| known.as_bytes() == value)
    }
}

/// The one chain of a kind.
fn only(all: &[NamedChain], wanted: impl Fn(&&NamedChain) -> bool) -> NamedChain {
    let found: Vec<&NamedChain> = all.iter().filter(wanted).collect();
    assert_eq!(found.len(), 1, "{all:#?}");
    found[0].clone()
}

fn version(versions: &BTreeMap<String, String>, is: impl Fn(&str) -> bool) -> String {
    versions.iter().find(|(_, value)| is(value)).map_or("-".to_owned(), |(name, _)| name.clone())
}

/// Every chain that has one of the versions.
pub(crate) fn told(survey: &Survey, versions: &BTreeMap<String, String>, folder: &Path) -> Vec<NamedChain> {
    let named = |id: Option<keyroll_trace::ValueId>| {
        version(versions, |value| {
            let known = survey.values.of(&SecretBytes::new(value.as_bytes().to_vec()));
            known.is_some() && known == id
        })
    };
    let folder = folder.display().to_string();
    let mut all = Vec::new();
    for service in &survey.services {
        for chain in &service.chains {
            if chain.links.iter().all(|link| named(link.value) == "-") {
                continue;
            }
            let links = chain.links.iter().map(|link| {
                let role = match link.role {
                    LinkRole::Wins => "wins",
                    LinkRole::Shadowed => "shadowed",
                    LinkRole::NotRead => "not read",
                    LinkRole::NotThere => "not there",
                    LinkRole::NotVisible(_) => "not visible",
                };
                format!("{role} {} {}", named(link.value), link.what.replace(&folder, "@"))
            });
            all.push(NamedChain {
                keeper: service.managed_by.name().to_owned(),
                service: service.name.clone(),
                name: chain.name.clone(),
                next: named(chain.next()),
                links: links.collect(),
                pids: service.processes.iter().map(|id| id.pid).collect(),
            });
        }
    }
    all
}

/// How far apart a start and a change must be to be told apart, milliseconds: more than twice what keyroll asks for.
const APART_MS: u64 = 60;

/// What happens next is surely later than what happened before, by the clock of files and by that of processes.
pub(crate) fn apart() {
    let since = Instant::now();
    until("time passes", || (since.elapsed() > Duration::from_millis(APART_MS)).then_some(()));
}

/// Looks until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIME_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A process that ends with its test.
pub(crate) struct Running(pub Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
