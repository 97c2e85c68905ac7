//! How the roll of a plan is paced, as text.

use std::collections::BTreeMap;

use keyroll_config::{Canary, Consumer, LOCAL, Roll, Secret};
use keyroll_rotation::{Overlap, Plan, ReloadMode};

use crate::operator::duration;

/// The canary, the waves and the pause, as far as the configuration asks for them.
pub(crate) fn pace(overlap: Overlap, secret: &Secret) -> Vec<String> {
    let Roll { canary, bake, ask, pause_between, .. } = secret.roll;
    let watched = (canary != Canary::Consumer || ask || !bake.is_zero()).then(|| canary_line(secret));
    let pause = (!pause_between.is_zero()).then(|| {
        format!("pause: {} between instances and consumers", duration(pause_between.as_secs().max(1)))
    });
    let elsewhere = hosts(secret, overlap != Overlap::None);
    let lines: Vec<String> = watched.into_iter().chain(waves(secret)).chain(pause).collect();
    if overlap != Overlap::None || lines.is_empty() {
        return elsewhere.into_iter().chain(lines).collect();
    }
    let why = "the new key revokes the old one at once, so every consumer is moved without a wait";
    vec![format!("not paced: {why}; `roll` and `wave` of keyroll.toml do not apply")]
}

/// The hosts, if there is another one than this machine, and how many of one wave are moved at the same time if the roll is
/// paced.
fn hosts(secret: &Secret, paced: bool) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for consumer in &secret.consumers {
        let name = consumer.machine();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    match all.as_slice() {
        [] | [LOCAL] => None,
        [one] => Some(format!("host: {one}")),
        all if paced => Some(format!("hosts: {}, {}", all.join(", "), at_once(secret.roll.hosts_at_once))),
        all => Some(format!("hosts: {}", all.join(", "))),
    }
}

/// How many hosts are moved at the same time.
fn at_once(hosts: u16) -> String {
    match hosts {
        0 | 1 => "one at a time".to_owned(),
        hosts => format!("up to {hosts} at a time"),
    }
}

/// What is moved first, and what happens before anything else is moved.
fn canary_line(secret: &Secret) -> String {
    let watched = match secret.roll.bake {
        bake if bake.is_zero() => String::new(),
        bake => format!("; then watched for {}", duration(bake.as_secs().max(1))),
    };
    let asked = if secret.roll.ask { "; then you are asked" } else { "" };
    format!("canary: {}{watched}{asked}", who(secret))
}

fn who(secret: &Secret) -> String {
    let place = |consumer: &&Consumer| (consumer.is_pull(), consumer.wave);
    let Some(first) = secret.consumers.iter().min_by_key(place) else { return String::new() };
    let same = |other: &&Consumer| place(other) == place(&first) && other.host == first.host;
    match secret.roll.canary {
        Canary::Instance if has_steps(first) => format!("{}, its first instance alone", first.name),
        Canary::Instance | Canary::Consumer => format!("{} alone", first.name),
        Canary::Host => match names(secret.consumers.iter().filter(same)) {
            all if all.contains(", ") => format!("{all}, one after the other"),
            one => format!("{one} alone"),
        },
    }
}

/// Whether its instances are moved one after the other.
fn has_steps(consumer: &Consumer) -> bool {
    let workload = consumer.runs.workload();
    consumer.runs.instances().len() > 1 && workload.needs_reload() && !workload.is_job()
}

/// The consumers of each wave, if there are several waves.
fn waves(secret: &Secret) -> Option<String> {
    let mut waves: BTreeMap<u8, Vec<&Consumer>> = BTreeMap::new();
    for consumer in &secret.consumers {
        waves.entry(consumer.wave).or_default().push(consumer);
    }
    let shown = waves.iter().map(|(wave, all)| format!("{wave} ({})", names(all.iter().copied())));
    (waves.len() > 1).then(|| format!("waves: {}", shown.collect::<Vec<_>>().join(", then ")))
}

fn names<'a>(consumers: impl Iterator<Item = &'a Consumer>) -> String {
    consumers.map(|consumer| consumer.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The shortest time that the pace adds, milliseconds. The first pause may lie within the wait for the canary, and consumers
/// that move at the same time share their pauses.
pub(crate) fn least_ms(plan: &Plan) -> u64 {
    let Some(roll) = plan.policy.roll.filter(|_| plan.capabilities.overlap != Overlap::None) else {
        return 0;
    };
    let moves = plan.consumers.iter().map(|consumer| match consumer.uptake {
        ReloadMode::Verb => u64::from(consumer.slots),
        ReloadMode::Rereads | ReloadMode::AtRest => 1,
    });
    let pauses = match plan.policy.parallel_max {
        0 | 1 => moves.sum::<u64>().saturating_sub(if roll.bake_ms > 0 || roll.ask { 2 } else { 1 }),
        _ => 0,
    };
    roll.bake_ms.saturating_add(roll.pause_ms.saturating_mul(pauses))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    const OVERLAP: Overlap = Overlap::Independent { max: 0 };

    /// The pace of these consumers, each with its further lines; `roll` = the keys of the table.
    fn lines(overlap: Overlap, roll: &str, consumers: &[(&str, &str)]) -> Vec<String> {
        let one = |(name, lines): &(&str, &str)| {
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\nreads = {{ file = \"./{name}\" }}\n\
                 runs = {{ restart = [\"./r\", \"{{instance}}\"], instances = [\"a\", \"b\"], \
                 pid_file = \"./{name}-{{instance}}.pid\" }}\n{lines}"
            )
        };
        let consumers: String = consumers.iter().map(one).collect();
        let text = format!(
            "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[secrets.acme.roll]\n{roll}{consumers}"
        );
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        pace(overlap, config.secret("acme").unwrap())
    }

    #[test]
    fn what_is_not_configured_is_not_said() {
        assert_eq!(lines(OVERLAP, "", &[("api", ""), ("web", "")]), [] as [&str; 0]);
        assert_eq!(lines(OVERLAP, "", &[("api", "wave = 3\n")]), [] as [&str; 0], "one wave");
        assert_eq!(lines(Overlap::None, "", &[("api", "")]), [] as [&str; 0]);
    }

    #[test]
    fn the_canary_is_the_first_of_the_lowest_wave() {
        let roll = "canary = \"instance\"\nbake = \"10m\"\nask = true\npause_between = \"30s\"\n";
        let all = lines(OVERLAP, roll, &[("web", "wave = 1\n"), ("api", ""), ("job", "")]);
        let expected = [
            "canary: api, its first instance alone; then watched for 10 min; then you are asked",
            "waves: 0 (api, job), then 1 (web)",
            "pause: 30 s between instances and consumers",
        ];
        assert_eq!(all, expected);
        let host = "canary = \"host\"\n";
        let all = lines(OVERLAP, host, &[("web", "wave = 1\n"), ("api", ""), ("job", "")]);
        assert_eq!(all[0], "canary: api, job, one after the other");
        let fetch = "fetch = [\"./get\"]\n";
        let all = lines(OVERLAP, "ask = true\n", &[("web", fetch), ("api", "")]);
        assert_eq!(all, ["canary: api alone; then you are asked"], "what fetches comes after the others");
    }

    #[test]
    fn the_hosts_are_named_with_how_many_are_moved_at_once() {
        let hosts = "host = \"web-2\"\n[defaults]\nmax_parallel = 4\n\
                     [hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv\"\n\
                     [hosts.web-2]\nconnect = \"ssh://web-2\"\nfolder = \"/srv\"\n";
        let both = [("api", "host = \"web-1\"\n"), ("web", hosts)];
        assert_eq!(lines(OVERLAP, "", &both), ["hosts: web-1, web-2, one at a time"]);
        let all = lines(OVERLAP, "hosts_at_once = 2\n", &both);
        assert_eq!(all, ["hosts: web-1, web-2, up to 2 at a time"]);
        let here = [("api", ""), ("web", hosts)];
        let all = lines(OVERLAP, "hosts_at_once = 4\n", &here);
        assert_eq!(all, ["hosts: local, web-2, up to 4 at a time"]);
        assert_eq!(lines(OVERLAP, "", &[("web", hosts)]), ["host: web-2"]);
        let unpaced = lines(Overlap::None, "hosts_at_once = 2\n", &both);
        assert_eq!(unpaced, ["hosts: web-1, web-2"], "nothing is paced there");
    }

    #[test]
    fn a_key_that_ends_the_old_one_at_once_is_not_paced() {
        let all = lines(Overlap::None, "bake = \"10m\"\n", &[("api", "wave = 1\n"), ("web", "")]);
        assert!(all.len() == 1 && all[0].starts_with("not paced: "), "{all:?}");
    }
}
