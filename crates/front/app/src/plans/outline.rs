//! A plan as text: the findings and the steps.

use std::collections::BTreeSet;

use keyroll_config::{Consumer, InCluster, Secret, StoreRef};
use keyroll_host::LOCAL;
use keyroll_port::Holder;
use keyroll_rotation::{Consumer as Unit, LastUsed, MintedBy, Overlap, Plan, Refusals, ReloadMode};

use super::Inspection;
use super::pace::least_ms;
use super::verbs::{fetches, verbs};
use crate::configured::{place_of, without_host};
use crate::operator::{DowntimeShown, Event, Operator, RollsBack, duration};
use crate::records::adopt_command::adopt_process;
use crate::records::blockers::described;
use crate::records::log_keeper::keeps_logs;
use crate::records::unseen::Unseen;
use crate::wiring::served::served_to;

/// Shows the notes, the undeclared processes, and what is not visible.
pub(crate) fn show_findings(found: &Inspection, operator: &mut dyn Operator) {
    for note in &found.notes {
        operator.note(note.clone());
    }
    let flag = found.saved.secret_flag();
    for holder in &found.holders {
        if let Some(host) = found.saved.hosts.get(holder.host.index()).filter(|_| holder.host != LOCAL) {
            operator.note(undeclared_there(host, without_host(&holder.name, host), holder) + &flag);
            continue;
        }
        // On this machine everything that runs is a process.
        let pid = holder.pid.unwrap_or_default();
        let moved = match keeps_logs(pid) {
            true => format!(
                "has lost it, or is waived in the rotation: it keeps logs and uses no key; keyroll consumer waive {pid} \
                 --reason WHY{flag}"
            ),
            false => format!("is moved: {}{flag}", adopt_process(pid, found.plan.capabilities.attributes)),
        };
        operator.note(format!(
            "undeclared {} holds the value: {}\n  keyroll does not revoke the old key before this process {moved}",
            described(pid).unwrap_or_else(|| format!("process {pid} ({})", holder.name)),
            holder.found_by,
        ));
    }
    if found.holders.iter().any(|holder| holder.pid.is_some()) {
        operator.note(only_holds(&found.saved.secret));
    }
    let mut shown = BTreeSet::new();
    for missed in &found.not_visible {
        let unseen = Unseen::of(missed, &|name| found.saved.host_id(name).is_some_and(|id| id != LOCAL));
        let what = unseen.named();
        if shown.insert(what.clone()) {
            operator.event(Event::NotVisible { what, why: unseen.why });
        }
    }
}

/// How a process that is no consumer stops holding up each rotation.
fn only_holds(secret: &str) -> String {
    format!(
        "a process that only holds the value and never uses it, such as a proxy or a log shipper, can be declared as a \
         bystander: [[secrets.{secret}.bystanders]] in keyroll.toml with name, reason, and unit or executable; \
         then keyroll plan {secret}"
    )
}

/// The note on an undeclared process or container of another host.
fn undeclared_there(host: &str, name: &str, holder: &Holder) -> String {
    let (what, it) = match holder.pid {
        Some(pid) => (format!("undeclared process {pid} ({name}) on {host}"), pid.to_string()),
        None => (format!("undeclared {name} on {host}"), name.to_owned()),
    };
    format!(
        "{what} holds the value: {}\n  keyroll does not revoke the old key before it has ended, or is waived in the rotation: \
         keyroll consumer waive {host}:{it} --reason WHY",
        holder.found_by
    )
}

/// The consumers with a downtime: those of [`alone`], and all if the new value revokes the old one at once.
pub(crate) fn downtimes(found: &Inspection, secret: &Secret) -> Vec<String> {
    match found.plan.capabilities.overlap {
        Overlap::None => secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect(),
        Overlap::Independent { .. } | Overlap::TwoSlots | Overlap::Grace { .. } => alone(secret),
    }
}

/// The consumers with a single instance, which have a downtime while they restart.
fn alone(secret: &Secret) -> Vec<String> {
    let downtime = |consumer: &&Consumer| has_downtime(consumer) && consumer.runs.instances().len() == 1;
    secret.consumers.iter().filter(downtime).map(|consumer| consumer.name.to_string()).collect()
}

/// Whether an instance is down while it takes the value. Where only another host shows that, it is assumed.
fn has_downtime(consumer: &Consumer) -> bool {
    let workload = consumer.runs.workload();
    (!consumer.is_here && workload.is_asked()) || workload.has_downtime()
}

/// The shortest and longest downtime of each: until the old process ends (its `drain`, or its manager's limit), and
/// then until the new one is ready, at most `unit_deadline`.
pub fn announced(secret: &Secret) -> Vec<DowntimeShown> {
    let single = alone(secret);
    let named = secret.consumers.iter().filter(|one| single.contains(&one.name.to_string()));
    let downtime = |consumer: &Consumer| {
        let drain = consumer.runs.drain.map_or(0, |drain| drain.as_secs());
        let most = drain
            .max(consumer.runs.workload().stop_grace().as_secs())
            .saturating_add(secret.deadlines.unit.as_secs());
        DowntimeShown {
            consumer: consumer.name.to_string(),
            announced_s: (0, most),
            measured_s: None,
            by: None,
        }
    };
    named.map(downtime).collect()
}

/// The present key is dead: nothing that happens is irreversible, since nothing works before it.
const RECOVERY: &str = "the present one is refused already: its consumers are cut off until each has moved, and there is no \
                        rollback";

/// How far the steps can be rolled back.
pub(crate) fn rolls_back(plan: &Plan) -> RollsBack {
    if plan.recovery {
        return RollsBack::Never;
    }
    match plan.capabilities.overlap {
        Overlap::Grace { .. } | Overlap::None => RollsBack::UntilIrreversible,
        Overlap::Independent { .. } | Overlap::TwoSlots if plan.bound => RollsBack::UntilIrreversible,
        Overlap::Independent { .. } | Overlap::TwoSlots => RollsBack::UntilLast,
    }
}

/// The steps as text. The last is irreversible, or the first if the issuer has one value at a time.
pub(crate) fn steps(found: &Inspection, secret: &Secret) -> Vec<String> {
    let plan = &found.plan;
    let seen = format!("see it accepted at {}", found.probed());
    let by_hand = plan.capabilities.minted_by == MintedBy::Human;
    if plan.recovery {
        return recovered(found, secret, seen);
    }
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
                format!(
                    "make the new key, WHICH REVOKES THE OLD ONE {life} later (IRREVERSIBLE, asks first)"
                ),
                seen,
            ]
        }
        Overlap::None => {
            vec![
                "make the new key, WHICH REVOKES THE OLD ONE AT ONCE (IRREVERSIBLE, asks first): a consumer \
                 has no working key until it has moved, and keyroll measures that downtime"
                    .to_owned(),
                seen,
            ]
        }
    };
    steps.extend(all_moved(&plan.consumers, secret));
    match plan.capabilities.overlap {
        Overlap::Independent { .. } | Overlap::TwoSlots => {
            steps.push("wait until every instance has proved the new key on every path".to_owned());
            if plan.capabilities.disable {
                let soak = duration(plan.policy.soak_ms / 1_000);
                steps.push(match plan.capabilities.refusals {
                    Refusals::IssuerLog | Refusals::ConsumerLogs => {
                        format!("disable the old key, and watch for refused calls for {soak}")
                    }
                    Refusals::NotVisible => {
                        format!("disable the old key for {soak}; refused calls are not visible")
                    }
                });
            }
            let end = match (plan.bound, plan.policy.standing_consent) {
                (false, _) => {
                    "wait until you have REVOKED the old key at the console (asks again), and see it refused"
                }
                (true, false) => "REVOKE the old key, and see it refused (IRREVERSIBLE, asks again)",
                (true, true) => {
                    "REVOKE the old key, and see it refused (IRREVERSIBLE, by the standing consent in \
                     keyroll.toml: asks only if something was waived)"
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

/// The steps where the issuer refuses the present key already. Source: `keyroll_rotation`, `OldKey::Ended`.
fn recovered(found: &Inspection, secret: &Secret, seen: String) -> Vec<String> {
    let make = match found.plan.capabilities.minted_by {
        MintedBy::Human => "wait for a new key, WHICH YOU MAKE at the issuer's console",
        MintedBy::Api | MintedBy::Us => "make a new key at the issuer",
    };
    let mut steps = vec![format!("{make}; {RECOVERY}"), seen];
    steps.extend(all_moved(&found.plan.consumers, secret));
    steps.push(
        "see every instance on the new key on every path, and the issuer still refuse the old one".to_owned(),
    );
    steps
}

/// How each consumer is moved. Consumers that fetch the value, or read the store themselves, follow the source of truth, where
/// that is not keyroll's own store.
fn all_moved(units: &[Unit], secret: &Secret) -> Vec<String> {
    let mut all: Vec<_> = secret.consumers.iter().zip(units).collect();
    all.sort_by_key(|(consumer, _)| consumer.wave);
    let all = all.into_iter();
    let step = |(consumer, unit): (&Consumer, &Unit)| moved(consumer, unit, secret);
    if secret.store == StoreRef::Keyroll {
        return all.map(step).collect();
    }
    let (pull, push): (Vec<_>, Vec<_>) = all.partition(|(consumer, _)| consumer.is_pull());
    let follow = pull.iter().filter(|(consumer, _)| consumer.follows);
    let names: Vec<&str> = follow.map(|(consumer, _)| consumer.name.as_str()).collect();
    let free = (!names.is_empty()).then(|| {
        format!(
            "from here on every start of these takes the new key, and every read of the store by them: {}; keyroll cannot hold \
             single instances back",
            names.join(", ")
        )
    });
    let staged = if secret.store.holds_pending() {
        format!("write it into {} beside the present version: nobody is given it yet", secret.store)
    } else {
        format!(
            "see that {} can be written; until it is, the new value is sealed in keyroll alone",
            secret.store
        )
    };
    let given_out =
        format!("let {} give it out; until the old key is revoked, a rollback takes that back", secret.store);
    let push = std::iter::once(staged).chain(push.into_iter().map(step));
    push.chain([given_out]).chain(free).chain(pull.into_iter().map(step)).collect()
}

/// How one consumer is moved, and which files are written: a line each, without indentation, which is for a screen alone.
fn moved(consumer: &Consumer, unit: &Unit, secret: &Secret) -> String {
    let name = &consumer.name;
    if let Some(pods) = &consumer.in_cluster {
        return format!("{name} in {}: {}", consumer.host, moved_in_cluster(pods, unit.uptake));
    }
    let verb = match unit.uptake {
        ReloadMode::Verb => reloaded(consumer, unit, secret),
        ReloadMode::Rereads if consumer.serves.is_some() => format!(
            "no restart: keyroll's socket gives it to {}{}",
            served_to(consumer),
            if consumer.trusts_word { "; ITS OWN WORD IS TRUSTED that it uses the new version" } else { "" }
        ),
        ReloadMode::Rereads if consumer.follows => {
            format!(
                "no restart: it reads {} again by itself, and keyroll waits at most {} for that",
                secret.store,
                duration(secret.deadlines.unit.as_secs())
            )
        }
        ReloadMode::Rereads => "nothing to run: it reads its file again by itself".to_owned(),
        ReloadMode::AtRest => "at rest: run its check in its own environment".to_owned(),
    };
    let writes = if consumer.fetch.is_some() { "its fetch writes" } else { "writes" };
    let mut lines: Vec<String> = fetches(consumer).into_iter().collect();
    lines.extend(consumer.reads.iter().map(|copy| format!("{writes} {}", place_of(consumer, copy))));
    if consumer.follows && unit.uptake != ReloadMode::Rereads {
        lines.push(format!("it reads {} itself", secret.store));
    }
    if unit.uptake == ReloadMode::Verb {
        lines.extend(verbs(consumer));
    }
    let lines: String = lines.iter().map(|line| format!("\n{line}")).collect();
    format!("{name}: {verb}{lines}")
}

/// What a command or a signal does with its instances.
fn reloaded(consumer: &Consumer, unit: &Unit, secret: &Secret) -> String {
    let name = consumer.name.to_string();
    if let Some(downtime) = announced(secret).into_iter().find(|downtime| downtime.consumer == name) {
        let (least, most) = downtime.announced_s;
        return format!("restart its only instance: DOWNTIME of {least} to {most} s, which keyroll measures");
    }
    let workload = consumer.runs.workload();
    // A signal makes no program read the store again.
    let verb = if consumer.follows || has_downtime(consumer) {
        "restart"
    } else if workload.starts_new_process() {
        "replace the workers of"
    } else {
        "reload"
    };
    match unit.slots {
        0 | 1 => format!("{verb} its only instance"),
        slots => format!("{verb} {slots} instances, one at a time"),
    }
}

/// How the pods of a consumer in a cluster take the value.
fn moved_in_cluster(pods: &InCluster, uptake: ReloadMode) -> String {
    let InCluster { secret, key, versioned, synced, canary, .. } = pods;
    let place = format!("secret/{secret} {key}");
    let written = match (synced, versioned) {
        (true, _) => format!("{place}: External Secrets writes it from the store"),
        (false, true) => format!("{place}: a Secret of its own for each version"),
        (false, false) => format!("write {place}"),
    };
    // Until then a node may give new pods the value of before.
    let later = if *versioned { "" } else { "30 s later " };
    let taken = match uptake {
        ReloadMode::Verb if *canary => format!(", {later}roll out {}, one pod first", pods.object()),
        ReloadMode::Verb => format!(", {later}roll out {}", pods.object()),
        ReloadMode::Rereads => "; its pods have it within 2 min".to_owned(),
        ReloadMode::AtRest => format!(", the next run of {} takes it", pods.object()),
    };
    format!("{written}{taken}")
}

/// The shortest wait, in seconds: the watch and the pauses of the roll; the idle window before Disable, if the issuer shows
/// the last use; and the soak.
pub(crate) fn least_s(found: &Inspection) -> u64 {
    let (can, policy) = (&found.plan.capabilities, &found.plan.policy);
    let rolled = least_ms(&found.plan);
    if can.exchanges() {
        return rolled / 1_000;
    }
    let idle = if matches!(can.last_used, LastUsed::PerKey { .. }) { policy.idle_ms } else { 0 };
    let soak = if can.disable { policy.soak_ms } else { 0 };
    rolled.saturating_add(idle).saturating_add(soak) / 1_000
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_rotation::{Delivery, HostId};

    use super::*;

    fn unit(delivery: Delivery, uptake: ReloadMode) -> Unit {
        let host = HostId(0);
        let (files, slots, paths) = (Vec::new(), 1, 1);
        Unit { host, delivery, uptake, files, slots, paths, attributable: false, own_word: false, wave: 0 }
    }

    #[test]
    fn what_an_undeclared_process_or_pod_of_a_host_is_waived_by_is_named() {
        let holder = |pid, name: &str| Holder {
            host: HostId(1),
            pid,
            name: name.to_owned(),
            found_by: "its memory holds v1".to_owned(),
            how_to_move: String::new(),
        };
        let process = undeclared_there("web-2", "mailer", &holder(Some(4711), "mailer on web-2"));
        assert!(
            process.starts_with("undeclared process 4711 (mailer) on web-2 holds the value"),
            "{process}"
        );
        assert!(process.ends_with("keyroll consumer waive web-2:4711 --reason WHY"), "{process}");
        let name = "pod/agent-6d5f-x2x1z/app";
        let pod = undeclared_there("prod", name, &holder(None, "pod/agent-6d5f-x2x1z/app on prod"));
        assert!(pod.starts_with("undeclared pod/agent-6d5f-x2x1z/app on prod holds the value"), "{pod}");
        assert!(pod.ends_with("keyroll consumer waive prod:pod/agent-6d5f-x2x1z/app --reason WHY"), "{pod}");
    }

    #[test]
    fn how_far_a_plan_is_rolled_back_follows_from_who_ends_the_old_key() {
        let far = |overlap, bound, recovery| {
            let mut plan = crate::records::walk::plan();
            plan.capabilities.overlap = overlap;
            (plan.bound, plan.recovery) = (bound, recovery);
            rolls_back(&plan)
        };
        let beside = Overlap::Independent { max: 0 };
        assert_eq!(far(beside, true, false), RollsBack::UntilIrreversible);
        assert_eq!(far(beside, false, false), RollsBack::UntilLast, "the operator ends it");
        assert_eq!(far(Overlap::TwoSlots, false, false), RollsBack::UntilLast);
        assert_eq!(far(Overlap::Grace { ms: 1_000 }, false, false), RollsBack::UntilIrreversible);
        assert_eq!(far(Overlap::None, true, false), RollsBack::UntilIrreversible);
        assert_eq!(far(beside, true, true), RollsBack::Never);
    }

    #[test]
    fn what_reads_the_store_is_restarted_and_not_signalled() {
        let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"vault:kv/acme#key\"\n\
                    [[secrets.acme.consumers]]\nname = \"app\"\nreads = \"store\"\n\
                    runs = { restart = [\"./r\", \"{instance}\"], instances = [\"a\", \"b\"], pid_file = \"./{instance}.pid\" }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let two = Unit { slots: 2, ..unit(Delivery::Follow, ReloadMode::Verb) };
        let secret = config.secret("acme").unwrap();
        let step = moved(&secret.consumers[0], &two, secret);
        assert_eq!(
            step,
            "app: restart 2 instances, one at a time\nit reads vault:kv/acme#key itself\nruns /srv/r a\nruns /srv/r b"
        );
    }

    #[test]
    fn what_is_done_with_one_instance_is_said_in_its_own_words() {
        let said = |runs: &str| {
            let text = format!(
                "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"app\"\n\
                 runs = {{ {runs} }}\nreads = {{ file = \"./key\" }}\n"
            );
            let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
            let secret = config.secret("acme").unwrap();
            moved(&secret.consumers[0], &unit(Delivery::Push, ReloadMode::Verb), secret)
        };
        let step = said("signal = \"HUP\", pid_file = \"./app.pid\"");
        assert!(step.starts_with("app: reload its only instance\nwrites "), "{step}");
        assert!(step.ends_with("\nsends SIGHUP to the process in /srv/app.pid"), "{step}");
        let step = said("master = \"./g.pid\"");
        assert!(step.starts_with("app: replace the workers of its only instance\n"), "{step}");
        let step = said("unit = \"app.service\"");
        assert!(step.starts_with("app: restart its only instance: DOWNTIME of "), "{step}");
        assert!(step.ends_with("\nruns systemctl restart app.service"), "{step}");
    }

    #[test]
    fn a_file_on_another_host_is_not_named_as_one_of_this_machine() {
        let text = "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/app\"\n\
                    [secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"app\"\n\
                    host = \"web-1\"\nruns = { unit = \"app.service\" }\nreads = { file = \"./key\" }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        let step = moved(&secret.consumers[0], &unit(Delivery::Push, ReloadMode::Rereads), secret);
        assert!(step.ends_with("\nwrites web-1:/srv/app/key"), "{step}");
    }

    #[test]
    fn a_consumer_in_a_cluster_is_moved_in_the_words_of_the_cluster() {
        for (runs, further, uptake, said) in [
            (
                "deployment = \"agent\"",
                "",
                ReloadMode::Verb,
                "write secret/anthropic-credentials api-key, 30 s later roll out deployment/agent",
            ),
            (
                "deployment = \"agent\", rereads = true",
                "trusts = \"rereads\"",
                ReloadMode::Rereads,
                "write secret/anthropic-credentials api-key; its pods have it within 2 min",
            ),
            (
                "deployment = \"agent\", canary = true",
                "",
                ReloadMode::Verb,
                "write secret/anthropic-credentials api-key, 30 s later roll out deployment/agent, one pod first",
            ),
            (
                "statefulset = \"agent\"",
                "synced = true",
                ReloadMode::Verb,
                "secret/anthropic-credentials api-key: External Secrets writes it from the store, 30 s later roll out statefulset/agent",
            ),
            (
                "deployment = \"agent\"",
                "versioned = true",
                ReloadMode::Verb,
                "secret/anthropic-credentials api-key: a Secret of its own for each version, roll out deployment/agent",
            ),
            (
                "cronjob = \"night\"",
                "",
                ReloadMode::AtRest,
                "write secret/anthropic-credentials api-key, the next run of cronjob/night takes it",
            ),
        ] {
            let text = format!(
                "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                 [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\nruns = {{ {runs} }}\n\
                 reads = {{ secret = \"anthropic-credentials\", key = \"api-key\" }}\n{further}\n"
            );
            let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
            let secret = config.secret("acme").unwrap();
            let step = moved(&secret.consumers[0], &unit(Delivery::Push, uptake), secret);
            assert_eq!(step, format!("agent in prod: {said}"));
            assert_eq!(alone(secret), Vec::<String>::new(), "a roll-out replaces pods one after the other");
        }
    }

    #[test]
    fn an_adapter_on_another_host_is_not_run_here() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // An adapter that leaves a trace, and gives no answer.
        let consumer = |name: &str| {
            let marker = at(name);
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\nreads = {{ file = \"./{name}.key\" }}\n\
                 runs = {{ exec = [\"touch\", \"{}\"] }}\n",
                marker.display()
            )
        };
        let head = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n";
        let text = [head, &consumer("near"), &consumer("far")].concat();
        let config = Config::parse(&text, &at("keyroll.toml").display().to_string()).unwrap();
        let mut secret = config.secret("acme").unwrap().clone();
        secret.consumers[1].is_here = false;
        assert_eq!(alone(&secret), ["near", "far"]);
        assert!(at("near").exists() && !at("far").exists());
    }

    /// The order of keyroll.toml is another one.
    #[test]
    fn what_reads_the_store_is_moved_after_the_store_gives_the_value_out() {
        let consumer = |lines: &str| format!("[[secrets.acme.consumers]]\n{lines}\n");
        let text = [
            "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"vault:kv/acme#key\"\n",
            &consumer("name = \"app\"\nruns = { unit = \"app.service\" }\nreads = \"store\""),
            &consumer("name = \"agent\"\nruns = { rereads = true, process = \"/bin/a\" }\nreads = \"store\""),
            &consumer("name = \"web\"\nruns = { unit = \"web.service\" }\nreads = { file = \"./key\" }"),
        ];
        let config = Config::parse(&text.concat(), "/srv/keyroll.toml").unwrap();
        let units = [
            unit(Delivery::Follow, ReloadMode::Verb),
            unit(Delivery::Follow, ReloadMode::Rereads),
            unit(Delivery::Push, ReloadMode::Verb),
        ];
        let steps = all_moved(&units, config.secret("acme").unwrap());
        let begin = [
            "see that vault:kv/acme#key can be written",
            "web: ",
            "let vault:kv/acme#key give it out",
            "from here on every start of these takes the new key",
            "app: restart ",
            "agent: no restart: it reads vault:kv/acme#key again by itself",
        ];
        assert_eq!(steps.len(), begin.len(), "{steps:#?}");
        for (step, begins) in steps.iter().zip(begin) {
            assert!(step.starts_with(begins), "{begins}: {steps:#?}");
        }
        assert!(steps[3].contains(": app, agent; keyroll cannot hold"), "{}", steps[3]);
        let own = "\nit reads vault:kv/acme#key itself\nruns systemctl restart app.service";
        assert!(steps[4].ends_with(own), "{}", steps[4]);
    }
}
