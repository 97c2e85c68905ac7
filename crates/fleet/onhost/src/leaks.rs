//! Scans this machine for leaks. The values of the driver's store are searched for by their fingerprints.

use jiff::civil::Date;
use keyroll_codes::Code;
use keyroll_inventory::{Cleaner, LeakSource};
use keyroll_leak::Rules;
use keyroll_link::{End, LeaksCall, Note, Outbox, Picks, bytes_of, leak_items};
use keyroll_needle::FingerprintSet;
use keyroll_scanner::{Detector, KnownValues, Scan};
use keyroll_secret::FingerprintKey;
use zeroize::Zeroizing;

use crate::failed::{failed, failed_of, not_understood};

/// What is attempted.
const ATTEMPTED: &str = "scan for leaked secrets";

/// How much lower the priority of a scan is than that of what the host is there for.
const NICE: i32 = 10;

/// Which part of the progress is sent: once a second.
const SAID_EACH: u32 = 5;

/// Scans, and sends what was found.
pub(crate) fn leaks(call: LeaksCall, out: &mut Outbox<'_>) -> Result<(), End> {
    let (source, archives) = (call.source.clone(), call.archives);
    if matches!(source, LeakSource::Stdin | LeakSource::Staged { .. }) {
        return Err(not_understood("this source is not scanned on hosts"));
    }
    let today: Date = call.today.parse().map_err(|_| not_understood("the day has another form"))?;
    let detector = detector(call)?;
    source.reachable(true).map_err(|why| {
        let help = "name files and folders that exist on the host";
        failed(Code::SearchPathUnreadable, ATTEMPTED, why, Some(help.to_owned()))
    })?;
    // Where it is not allowed, the scan has the usual priority.
    let _ = rustix::process::nice(NICE);
    let cleaner = Cleaner::new(None);
    let clean = |text: &str| cleaner.pass(text).into_owned();
    let scan = Scan::new(&detector, today);
    let scan = if archives { scan } else { scan.without_archives() };
    let mut said = 0_u32;
    let mut progress = |text: &str| {
        if said.is_multiple_of(SAID_EACH) {
            out.note(Note::Progress(text.to_owned()));
        }
        said = said.wrapping_add(1);
    };
    let late = source.scan(&scan, &clean, &mut progress).err();
    let report = scan.finish();
    leak_items(report, detector.take_selected(), late).into_iter().for_each(|item| out.item(item));
    Ok(())
}

fn detector(call: LeaksCall) -> Result<Detector, End> {
    let LeaksCall { known, forms, identity, picks, prints, .. } = call;
    let key = |digits: String| {
        let digits = Zeroizing::new(digits);
        let bytes = bytes_of(&digits).map(Zeroizing::new);
        bytes.map(|bytes| FingerprintKey::new(&bytes)).ok_or_else(|| not_understood("a key has another form"))
    };
    let prints = prints.map(|text| FingerprintSet::from_bytes(Zeroizing::new(text).as_bytes())).transpose();
    let prints = prints.map_err(|error| {
        failed_of(Code::InternalError, "answer keyroll", &error, "report this with the message above")
    })?;
    let detector = Detector::new(KnownValues { prints, ..KnownValues::default() }, key(identity)?);
    let detector = match picks {
        Some(Picks { key: under, begins }) => detector.selecting(key(under)?, begins),
        None => detector,
    };
    if known {
        return Ok(detector);
    }
    let rules = Rules::shipped().map_err(|error| {
        failed_of(
            Code::SearchTargetUnknown,
            "read keyroll's own rules",
            &error,
            "report this with the message above",
        )
    })?;
    let detector = detector.with_rules(rules);
    Ok(if forms { detector } else { detector.with_names() })
}
