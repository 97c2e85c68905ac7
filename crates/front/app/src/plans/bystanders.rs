//! What a plan says about declared bystanders, and whether their declarations have changed since.

use keyroll_config::{Bystander, Config, Secret};
use keyroll_port::Looked;
use keyroll_setup::bystander_id;

use crate::records::saved_plan::Saved;

/// One note for each declared bystander: which of its processes may keep the value.
pub(super) fn notes(looked: &Looked, secret: &Secret) -> Vec<String> {
    let seen = &looked.enumeration;
    let note = |declared: &Bystander| {
        let id = bystander_id(declared);
        let its = seen.bystanders.iter().filter(|it| it.id == id).filter_map(|it| it.who.pid());
        let pids: Vec<String> = its.map(|pid| pid.to_string()).collect();
        let there = if declared.is_here { String::new() } else { format!(" on {}", declared.host) };
        let Bystander { name, reason, .. } = declared;
        match pids.as_slice() {
            [] => {
                format!("the declared bystander {name}{there}: no process of it was found to hold the value")
            }
            [pid] => may_keep(&format!("the declared bystander {name} (process {pid}){there}"), reason),
            [..] => {
                let pids = pids.join(", ");
                may_keep(&format!("the declared bystander {name} (processes {pids}){there}"), reason)
            }
        }
    };
    secret.bystanders.iter().map(note).collect()
}

fn may_keep(who: &str, reason: &str) -> String {
    format!("{who} holds the value, and does not hold up its end: {reason}")
}

/// That the configuration declares other bystanders than the plan. One that cannot be read changes nothing of the plan.
pub(crate) fn changed(saved: &Saved) -> Option<String> {
    let (then, now) = (saved.config().ok()?, Config::load(&saved.config_file).ok()?);
    let of = |config: &Config| config.secret(&saved.secret).ok().map(|secret| secret.bystanders.clone());
    let (before, after) = (of(&then)?, of(&now)?);
    (before != after).then(|| format!("keyroll.toml declares other bystanders of {}", saved.secret))
}
