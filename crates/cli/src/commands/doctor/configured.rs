//! What the configuration names, looked at as far as that needs neither the issuer nor a stored value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use keyroll_config::{Config, Consumer, IssuerRef, LogSource, Place, Reference, Secret};
use keyroll_port::Issuer;

use super::{Report, look_at_private};
use crate::places::Places;
use crate::plans::look::refuse_unseen_reads;
use crate::problem::Problem;
use crate::wiring::compose::compose;
use crate::wiring::fields::refuse_unfit_fields;
use crate::wiring::gathered::gather;
use crate::wiring::issuer::{Described, described};
use crate::wiring::open::folder_of;
use crate::wiring::programs::{missing, pid_files_missing};
use crate::wiring::provable::provable;
use crate::wiring::trusted::trusted;

pub(super) fn look(report: &mut Report, config: &Config, config_file: &Path, places: &Places) {
    let file = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    let good = |secret: &&Secret| look_at_secret(report, secret, &file, places);
    let names: Vec<&str> = config.secrets.values().filter(good).map(|secret| secret.name.as_str()).collect();
    // What is wrong comes first; what was not asked is of interest once nothing is. It is the same of each.
    if let Some(first) = names.first() {
        let detail = "whether the issuer answers, accepts the value and lets the admin make another; whether each copy \
                      holds that value; whether each check fails with a wrong one: not asked here";
        let help = format!("keyroll plan {first} asks");
        report.add(crate::ui::Finding::Note, &names.join(", "), detail.to_owned(), Some(help));
    }
    for root in &config.search_roots {
        match root.exists() {
            true => report.good("search root", root.display().to_string()),
            false => {
                report.bad("search root", format!("{} is not there", root.display()), "correct search.roots")
            }
        }
    }
}

/// Whether nothing is wrong with it.
fn look_at_secret(report: &mut Report, secret: &Secret, file: &Path, places: &Places) -> bool {
    let before = report.bad_count();
    if let Some(issuer) = look_at_issuer(report, secret) {
        let composed = compose(secret, issuer.as_ref(), places, "", folder_of(file), &[], &BTreeMap::new());
        let attributes = issuer.capabilities().attributes;
        let provable = secret.consumers.iter().try_for_each(|consumer| provable(consumer, attributes));
        for problem in [composed.map(drop), provable].into_iter().filter_map(Result::err) {
            report.problem(&format!("{}: consumers", secret.name), &problem);
        }
    }
    for problem in [trusted(file, secret), refuse_unseen_reads(secret)].into_iter().filter_map(Result::err) {
        report.problem(secret.name.as_str(), &problem);
    }
    if secret.consumers.is_empty() {
        let help = format!("describe who uses it as [[secrets.{}.consumers]]", secret.name);
        report.bad(&format!("{}: consumers", secret.name), "none".to_owned(), &help);
    }
    for missed in pid_files_missing(secret) {
        report.note(secret.name.as_str(), missed);
    }
    for consumer in &secret.consumers {
        look_at_consumer(report, &format!("{}: {}", secret.name, consumer.name), consumer);
    }
    look_at_places(report, secret);
    before == report.bad_count()
}

/// The issuer as it is described, its admin credential and the fields of the secret; the issuer where all of it is right.
fn look_at_issuer(report: &mut Report, secret: &Secret) -> Option<Arc<dyn Issuer>> {
    let name = format!("{}: issuer", secret.name);
    let described = told(report, &name, described(secret));
    let admin = format!("{}: admin credential", secret.name);
    let mut private = match &secret.admin {
        Some(Reference::File(path)) => look_at_private(report, &admin, path, true),
        None => {
            report.note(&admin, "none is named".to_owned());
            true
        }
    };
    for pooler in secret.postgres.iter().flat_map(|place| &place.poolers) {
        let Reference::File(path) = &pooler.admin;
        let console = format!("{}: login of the pooler's console", secret.name);
        private &= look_at_private(report, &console, path, true);
    }
    let described: Described = described?;
    told(report, &format!("{}: fields", secret.name), refuse_unfit_fields(&described, secret));
    // A file that was told already would be told again.
    let issuer = private.then(|| told(report, &name, described.issuer(secret, None))).flatten();
    if issuer.is_some() || !private {
        report.good(&name, word(&secret.issuer));
    }
    issuer
}

fn told<T>(report: &mut Report, name: &str, found: Result<T, Problem>) -> Option<T> {
    found.map_err(|problem| report.problem(name, &problem)).ok()
}

fn word(issuer: &IssuerRef) -> String {
    match issuer {
        IssuerRef::SpecFile(path) => format!("{}, read whole", path.display()),
        IssuerRef::Shipped(spec) => spec.to_string(),
        IssuerRef::Postgres => "postgres".to_owned(),
        IssuerRef::Server(kind) => kind.word().to_owned(),
    }
}

/// Reads each place that a value is to stand in, as `secret import` does; what stands there is thrown away.
fn look_at_places(report: &mut Report, secret: &Secret) {
    let name = format!("{}: copies", secret.name);
    let Some(gathered) = told(report, &name, gather(secret, None)) else { return };
    let lists = |line: &&String| {
        let mut copies = secret.consumers.iter().flat_map(|consumer| &consumer.reads);
        copies.any(|copy| {
            matches!(copy.place, Place::Userlist { .. }) && line.starts_with(&copy.place.to_string())
        })
    };
    let (told_later, bad): (Vec<&String>, Vec<&String>) = gathered.not_read.iter().partition(lists);
    let there = |line: &&&String| {
        let mut copies = secret.consumers.iter().flat_map(|consumer| &consumer.reads);
        // A file that is not there was told with its consumer.
        copies.any(|copy| copy.place.path().is_file() && line.starts_with(&copy.place.to_string()))
    };
    for line in bad.iter().filter(there) {
        report.bad(&name, (*line).clone(), "correct `reads` in keyroll.toml, or put the value there");
    }
    for line in told_later {
        report.note(&name, line.clone());
    }
}

fn look_at_consumer(report: &mut Report, name: &str, consumer: &Consumer) {
    let copies = consumer.reads.iter().map(|copy| copy.place.path()).filter(|path| !path.is_file());
    let copies = copies.map(|path| {
        let why = format!("its copy {} is not there", path.display());
        (why, "correct `reads` in keyroll.toml, or put the file there".to_owned())
    });
    let programs = missing(consumer).into_iter().map(|one| (format!("{}: {}", one.what, one.why), one.help));
    let faults: Vec<(String, String)> = copies.chain(programs).collect();
    for (why, help) in &faults {
        report.bad(name, why.clone(), help);
    }
    if faults.is_empty() {
        let copies = match consumer.reads.len() {
            1 => "its copy and its programs are there".to_owned(),
            several => format!("its {several} copies and its programs are there"),
        };
        report.good(name, copies);
    }
    let logs = consumer.log.iter().flat_map(|log| match &log.source {
        LogSource::File(path) => {
            consumer.runs.instances().iter().map(|one| path.fill(one.name.as_str(), one.port, None)).collect()
        }
        LogSource::Journal(_) | LogSource::Docker(_) => Vec::new(),
    });
    for log in logs.filter(|log| !Path::new(log).is_file()) {
        report.note(name, format!("its log {log} is not there: refused uses in it are not visible"));
    }
}
