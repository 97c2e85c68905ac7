//! Measures the work after a look: 50,000 sightings in 30,000 files of 200 projects and 300 processes of 20 services
//! become secrets with names, users and risks, and the rows of their instances. Prints one line of JSON.
#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
#![allow(missing_docs)]
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keyroll_needle::Encoding;
use keyroll_observe::{Listing, ProcessId};
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_trace::{
    Chain, Instance, Link, LinkRole, ManagedBy, Place, Risks, Service, Sighting, Survey, ValueId, Values,
    rows, secrets,
};

const SIGHTINGS: usize = 50_000;
const FILES: usize = 30_000;
const PROJECTS: usize = 200;
const VALUES: usize = 5_000;
const PROCESSES: usize = 300;
const SERVICES: usize = 20;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path());
    let survey = filled(&files);
    let before = resident();
    let begun = Instant::now();
    let found = secrets(&survey, &[]);
    let grouped = begun.elapsed();
    let begun = Instant::now();
    let mut known = Risks::default();
    let risks: usize = found.iter().map(|one| known.of(one).len()).sum();
    let risked = begun.elapsed();
    let begun = Instant::now();
    let rows: usize = found.iter().map(|one| rows(&survey, one).len()).sum();
    let ruled = begun.elapsed();
    println!(
        "{{\"sightings\":{},\"secrets\":{},\"risks\":{risks},\"rows\":{rows},\"grouping_s\":{:.3},\"risks_s\":{:.3},\"rows_s\":{:.3},\"resident_before_mb\":{before},\"resident_mb\":{}}}",
        survey.sightings.len(),
        found.len(),
        grouped.as_secs_f64(),
        risked.as_secs_f64(),
        ruled.as_secs_f64(),
        resident(),
    );
}

/// Empty files, because only their rights and names count here; each project begins with a compose file.
fn files(folder: &Path) -> Vec<PathBuf> {
    let file = |number: usize| {
        let project = folder.join(format!("project-{}", number % PROJECTS));
        let below = project.join(format!("part-{}", number / PROJECTS % 10));
        let name = if number.is_multiple_of(7) { "env.bak" } else { "env" };
        (project, below.clone(), below.join(format!("{number}.{name}")))
    };
    let make = |(project, below, path): (PathBuf, PathBuf, PathBuf)| {
        std::fs::create_dir_all(&below).expect("a folder");
        std::fs::write(project.join("compose.yaml"), "").expect("a file");
        std::fs::write(&path, "").expect("a file");
        path
    };
    (0..FILES).map(file).map(make).collect()
}

fn filled(files: &[PathBuf]) -> Survey {
    let mut values = Values::new(FingerprintKey::new(&[7; 32]));
    let ids: Vec<ValueId> = (0..VALUES)
        .filter_map(|number| values.add(SecretBytes::from(format!("value-{number:032x}")), None))
        .collect();
    let id = |number: usize| *ids.get(number % VALUES).expect("a value");
    let process = |number: usize| ProcessId {
        boot: 1,
        pid: u32::try_from(number % PROCESSES).expect("a number"),
        start_ticks: 1,
    };
    let sighting = |number: usize| {
        let name = format!("SERVICE_{}_API_KEY", number % 400);
        let place = match number % 10 {
            0 => Place::Environment { process: process(number / 10), variable: name.clone() },
            1 => Place::Memory { process: process(number / 10) },
            _ => {
                let path = files.get(number % files.len()).cloned().unwrap_or_default();
                Place::File { path, line: u64::try_from(number / files.len() + 1).unwrap_or(1) }
            }
        };
        Sighting { value: id(number), place, name: Some(name), slot: None, encoding: Encoding::Raw }
    };
    let sightings: Vec<Sighting> = (0..SIGHTINGS).map(sighting).collect();
    let chain = |number: usize| {
        let link = |at: usize, role| Link {
            place: files
                .get((number * 3 + at) % files.len())
                .map(|path| Place::File { path: path.clone(), line: 1 }),
            what: "EnvironmentFile=".to_owned(),
            value: Some(id(number * 3 + at)),
            role,
            basis: keyroll_trace::Basis::Seen,
            read_later: false,
            applies: Some("systemctl restart it".to_owned()),
            seems: None,
        };
        let links = vec![link(0, LinkRole::Wins), link(1, LinkRole::Shadowed)];
        Chain { name: format!("SERVICE_{}_API_KEY", number % 400), links }
    };
    let services = (0..SERVICES).map(|number| Service {
        managed_by: ManagedBy::Manager("systemd"),
        name: format!("service-{number}"),
        processes: (0..PROCESSES / SERVICES).map(|at| process(number * PROCESSES / SERVICES + at)).collect(),
        chains: (0..10).map(|at| chain(number * 10 + at)).collect(),
        ..Service::default()
    });
    let mut instances: BTreeMap<ProcessId, Instance> = (0..PROCESSES)
        .map(process)
        .map(|one| (one, Instance { start: Ok(Default::default()), ..Instance::new(one) }))
        .collect();
    for one in &sightings {
        if let Place::Environment { process, .. } = &one.place
            && let Some(Ok(start)) = instances.get_mut(process).map(|one| one.start.as_mut())
        {
            start.insert(one.value);
        }
    }
    Survey {
        values,
        services: services.collect(),
        listing: Listing::default(),
        instances,
        files: files.len(),
        stores: Vec::new(),
        unseen: Vec::new(),
        sightings,
    }
}

/// The most memory that this process had, MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    kilobytes / 1000
}
