use std::collections::BTreeSet;

use keyroll_observe::After;
use keyroll_trace::{Basis, Chain, LinkRole, Memory, Row, SurveyedSecret, ValueId, Verdict};

use crate::cause::{doubt, source};
use crate::look::Inventory;

/// What a verdict rests on, one sentence each: what the process holds, where a new start would take the value from, and
/// which of the two is older.
pub(crate) fn grounds(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>) -> Vec<String> {
    let labels = |all: &BTreeSet<ValueId>| {
        let all: Vec<String> = all.iter().map(|id| seen.label(found, *id)).collect();
        if all.is_empty() { "none of the values".to_owned() } else { all.join(" and ") }
    };
    let mut all = vec![match &row.held.start {
        Some(start) => format!("its start environment has {}", labels(start)),
        None => "its start environment is not visible".to_owned(),
    }];
    all.push(match &row.held.memory {
        Memory::Whole(found) => format!("its memory was searched completely and has {}", labels(found)),
        Memory::InPart(found) => format!("its memory was searched in part and has {}", labels(found)),
        Memory::NotSearched => "its memory was not searched".to_owned(),
        Memory::Closed => "its memory is not readable for this user".to_owned(),
        Memory::Common => "its memory shows nothing: a value is too common a word".to_owned(),
    });
    if !row.held.beside.is_empty() {
        let beside = labels(&row.held.beside);
        all.push(format!("it was started with {beside}, which need not be what it uses"));
    }
    if !row.held.read.is_empty() {
        all.push(format!("it has files open that hold {}", labels(&row.held.read)));
    }
    all.extend(next_start(seen, found, row));
    if let Verdict::Unknown(why) | Verdict::LikelyStale(why) = row.verdict {
        all.push(format!("no proof: {}", doubt(why)));
    }
    all
}

/// Where a new start takes the value from, what shows that, and whether the process is older.
fn next_start(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>) -> Vec<String> {
    let Some(link) = row.chain.and_then(Chain::likely) else {
        return vec!["where a new start takes the value from is not visible".to_owned()];
    };
    let has = link.value.map(|id| format!(" has {} now", seen.label(found, id))).unwrap_or_default();
    let basis = match (link.basis, link.role) {
        (Basis::Seen, _) => "its reader was seen",
        (Basis::Names, _) => "its other names agree with the environment of the process",
        (Basis::Likely, LinkRole::NotVisible(why)) => why,
        (Basis::Likely | Basis::Exported(_), _) => "nothing shows yet whether it was read",
    };
    let mut all = vec![format!("{}{has}: {basis}", source(link))];
    let Some(path) = link.place.as_ref().and_then(keyroll_trace::Place::file) else { return all };
    let made = row.user.service.and_then(|at| seen.survey.services.get(at)?.made.as_ref());
    let was = match link.basis {
        Basis::Likely => made.map_or("the process was started", |made| made.event),
        Basis::Seen | Basis::Names | Basis::Exported(_) => "the process was started",
    };
    all.extend(match seen.survey.given_after(&row.process, path, link) {
        After::Yes => Some(format!("{was} after the file's last change")),
        After::No => Some(format!("{was} before the file's last change")),
        After::Unknown => None,
    });
    all
}
