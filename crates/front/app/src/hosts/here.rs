use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_config::LOCAL;
use keyroll_draft::report;
use keyroll_inventory::{
    Inventory, KnownSecrets, LookLimits, ScanShown, Watched, inspect, refuse_missing, resolve_again, secret,
    values_meant, why,
};
use keyroll_needle::Needles;
use keyroll_secret::Fingerprint;
use keyroll_trace::ValueId;

use super::known::Known;
use super::meant::{Answer, not_here};
use super::seen::{DraftReport, HostCall, HostReport, HostSeen};
use crate::inventory::cannot_search;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::redact;

/// Shows the operator how the inspection of this machine goes on.
struct Hearing<'o> {
    operator: &'o mut dyn Operator,
    scans: Vec<ScanShown>,
}

impl Watched for Hearing<'_> {
    fn progress(&mut self, text: &str) {
        self.operator.progress(&format!("{LOCAL}: {text}"));
    }

    fn scanned(&mut self, of: ScanShown) {
        self.scans.push(of);
    }

    fn waiting(&mut self, what: String, seconds_max: u64) {
        let what = format!("{what} on this machine");
        self.operator.event(Event::waiting(what, Some(seconds_max)));
    }

    fn found(&mut self, values: Option<Needles>) {
        redact::remember_found(values);
    }
}

/// What is asked about this machine.
pub(super) struct AskedHere<'a> {
    pub(super) call: &'a HostCall,
    /// The folders to search; the usual ones, if it is empty.
    pub(super) roots: &'a [PathBuf],
    pub(super) limits: &'a LookLimits,
}

/// What is seen on this machine; `known` then knows the labels of its values. With the answer, whether it has what was asked
/// about.
///
/// # Errors
/// This machine cannot be inspected, or the word means several secrets.
pub(super) fn look_here(
    asked: &AskedHere<'_>,
    known: &mut Known,
    secrets: KnownSecrets,
    operator: &mut dyn Operator,
) -> Result<(HostSeen, bool), Problem> {
    let AskedHere { roots, limits, .. } = *asked;
    let mut hearing = Hearing { operator, scans: Vec::new() };
    let mut seen = inspect(roots, limits, secrets, &mut hearing).map_err(|error| cannot_search(&error))?;
    let Answer { report, absent } = answer(asked, known, &mut seen, &mut hearing)?;
    let under: BTreeMap<ValueId, Fingerprint> = seen.survey.values.under(&known.key).into_iter().collect();
    let (mut prints, mut named) = (BTreeMap::new(), BTreeMap::new());
    for (id, here) in seen.prints() {
        let (Some(print), Some(value)) = (under.get(&id), seen.survey.values.get(id)) else { continue };
        known.shown_here(*print, &here);
        prints.insert(*print.as_bytes(), value.label(seen.digits).to_string());
    }
    for found in &seen.found {
        let own = found.values.iter().filter_map(|id| under.get(id));
        named.extend(own.map(|print| (*print.as_bytes(), found.name.clone())));
    }
    let (missed, refused) = (seen.missed(), seen.refused());
    let scans = hearing.scans;
    let (host, cluster) = (LOCAL.to_owned(), false);
    Ok((HostSeen { host, cluster, scans, prints, named, report, missed, refused }, absent))
}

fn answer(
    asked: &AskedHere<'_>,
    known: &Known,
    seen: &mut Inventory,
    hearing: &mut Hearing<'_>,
) -> Result<Answer, Problem> {
    let AskedHere { call, roots, limits } = *asked;
    match call {
        HostCall::Scan => {
            seen.memory(limits, hearing);
            Ok(Answer::of(HostReport::Scan(seen.scan())))
        }
        HostCall::Draft { secrets, folders } => {
            seen.memory(limits, hearing);
            let folder = folders.get(LOCAL).map_or(Path::new("/"), |folder| Path::new(folder));
            match report(seen, folder, roots, secrets) {
                Ok((drafts, left_out)) => {
                    let stored = known.stored();
                    Ok(Answer::of(HostReport::Draft(DraftReport { drafts, left_out, stored })))
                }
                Err(not) => not_here(call, not),
            }
        }
        HostCall::Trace { secret: name, evidence } => {
            // A wrong name is reported before the memory is searched.
            if let Err(not) = secret(seen, name) {
                return not_here(call, not);
            }
            seen.memory(limits, hearing);
            match secret(seen, name) {
                Ok(found) => Ok(Answer::of(HostReport::Trace(Some(seen.trace(found, *evidence))))),
                Err(not) => not_here(call, not),
            }
        }
        HostCall::Why { what } => {
            if let Err(not) = refuse_missing(what) {
                return not_here(call, not);
            }
            let before = values_meant(seen, what);
            seen.memory(limits, hearing);
            match resolve_again(seen, what, &before) {
                Ok(target) => Ok(Answer::of(HostReport::Why(why(seen, &target)))),
                Err(not) => not_here(call, not),
            }
        }
    }
}
