//! A plan in words: what was found, and the steps.

use std::collections::BTreeSet;

use keyroll_agents::{OpenClawHome, Takes};
use keyroll_config::{Apply, Consumer, Manager, Runs, Secret};
use keyroll_rotation::{Consumer as Unit, LastUsed, MintedBy, Overlap, Uptake};

use super::Found;
use crate::records::blocked::described;
use crate::ui::{Event, GapShown, Ui, duration};

/// What was seen beside the plan itself: remarks, unexplained holders, what could not be looked at.
pub(crate) fn show_findings(found: &Found, ui: &mut Ui) {
    for note in &found.notes {
        ui.note(note.clone());
    }
    for holder in &found.holders {
        ui.note(format!(
            "{} holds the value and nobody explains it: {}\n  the old key is not ended before it is moved: keyroll consumer adopt {} --name NAME --restart COMMAND",
            described(holder.pid).unwrap_or_else(|| format!("process {} ({})", holder.pid, holder.name)),
            holder.found_by,
            holder.pid
        ));
    }
    let mut shown = BTreeSet::new();
    for missed in &found.not_visible {
        let (what, why) = missed.split_once(": ").unwrap_or((missed.as_str(), ""));
        if shown.insert(what.to_owned()) {
            ui.event(Event::NotVisible { what: what.to_owned(), why: why.to_owned() });
        }
    }
}

/// The consumers that will not be there for a while: those that [`alone`] names, and all where the new value ends the
/// old one at once.
pub(crate) fn gaps(found: &Found, secret: &Secret) -> Vec<String> {
    match found.plan.capabilities.overlap {
        Overlap::None => secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect(),
        Overlap::Independent { .. } | Overlap::TwoSlots | Overlap::Grace { .. } => alone(secret),
    }
}

/// Those that are away while they restart: nothing stands in for a single instance.
fn alone(secret: &Secret) -> Vec<String> {
    let gap = |consumer: &&Consumer| {
        let restarts = match &consumer.runs {
            Runs::Process { apply, .. } => matches!(apply, Apply::Restart(_)),
            Runs::Unit { .. } | Runs::Compose { .. } => true,
            Runs::Container { apply, .. } => *apply != Some(Apply::Rereads),
            Runs::Managed { by: Manager::OpenClaw { state, provider, .. }, .. } => {
                let bound = OpenClawHome::at(state).bound(provider, None);
                bound.map_or(true, |bound| matches!(bound.takes, Takes::Restart | Takes::InPlace))
            }
            Runs::Managed { by, .. } => {
                !matches!(by, Manager::Cron(_) | Manager::Master { .. } | Manager::LiteLlm(_))
            }
            Runs::Timer { .. } | Runs::AtRest => false,
        };
        restarts && consumer.runs.instances().len() == 1
    };
    secret.consumers.iter().filter(gap).map(|consumer| consumer.name.to_string()).collect()
}

/// How long a manager lets a service take to end before it kills it, seconds, where nobody set it otherwise:
/// `DefaultTimeoutStopSec` of systemd, `docker stop`, `stopwaitsecs` of supervisord, `kill_timeout` of pm2.
fn grace_s(runs: &Runs) -> u64 {
    match runs {
        Runs::Unit { .. } => 90,
        Runs::Compose { .. } | Runs::Container { .. } => 10,
        Runs::Managed { by, .. } => match by {
            Manager::Supervisor { .. } => 10,
            Manager::Pm2 { .. } => 2,
            Manager::Exec(_) | Manager::Master { .. } | Manager::Cron(_) | Manager::LiteLlm(_) => 0,
            // It answers what it was asked before it ends (seen with 2026.9.6).
            Manager::OpenClaw { .. } => 315,
        },
        Runs::Process { .. } | Runs::Timer { .. } | Runs::AtRest => 0,
    }
}

/// For how long each of them may be away: until the old process has ended, which is its `drain` or what its manager
/// gives it, and then until the new one is ready, which has failed after `unit_deadline`.
pub(crate) fn announced(secret: &Secret) -> Vec<GapShown> {
    let single = alone(secret);
    let named = secret.consumers.iter().filter(|one| single.contains(&one.name.to_string()));
    let gap = |consumer: &Consumer| {
        let drain = consumer.runs.drain().map_or(0, |drain| drain.as_secs());
        let most = drain.max(grace_s(&consumer.runs)).saturating_add(secret.deadlines.unit.as_secs());
        GapShown { consumer: consumer.name.to_string(), announced_s: (0, most), measured_s: None, by: None }
    };
    named.map(gap).collect()
}

/// The steps in words. The last is the one that cannot be taken back, or, where the issuer has one value at a time, the
/// first.
pub(crate) fn steps(found: &Found, secret: &Secret) -> Vec<String> {
    let plan = &found.plan;
    let endpoints = &found.endpoints;
    let seen = format!("see it accepted at {}", endpoints.join(" and at "));
    let by_hand = plan.capabilities.minted_by == MintedBy::Human;
    let mut steps = match plan.capabilities.overlap {
        Overlap::Independent { .. } | Overlap::TwoSlots if by_hand => {
            let made =
                "wait for a second key, WHICH YOU MAKE at the issuer's console; both work from here on";
            vec![made.to_owned(), seen]
        }
        Overlap::Independent { .. } | Overlap::TwoSlots => {
            vec!["make a second key at the issuer; both work from here on".to_owned(), seen]
        }
        Overlap::Grace { ms } => {
            let life = duration(ms / 1_000);
            vec![
                format!("make the new key, WHICH ENDS THE OLD ONE {life} later (IRREVERSIBLE, asks first)"),
                seen,
            ]
        }
        Overlap::None => {
            vec![
                "make the new key, WHICH ENDS THE OLD ONE AT ONCE (IRREVERSIBLE, asks first): until a consumer has moved \
                 it has none that works, and the gap is measured"
                    .to_owned(),
                seen,
            ]
        }
    };
    steps.extend(
        secret.consumers.iter().zip(&plan.consumers).map(|(consumer, unit)| moved(consumer, unit, secret)),
    );
    match plan.capabilities.overlap {
        Overlap::Independent { .. } | Overlap::TwoSlots => {
            steps.push("wait until every instance has shown the new key on every path".to_owned());
            if plan.capabilities.disable {
                let soak = duration(plan.policy.soak_ms / 1_000);
                steps
                    .push(format!("switch the old key off, and watch for {soak} whether anybody is refused"));
            }
            let end = match (plan.bound, plan.policy.standing_consent) {
                (false, _) => {
                    "wait until you have ENDED the old key at the console (asks again), and see it refused"
                }
                (true, false) => "END the old key, and see it refused (IRREVERSIBLE, asks again)",
                (true, true) => {
                    "END the old key, and see it refused (IRREVERSIBLE, by the standing consent in keyroll.toml: asks only \
                     if something was waived)"
                }
            };
            steps.push(end.to_owned());
        }
        Overlap::Grace { .. } | Overlap::None => {
            steps.push("see every instance on the new key on every path, and the old one refused".to_owned());
        }
    }
    steps
}

/// How one consumer is moved, and what is written for it.
fn moved(consumer: &Consumer, unit: &Unit, secret: &Secret) -> String {
    let name = &consumer.name;
    let verb = match unit.uptake {
        Uptake::Verb => match announced(secret).into_iter().find(|gap| gap.consumer == name.to_string()) {
            Some(GapShown { announced_s: (least, most), .. }) => format!(
                "restart its only instance: IT IS NOT THERE MEANWHILE, for {least} to {most} s; the gap is measured"
            ),
            None => format!("restart or signal {} instances, one by one", unit.slots),
        },
        Uptake::Rereads => "no restart: it reads the file again".to_owned(),
        Uptake::AtRest => "nothing runs: its check is run in its own environment".to_owned(),
    };
    let files: Vec<String> =
        consumer.reads.iter().map(|copy| format!("\n     writes {}", copy.place)).collect();
    format!("{name}: {verb}{}", files.join(""))
}

/// What has to be waited for in any case, in seconds: the quiet before the old key is switched off, where the issuer
/// shows its use, and the time that it stays switched off.
pub(crate) fn least_s(found: &Found) -> u64 {
    let (can, policy) = (&found.plan.capabilities, &found.plan.policy);
    if matches!(can.overlap, Overlap::None | Overlap::Grace { .. }) {
        return 0;
    }
    let idle = if matches!(can.last_used, LastUsed::PerKey { .. }) { policy.idle_ms } else { 0 };
    let soak = if can.disable { policy.soak_ms } else { 0 };
    idle.saturating_add(soak) / 1_000
}
