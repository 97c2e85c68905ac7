//! Everything that the configuration names, checked without the issuer and without a stored value.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_config::{Config, Consumer, IssuerRef, LogSource, Place, Reference, Secret, StoreRef};
use keyroll_port::Issuer;
use keyroll_setup::gate;
use keyroll_setup::trust::{missing, pid_files_missing, unseen_words};

use super::report::{Report, check_private_file};
use crate::operator::Finding;
use crate::places::Places;
use crate::plans::inspect::refuse_unseen_reads;
use crate::problem::Problem;
use crate::records::given_out::given_out_now;
use crate::wiring::fields::refuse_unfit_fields;
use crate::wiring::gather_values::gather;
use crate::wiring::hosts::composed;
use crate::wiring::issuer::{Described, described};
use crate::wiring::open::{folder_of, runtime};
use crate::wiring::provable::provable;
use crate::wiring::served::served_faults;
use crate::wiring::trusted::trusted;
use crate::wiring::truth;
use crate::wiring::wanted::Wanted;

pub(super) fn check_configuration(report: &mut Report, config: &Config, config_file: &Path, places: &Places) {
    let file = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    let good = |secret: &&Secret| check_secret(report, config, secret, &file, places);
    let secrets = config.secrets.values().filter(good);
    let names: Vec<&str> = secrets.map(|secret| secret.name.as_str()).collect();
    // What was not checked matters only for secrets without a bad finding; one note names all of them.
    if let Some(first) = names.first() {
        let detail = "not checked here: whether the issuer answers, accepts the value and lets the admin make a key; \
         whether each copy holds the value; whether each check fails with a wrong value";
        let help = format!("keyroll plan {first} checks this");
        report.add(Finding::Note, &names.join(", "), detail.to_owned(), Some(help));
    }
    for root in &config.search.roots {
        match root.exists() {
            true => report.good("search root", root.display().to_string()),
            false => report.bad(
                "search root",
                format!("{} does not exist", root.display()),
                "correct search.roots",
            ),
        }
    }
}

/// How long a server of error rates is waited for.
const GATE_TIME_MAX: Duration = Duration::from_secs(5);

/// Checks one secret; returns true unless a finding is bad.
fn check_secret(report: &mut Report, config: &Config, secret: &Secret, file: &Path, places: &Places) -> bool {
    let before = report.bad_count();
    let here = secret.here();
    if let Some(issuer) = check_issuer(report, secret) {
        let composed = composed(&Wanted::of(&here, issuer.as_ref(), places, folder_of(file)));
        let attributes = issuer.capabilities().attributes;
        let provable = secret.consumers.iter().try_for_each(|consumer| provable(consumer, attributes));
        for problem in [composed.map(drop), provable].into_iter().filter_map(Result::err) {
            report.problem(&format!("{}: consumers", secret.name), &problem);
        }
    }
    let trusted = trusted(file, secret);
    // What another user chose is neither asked nor run.
    if trusted.is_ok() {
        check_gate(report, secret);
        check_truth(report, secret, places, file);
    }
    for problem in [trusted, refuse_unseen_reads(secret)].into_iter().filter_map(Result::err) {
        report.problem(secret.name.as_str(), &problem);
    }
    if secret.consumers.is_empty() {
        let help = format!("declare its consumers as [[secrets.{}.consumers]]", secret.name);
        report.bad(&format!("{}: consumers", secret.name), "none".to_owned(), &help);
    }
    for missed in pid_files_missing(&here).into_iter().chain(unseen_words(folder_of(file), &here)) {
        report.note(secret.name.as_str(), missed);
    }
    for consumer in &secret.consumers {
        let name = format!("{}: {}", secret.name, consumer.name);
        if !consumer.is_here {
            let host = &consumer.host;
            let detail = match &consumer.in_cluster {
                None => format!("its copies and its programs: not visible here: they are on {host}"),
                Some(pods) => format!(
                    "the Secret {} and the pods of {pods}: not visible here: they are in {host}",
                    pods.secret
                ),
            };
            let help = format!(
                "keyroll hosts check {} tries the connection; keyroll plan {} checks them there",
                consumer.host, secret.name
            );
            report.add(Finding::Note, &name, detail, Some(help));
            continue;
        }
        let faults = served_faults(config, secret, consumer, places);
        check_consumer(report, &name, consumer, faults);
    }
    check_copies(report, secret);
    before == report.bad_count()
}

/// Asks for the error rate once: a rotation asks only when a consumer has moved.
fn check_gate(report: &mut Report, secret: &Secret) {
    let Some(asked) = secret.gate.as_ref().map(gate) else { return };
    let name = format!("{}: gate", secret.name);
    match asked.rate.ask(Instant::now() + GATE_TIME_MAX) {
        Ok(rate) if rate <= asked.max => {
            report.good(&name, format!("the error rate is {rate}, at most {} is accepted", asked.max));
        }
        Ok(rate) => report.bad(
            &name,
            format!("the error rate is {rate}, and a rotation does not go on above {}", asked.max),
            "look at the service, or correct `gate.max`",
        ),
        Err(why) => report.bad(
            &name,
            format!("the error rate is unknown, and a rotation does not go on without it: {why}"),
            "keyroll explain K0368",
        ),
    }
}

/// Asks a source of truth outside of keyroll what it gives out, and whether a rotation could write there.
fn check_truth(report: &mut Report, secret: &Secret, places: &Places, file: &Path) {
    if secret.store == StoreRef::Keyroll {
        return;
    }
    let name = format!("{}: source of truth", secret.name);
    let asked = runtime(places).and_then(|runtime| {
        runtime.block_on(async {
            let Some(truth) = truth::of(places, file, secret).await? else { return Ok(None) };
            let now = given_out_now(places, secret, truth.as_ref()).await?;
            let problem = match now.refusal(secret, "use it") {
                None => truth::unwritable(secret, truth.as_ref()).await,
                refusal => refusal,
            };
            Ok::<_, Problem>(Some((now, problem)))
        })
    });
    match asked {
        Ok(None) => {}
        Ok(Some((now, None))) => report.good(&name, format!("{} gives out {}", now.name, now.what())),
        Ok(Some((_, Some(problem)))) | Err(problem) => report.problem(&name, &problem),
    }
}

/// Checks the issuer's spec, its admin credential and the secret's fields; returns the issuer if nothing is wrong.
fn check_issuer(report: &mut Report, secret: &Secret) -> Option<Arc<dyn Issuer>> {
    let name = format!("{}: issuer", secret.name);
    let described = ok_or_report(report, &name, described(secret));
    let admin = format!("{}: admin credential", secret.name);
    let mut private = match &secret.admin {
        Some(Reference::File(path)) => check_private_file(report, &admin, path, true),
        None if secret.issuer == IssuerRef::AwsAccessKey => {
            report.note(&admin, "that of the usual AWS configuration".to_owned());
            true
        }
        None => {
            report.note(&admin, "none is named".to_owned());
            true
        }
    };
    for path in
        secret.server.iter().flat_map(|server| server.poolers()).filter_map(|pooler| pooler.admin_file())
    {
        let console = format!("{}: login of the pooler's console", secret.name);
        private &= check_private_file(report, &console, path, true);
    }
    let described: Described = described?;
    ok_or_report(report, &format!("{}: fields", secret.name), refuse_unfit_fields(&described, secret));
    // An unreadable admin file was reported already.
    let issuer = private.then(|| ok_or_report(report, &name, described.issuer(secret, None))).flatten();
    if issuer.is_some() || !private {
        report.good(&name, word(&secret.issuer));
    }
    issuer
}

fn ok_or_report<T>(report: &mut Report, name: &str, found: Result<T, Problem>) -> Option<T> {
    found.map_err(|problem| report.problem(name, &problem)).ok()
}

fn word(issuer: &IssuerRef) -> String {
    match issuer {
        IssuerRef::SpecFile(path) => format!("{}, read completely", path.display()),
        IssuerRef::Shipped(_) | IssuerRef::Server(_) | IssuerRef::AwsAccessKey => issuer.to_string(),
    }
}

/// Reads each configured copy as `secret import` does, and drops the values.
fn check_copies(report: &mut Report, secret: &Secret) {
    let name = format!("{}: copies", secret.name);
    let Some(gathered) = ok_or_report(report, &name, gather(secret, None)) else { return };
    let is_userlist = |line: &&String| {
        let mut copies = secret.consumers.iter().flat_map(|consumer| &consumer.reads);
        copies.any(|copy| {
            matches!(copy.place, Place::Userlist { .. }) && line.starts_with(&copy.place.to_string())
        })
    };
    let (lists_not_read, bad): (Vec<&String>, Vec<&String>) = gathered.not_read.iter().partition(is_userlist);
    let exists = |line: &&&String| {
        let mut copies = secret.consumers.iter().flat_map(|consumer| &consumer.reads);
        // A missing file was reported with its consumer.
        copies.any(|copy| copy.place.path().is_file() && line.starts_with(&copy.place.to_string()))
    };
    for line in bad.iter().filter(exists) {
        report.bad(&name, (*line).clone(), "correct `reads` in keyroll.toml, or write the value there");
    }
    for line in lists_not_read {
        report.note(&name, line.clone());
    }
}

fn check_consumer(report: &mut Report, name: &str, consumer: &Consumer, unserved: Vec<(String, String)>) {
    let copies = consumer.reads.iter().map(|copy| copy.place.path()).filter(|path| !path.is_file());
    let copies = copies.map(|path| {
        let why = format!("its copy {} does not exist", path.display());
        (why, "correct `reads` in keyroll.toml, or create the file".to_owned())
    });
    let programs = missing(consumer).into_iter().map(|one| (format!("{}: {}", one.what, one.why), one.help));
    let faults: Vec<(String, String)> = copies.chain(programs).chain(unserved).collect();
    for (why, help) in &faults {
        report.bad(name, why.clone(), help);
    }
    if faults.is_empty() {
        let copies = match consumer.reads.len() {
            0 if consumer.follows => "it reads the store itself; its programs exist".to_owned(),
            0 => "keyroll serve gives its value out; its user and its program exist".to_owned(),
            1 => "its copy and its programs exist".to_owned(),
            several => format!("its {several} copies and its programs exist"),
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
        report.note(name, format!("its log {log} does not exist: refused calls in it are not visible"));
    }
}
