use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_inventory::{Inventory, Meant, NotMeant};
use keyroll_trace::{SurveyedSecret, ValueId};

use crate::problem::Problem;

/// Refuses a path that does not exist, before anything is inspected.
pub fn refuse_missing(word: &str) -> Result<(), Problem> {
    keyroll_inventory::refuse_missing(word).map_err(|not| not_meant(not, word))
}

/// What a word on the command line means after memory was searched; `before` are the values that it meant then.
pub fn resolve_again<'s>(
    seen: &'s Inventory,
    typed: &'s str,
    before: &BTreeSet<ValueId>,
) -> Result<Meant<'s>, Problem> {
    keyroll_inventory::resolve_again(seen, typed, before).map_err(|not| not_meant(not, typed))
}

/// The secret that is meant.
pub fn secret<'s>(seen: &'s Inventory, word: &str) -> Result<&'s SurveyedSecret, Problem> {
    keyroll_inventory::secret(seen, word).map_err(|not| not_meant(not, word))
}

/// Why a word means nothing, and what to do. It does not repeat the word: it may be a value.
fn not_meant(not: NotMeant, word: &str) -> Problem {
    let problem = || Problem::new(Code::NameNotFound, "find the secret");
    match not {
        NotMeant::NoFile(why) => Problem::new(Code::NameNotFound, "find the file")
            .because(why)
            .help("keyroll trace SECRET lists every file that holds it"),
        NotMeant::Unknown { names } => {
            let near = keyroll_config::nearest(word, names.iter().map(String::as_str));
            let near = near.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
            problem()
                .because("no secret, process or file has this name")
                .help(format!("{near}keyroll scan lists all names"))
        }
        NotMeant::Several { names } => problem()
            .because("several secrets have this name")
            .help(format!("name one of {}", names.join(", "))),
    }
}
