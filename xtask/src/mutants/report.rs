//! The score of a run, by file, and its survivors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fate::Fate;
use super::mutation::Mutation;

/// What a run found.
pub(super) struct Report<'a> {
    /// Each mutant that was run, with its fate.
    pub(super) fates: Vec<(&'a Mutation, Fate)>,
    /// Mutants that do not compile.
    pub(super) dropped: usize,
    /// Mutants that are known to be equivalent.
    pub(super) equivalent: usize,
    pub(super) schedules: usize,
    pub(super) broken: usize,
    pub(super) build_seconds: u64,
    pub(super) run_seconds: u64,
}

/// The columns of the figures.
const COLUMNS: [&str; 7] = ["mutants", "simulation", "tests", "recordings", "survived", "unreached", "found"];

/// How many mutants of one file were found.
#[derive(Default, Clone, Copy)]
struct Score {
    all: usize,
    by_simulation: usize,
    by_tests: usize,
    by_recordings: usize,
    survived: usize,
    unreached: usize,
}

impl Score {
    fn add(&mut self, fate: &Fate) {
        self.all += 1;
        match fate {
            fate if fate.by_recording() => self.by_recordings += 1,
            fate if fate.by_test() => self.by_tests += 1,
            fate if fate.is_unreached() => self.unreached += 1,
            fate if fate.survives() => self.survived += 1,
            _ => self.by_simulation += 1,
        }
    }

    /// Per mille of the mutants that were found.
    fn per_mille(self) -> usize {
        ((self.by_simulation + self.by_tests + self.by_recordings) * 1_000)
            .checked_div(self.all)
            .unwrap_or(1_000)
    }

    /// The figures of one file, as text.
    fn columns(self) -> [String; 7] {
        let Self { all, by_simulation, by_tests, by_recordings, survived, unreached } = self;
        let counts = [all, by_simulation, by_tests, by_recordings, survived, unreached];
        let [all, by_simulation, by_tests, by_recordings, survived, unreached] =
            counts.map(|count| count.to_string());
        let score = format!("{}.{} %", self.per_mille() / 10, self.per_mille() % 10);
        [all, by_simulation, by_tests, by_recordings, survived, unreached, score]
    }

    fn row(self, name: &str) -> String {
        let columns = self.columns().map(|column| format!("{column:>10}"));
        format!("{name:<40} {}", columns.join(" "))
    }

    fn json(self) -> Value {
        json!({
            "mutants": self.all,
            "by_simulation": self.by_simulation,
            "by_tests": self.by_tests,
            "by_recordings": self.by_recordings,
            "survived": self.survived,
            "unreached": self.unreached,
            "score_per_mille": self.per_mille(),
        })
    }
}

impl Report<'_> {
    fn scores(&self) -> (Score, BTreeMap<&str, Score>) {
        let (mut all, mut files) = (Score::default(), BTreeMap::<&str, Score>::new());
        for (mutation, fate) in &self.fates {
            all.add(fate);
            files.entry(&mutation.file).or_default().add(fate);
        }
        (all, files)
    }

    /// Of mutants that are listed as equivalent none may be found.
    pub(super) fn refuse_found(&self) -> Result<(), String> {
        let found: Vec<String> =
            self.fates.iter().filter(|(_, fate)| !fate.survives()).map(|(of, _)| of.identity()).collect();
        match found.is_empty() {
            true => Ok(()),
            false => Err(format!("these mutants are not equivalent:\n  {}", found.join("\n  "))),
        }
    }

    /// For a person: the survivors, then a row per file.
    pub(super) fn print(&self) {
        for (mutation, fate) in self.fates.iter().filter(|(_, fate)| fate.survives()) {
            println!(
                "{} {} {}: {} | {} → {}",
                fate.result,
                mutation.number,
                mutation.place(),
                mutation.operator,
                mutation.original,
                mutation.mutated
            );
        }
        let names = COLUMNS.map(|name| format!("{name:>10}"));
        println!("\n{:<40} {}", "file", names.join(" "));
        let (all, files) = self.scores();
        for (file, score) in files {
            println!("{}", score.row(file));
        }
        println!("{}\n{}", all.row("in all"), self.circumstances());
    }

    /// What belongs to the figures.
    fn circumstances(&self) -> String {
        let Self { dropped, equivalent, schedules, broken, .. } = self;
        format!(
            "{dropped} mutants do not compile, {equivalent} are listed as equivalent; {schedules} schedules, {broken} of \
             them break an invariant without a mutant and find none; {} s to build, {} s to run",
            self.build_seconds, self.run_seconds
        )
    }

    /// For the page: a table.
    pub(super) fn table(&self) -> String {
        let mut text = format!("| file | {} |\n|---{}|\n", COLUMNS.join(" | "), "|---".repeat(COLUMNS.len()));
        let (all, files) = self.scores();
        for (file, score) in files.into_iter().chain([("in all", all)]) {
            text += &format!("| {file} | {} |\n", score.columns().join(" | "));
        }
        format!("{}.\n\n{text}", self.circumstances())
    }

    /// Refuses a score below so many per mille.
    pub(super) fn refuse_below(&self, per_mille: usize) -> Result<(), String> {
        let (all, _) = self.scores();
        match all.per_mille() {
            score if score < per_mille => {
                Err(format!("{score} of 1000 mutants were found, {per_mille} at least"))
            }
            _ => Ok(()),
        }
    }

    /// For a program: one document, with every mutant that nothing found.
    pub(super) fn json(&self) -> Value {
        let (all, files) = self.scores();
        let survivors: Vec<Value> =
            self.fates.iter().filter(|(_, fate)| fate.survives()).map(|(of, fate)| fate.json(of)).collect();
        let files: BTreeMap<&str, Value> =
            files.into_iter().map(|(file, score)| (file, score.json())).collect();
        json!({
            "all": all.json(),
            "files": files,
            "dropped": self.dropped,
            "equivalent": self.equivalent,
            "schedules": self.schedules,
            "broken_schedules": self.broken,
            "build_seconds": self.build_seconds,
            "run_seconds": self.run_seconds,
            "survivors": survivors,
        })
    }
}
