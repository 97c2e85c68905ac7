use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_manager::{UnitLine, UnitSays, Variables, unit_lines};
use keyroll_observe::shown;
use keyroll_secret::SecretBytes;

use super::verbs::Verbs;
use crate::Record;
use crate::services::source::{Assignment, Origin, Read, Source};

/// The unit file and its drop-ins, in their order.
pub(super) struct UnitText {
    pub(super) all: Vec<(PathBuf, Result<Vec<UnitLine>, std::io::Error>)>,
}

/// A file's setting of a variable; no value if only the manager can expand it.
type Said = BTreeMap<String, (u64, Option<SecretBytes>)>;

impl UnitText {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        Self { all: paths.iter().map(|path| (path.clone(), unit_lines(path))).collect() }
    }

    /// `Environment=` as systemd has loaded it, and as the files are now; the last one wins.
    pub(super) fn environment(&self, unit: &str, loaded: &Variables, verbs: &Verbs) -> Vec<Source> {
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
            of_memory.entries.insert(name.clone(), Assignment::at(1, value.duplicate()));
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
                    Some(value) => Assignment::at(line, value),
                    None => Assignment::not_told(line, "only systemd can expand its specifier"),
                };
                into.entries.insert(name, entry);
            }
            sources.extend([live, edited]);
        }
        sources
    }

    /// The last setting of each variable in each file; settings before an empty line `Environment=` do not count.
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
                    UnitSays::Credential(..) | UnitSays::Encrypted(..) | UnitSays::Set(..) => {}
                }
            }
        }
        all
    }
}
