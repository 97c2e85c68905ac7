//! The procedure for a leaked key, from the configuration: for paper, and for somebody who has only curl.

use std::fmt::Write as _;
use std::path::Path;

use keyroll_config::{Check, Config, Consumer, IssuerRef, Secret};
use keyroll_manager::{AppliedBy, Workload};

use crate::configured::{host_flags, place_of};
use crate::installation::{Installation, alias_of};
use crate::plans::verbs::applied_by;
use crate::problem::Problem;
use crate::session::manual_steps::Steps;
use crate::shell_words::quoted;
use crate::wiring::issuer::{Described, described};

/// The minutes of each step: assess, make a new key, store, reload, verify, revoke; and afterwards.
pub(crate) const MINUTES: [u32; 7] = [2, 1, 2, 1, 2, 2, 15];

/// The procedure for this secret.
///
/// # Errors
/// The configuration cannot be read, or has no such secret.
pub fn runbook(name: &str, installation: &Installation) -> Result<String, Problem> {
    let config = installation.config()?;
    let secret = crate::configured::secret(&config, name)?;
    let described = described(secret)?;
    let (folder, words) = installation.called()?;
    let alias = alias_of(&words).map(|alias| format!("; {alias}")).unwrap_or_default();
    let begin = format!("cd {}{alias}", quoted(&folder.display().to_string()));
    Ok(text(secret, &config, &described, &begin))
}

fn text(secret: &Secret, config: &Config, described: &Described, begin: &str) -> String {
    let name = &secret.name;
    let mut page = format!("LEAKED KEY: {name}\n\n");
    let owner = secret.owner.as_deref().unwrap_or("nobody is configured: set `owner` in keyroll.toml");
    let _ = writeln!(page, "owner         {owner}");
    let _ = writeln!(
        page,
        "trigger       the key stands in a repository, log, chat or ticket; an alert of a scanner or the issuer; a bill that is too high; a lost machine"
    );
    let restarts: Vec<String> = secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect();
    let _ = writeln!(page, "restart path  keyroll, and nothing beside it: {}", restarts.join(", "));
    let _ = writeln!(page, "begin with    {begin}");
    let total: u32 = MINUTES.iter().take(6).sum();
    let _ = writeln!(page, "time          {total} minutes to a dead key, then 15 for what follows\n");
    for (at, (title, lines)) in (1..).zip(steps(secret, config, described)) {
        let minutes = MINUTES.get(at - 1).copied().unwrap_or_default();
        let _ = writeln!(page, "{at}. {title} ({minutes} min)");
        for line in lines {
            let _ = writeln!(page, "{}", if line.is_empty() { String::new() } else { format!("   {line}") });
        }
        page.push('\n');
    }
    page
}

type Step = (&'static str, Vec<String>);

fn steps(secret: &Secret, config: &Config, described: &Described) -> Vec<Step> {
    let name = &secret.name;
    let new = made(secret, described);
    let ends = match secret.emergency_revoke {
        true => {
            "the configuration consents: step 3 revokes the old key by itself (emergency_revoke)".to_owned()
        }
        false => format!("keyroll resume ROTATION --confirm={name}      ROTATION stands in the answer"),
    };
    vec![
        ("ASSESS", vec![
            "[ ] write down the time of the alert, and who works on it".to_owned(),
            format!("[ ] keyroll why {name}        which copy wins, and which process uses which key"),
        ].into_iter().chain(there(secret, "why", "the same on the other machines")).chain([
            format!("[ ] keyroll incident open {name}; keyroll incident assess      alive? used by whom? exposed since when?"),
            "[ ] what stops if it is revoked now:".to_owned(),
        ]).chain(secret.consumers.iter().map(|one| consumer(one, secret))).collect()),
        ("NEW KEY", new),
        ("STORE IT, AND MOVE EVERY CONSUMER", sent(secret, config, described)),
        ("RELOAD", vec![
            "[ ] nothing to do by hand: one consumer first, then all others; each is proven before it counts".to_owned(),
            "[ ] \"rolling\", or no answer: send the same request again, it does not begin twice; or keyroll status -w".to_owned(),
            "[ ] \"waiting\": `why` says for what, `next` is the command; then send the same request again".to_owned(),
            "[ ] an answer with `detail`: it says why, and nothing was begun; 429 and 503: try again after the seconds of Retry-After".to_owned(),
        ]),
        ("VERIFY", verified(secret)),
        ("REVOKE, AND SEE IT DEAD", vec![format!("[ ] {ends}")].into_iter().chain(ended(described)).chain(vec![
            format!("[ ] keyroll verify {name}     the old version is dead, the current one alive"),
            "[ ] the issuer's console: the old key is gone from its list".to_owned(),
        ]).collect()),
        ("AFTERWARDS", vec![
            format!("[ ] keyroll leaks . --known     where else the old value stands"),
        ].into_iter().chain(there(secret, "trace", "the same on the other machines")).chain([
            "[ ] keyroll incident report > incident.md      the clock of each step, residues, tasks".to_owned(),
            "[ ] the issuer's usage page: calls that were not yours, from the exposure to the revocation".to_owned(),
            "[ ] how it leaked, and what keeps it from leaking so again".to_owned(),
        ]).collect()),
    ]
}

fn made(secret: &Secret, described: &Described) -> Vec<String> {
    match &described.spec {
        None if secret.issuer == IssuerRef::AwsAccessKey => {
            vec!["[ ] nothing to do: keyroll makes the key by AWS's API (leave `new_value` out)".to_owned()]
        }
        None => vec!["[ ] nothing to do: keyroll chooses the password itself".to_owned()],
        Some(spec) if spec.by_hand().is_none() => vec![
            "[ ] nothing to do: keyroll makes the key by the issuer's API (leave `new_value` out)".to_owned(),
            "[ ] or make one at the issuer's console, and send it".to_owned(),
        ],
        Some(spec) => {
            let steps = Steps::of(Some(spec)).mint;
            let lines = steps.lines().map(|line| line.trim_end().to_owned());
            lines
                .enumerate()
                .map(|(at, line)| if at == 0 { format!("[ ] {line}") } else { format!("  {line}") })
                .chain(["[ ] keep it in a file: umask 077; cat > new.key, paste it, press Enter and Ctrl-D"
                    .to_owned()])
                .collect()
        }
    }
}

/// Where the API does not end keys, a person does it.
fn ended(described: &Described) -> Vec<String> {
    let Some(spec) = described.spec.as_ref().filter(|spec| !spec.revokes()) else { return Vec::new() };
    let steps = Steps::of(Some(spec)).revoke;
    let mut lines: Vec<String> = steps.lines().map(|line| format!("    {}", line.trim_end())).collect();
    if let Some(first) = lines.first_mut() {
        *first = format!("[ ] {}", first.trim_start());
    }
    lines.push(
        "[ ] keyroll resume --revoked-by-hand     keyroll then sees that the issuer refuses it".to_owned(),
    );
    lines
}

fn sent(secret: &Secret, config: &Config, described: &Described) -> Vec<String> {
    let name = &secret.name;
    let brings = described.spec.as_ref().is_some_and(|spec| spec.by_hand().is_some());
    let mut lines = Vec::new();
    match &config.server {
        Some(server) => {
            let url = format!("http://{}", server.listen);
            lines.push(
                "[ ] with curl, on this machine; admin.token is the file of your admin token:".to_owned(),
            );
            lines.push(
                "      umask 077; (printf 'X-Admin-Token: '; cat admin.token) > admin.header".to_owned(),
            );
            let body = match brings {
                true => format!(
                    "printf '{{\"secret_name\": \"{name}\", \"new_value\": \"%s\"}}' \"$(cat new.key)\" |"
                ),
                false => format!("echo '{{\"secret_name\": \"{name}\"}}' |"),
            };
            lines.push(format!("      {body}"));
            lines.push(format!("        curl {url}/rotate-secret -H @admin.header --data-binary @-"));
            lines.push(format!("      curl {url}/secret-status -H @admin.header"));
            lines.push("[ ] or at a terminal:".to_owned());
        }
        None => lines.push("[ ] at a terminal:".to_owned()),
    }
    let value = if brings { " --value-file new.key" } else { "" };
    lines.push(format!("      keyroll emergency {name}{value}"));
    lines.push("    the issuer is asked first: a key that it refuses reaches no consumer".to_owned());
    if brings {
        lines.push(
            "[ ] after \"rotated\" or \"rolling\": rm new.key, which the next search would find as a copy"
                .to_owned(),
        );
    }
    lines
}

fn consumer(consumer: &Consumer, secret: &Secret) -> String {
    let name = named(consumer);
    if consumer.follows {
        return format!("      {name} reads {} itself: {}", secret.store, restarted(consumer));
    }
    let places: Vec<String> = consumer.reads.iter().map(|copy| place_of(consumer, copy)).collect();
    format!("      {name} reads {}", places.join(" and "))
}

/// Its name, with its host if that is another machine or a cluster. The name of one on several machines has it already.
fn named(consumer: &Consumer) -> String {
    let (name, host) = (&consumer.name, &consumer.host);
    match consumer.is_here || name.as_str().ends_with(&format!("@{host}")) {
        true => name.to_string(),
        false if consumer.in_cluster.is_some() => format!("{name} in {host}"),
        false => format!("{name} on {host}"),
    }
}

/// One line that looks at the hosts of other consumers, if there are any: without `--host` a command looks at this machine.
fn there(secret: &Secret, command: &str, why: &str) -> Option<String> {
    let hosts = secret.other_hosts();
    let flags = host_flags(&hosts);
    (!hosts.is_empty()).then(|| format!("[ ] keyroll {command} {}{flags}        {why}", secret.name))
}

/// What makes a consumer that reads the store itself take another value.
fn restarted(consumer: &Consumer) -> String {
    let workload = consumer.runs.workload();
    if workload.is_job() {
        return "its next run takes what the store gives out".to_owned();
    }
    if !workload.needs_reload() {
        return "it reads the store again by itself".to_owned();
    }
    let instances = consumer.runs.instances().iter();
    match instances.map(|one| restart(consumer, one.workload.as_ref())).collect::<Option<Vec<String>>>() {
        Some(commands) => format!("restart it with {}", commands.join("; ")),
        None => "restart it".to_owned(),
    }
}

/// The command that restarts an instance, where it is one.
fn restart(consumer: &Consumer, workload: &dyn Workload) -> Option<String> {
    match applied_by(consumer, workload)? {
        AppliedBy::Command(line) => Some(line),
        AppliedBy::Request(_) | AppliedBy::Nothing(_) => None,
    }
}

fn verified(secret: &Secret) -> Vec<String> {
    let name = &secret.name;
    let mut lines = vec![
        "[ ] the answer says \"status\":\"rotated\", and `moved` equals `of`".to_owned(),
        "[ ] `still_on_old` is empty; each entry is a process or a file that nobody declared".to_owned(),
        format!("[ ] keyroll why {name}        no process is called stale"),
    ];
    lines.extend(there(secret, "why", "nor on the other machines"));
    for consumer in &secret.consumers {
        let checks = consumer.check.iter().chain(consumer.paths.iter().map(|path| &path.check));
        let own = consumer.follows.then_some(Path::new("FILE"));
        let copy = consumer.reads.first().map(|copy| copy.place.path()).or(own);
        for argv in checks.filter_map(Check::command) {
            let words = argv.fill("INSTANCE", None, copy);
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            // The command is one of the container.
            let within = consumer.in_cluster.as_ref().map(|pods| format!(", in a pod of {}", pods.object()));
            let within = within.unwrap_or_default();
            lines.push(format!("[ ] a real call of {}{within}: {}", named(consumer), words.join(" ")));
            if consumer.follows && argv.uses("copy") {
                lines.push(
                    "      FILE has the value that the store gives out, and mode 0600; delete it after the call".to_owned(),
                );
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret `acme` with one consumer that reads the store itself.
    fn follower(runs: &str) -> Config {
        let text = format!(
            "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"vault:kv/acme#key\"\n\
             [[secrets.acme.consumers]]\nname = \"app\"\nruns = {runs}\nreads = \"store\"\n\
             check = {{ exec = [\"./check.sh\", \"{{copy}}\"] }}\n"
        );
        Config::parse(&text, "/srv/keyroll.toml").unwrap()
    }

    #[test]
    fn what_reads_the_store_itself_has_its_restart_in_place_of_a_copy() {
        for (runs, how) in [
            ("{ unit = \"app.service\" }", "restart it with systemctl restart app.service"),
            (
                "{ unit = \"app.service\", user = \"ada\" }",
                "restart it with systemctl --user --machine=ada@ restart app.service",
            ),
            (
                "{ restart = [\"./r\", \"{instance}\"], instances = [\"a\", \"b\"], pid_file = \"./{instance}\" }",
                "restart it with /srv/r a; /srv/r b",
            ),
            (
                "{ compose = \"./shop\", service = \"web\" }",
                "restart it with docker compose --project-directory /srv/shop up --detach --no-deps --no-build --pull never \
                 --force-recreate web",
            ),
            ("{ rereads = true, process = \"/bin/app\" }", "it reads the store again by itself"),
            ("{ at_rest = true }", "its next run takes what the store gives out"),
        ] {
            let config = follower(runs);
            let secret = config.secret("acme").unwrap();
            let line = consumer(&secret.consumers[0], secret);
            assert_eq!(line, format!("      app reads vault:kv/acme#key itself: {how}"), "{runs}");
            let lines = verified(secret);
            assert!(
                lines.contains(&"[ ] a real call of app: /srv/check.sh FILE".to_owned())
                    && lines.iter().any(|line| line.contains("FILE has the value")),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn what_is_on_another_machine_is_named_with_it_and_looked_at_there() {
        let text = "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/app\"\n\
                    [secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n\
                    hosts = [\"web-1\"]\nruns = { unit = \"api.service\" }\nreads = { file = \"./key\" }\n\
                    check = { exec = [\"./check.sh\", \"{copy}\"] }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        assert_eq!(consumer(&secret.consumers[0], secret), "      api@web-1 reads web-1:/srv/app/key");
        let lines = verified(secret);
        let has = |text: &str| lines.iter().any(|line| line.starts_with(text));
        assert!(has("[ ] keyroll why acme --host web-1 "), "{lines:?}");
        assert!(has("[ ] a real call of api@web-1: /srv/app/check.sh /srv/app/key"), "{lines:?}");
        let text = "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                    [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\nruns = { deployment = \"agent\" }\n\
                    reads = { secret = \"s\", key = \"k\" }\ncheck = { exec = [\"./probe\"] }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        assert_eq!(consumer(&secret.consumers[0], secret), "      agent in prod reads prod:secret/s k");
        let lines = verified(secret);
        let has = |text: &str| lines.iter().any(|line| line.starts_with(text));
        assert!(has("[ ] keyroll why acme --host prod "), "{lines:?}");
        assert!(has("[ ] a real call of agent in prod, in a pod of deployment/agent: ./probe"), "{lines:?}");
        let here = follower("{ unit = \"app.service\" }");
        assert_eq!(there(here.secret("acme").unwrap(), "why", ""), None);
    }
}
