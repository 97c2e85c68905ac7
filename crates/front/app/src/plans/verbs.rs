//! How a consumer takes a value, in the words of a plan.

use keyroll_config::Consumer;
use keyroll_manager::{AppliedBy, CommandLine, Workload};

/// The most lines about one consumer: each of its instances may have a command of its own.
const LINES_MAX: usize = 4;

/// How an instance takes a value. `None`: the files of an agent say it, and they are on another machine.
pub(crate) fn applied_by(consumer: &Consumer, workload: &dyn Workload) -> Option<AppliedBy> {
    let is_hidden = !consumer.is_here && workload.agent_state().is_some();
    (!is_hidden).then(|| workload.applied_by())
}

/// What keyroll does to each instance, a clause each; the same one once.
pub(crate) fn verbs(consumer: &Consumer) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for instance in consumer.runs.instances() {
        let workload = instance.workload.as_ref();
        let lines = match applied_by(consumer, workload) {
            Some(by) => std::iter::once(by.text()).chain(workload.also_ends()).collect(),
            None => vec![format!("does what its own files on {} ask for", consumer.host)],
        };
        for line in lines {
            if !all.contains(&line) {
                all.push(line);
            }
        }
    }
    let more = all.len().saturating_sub(LINES_MAX);
    all.truncate(LINES_MAX);
    all.extend((more > 0).then(|| format!("and {more} more of this kind")));
    all
}

/// The command that writes its copies from the store.
pub(crate) fn fetches(consumer: &Consumer) -> Option<String> {
    let mut words = consumer.fetch.as_ref()?.fill("main", None, None).into_iter();
    let line = CommandLine::program(words.next()?, words);
    Some(format!("runs {}", line.typed()))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    fn consumers(runs: &str, more: &str) -> Vec<String> {
        let text = format!(
            "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/opt\"\n[secrets.acme]\n\
             issuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n{more}runs = {{ {runs} }}\n\
             reads = {{ file = \"./key\" }}\n"
        );
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        verbs(&config.secret("acme").unwrap().consumers[0])
    }

    #[test]
    fn the_command_of_each_manager_is_said_as_it_is_typed_in_any_folder() {
        let up = "up --detach --no-deps --no-build --pull never --force-recreate";
        for (runs, said) in [
            ("unit = \"api.service\"", "runs systemctl restart api.service".to_owned()),
            (
                "unit = \"api.service\", user = \"ada\"",
                "runs systemctl --user --machine=ada@ restart api.service".to_owned(),
            ),
            (
                "compose = \"./shop/compose.yaml\", service = \"api\"",
                format!("runs docker compose -f /srv/shop/compose.yaml {up} api"),
            ),
            (
                "compose = \"./my shop\", service = \"api\"",
                format!("runs docker compose --project-directory '/srv/my shop' {up} api"),
            ),
            ("container = \"api\"", "runs docker restart api".to_owned()),
            ("container = \"api\", restart = [\"./make.sh\"]", "runs /srv/make.sh".to_owned()),
            (
                "supervisor = \"api\"",
                "runs supervisorctl -c /etc/supervisor/supervisord.conf restart 'api:*'; if its section of the configuration \
                 changed: supervisorctl -c /etc/supervisor/supervisord.conf update api"
                    .to_owned(),
            ),
            (
                "pm2 = \"./eco.config.js\", app = \"api\"",
                "runs pm2 restart /srv/eco.config.js --only api --update-env, in the environment that the app was started in"
                    .to_owned(),
            ),
            ("runit = \"/etc/service/api\"", "runs sv restart /etc/service/api".to_owned()),
            (
                "restart = [\"./r.sh\", \"a b\"], pid_file = \"./api.pid\"",
                "runs /srv/r.sh 'a b'".to_owned(),
            ),
            (
                "restart = [\"node\", \"./r.js\"], process = \"/bin/api\"",
                "runs (cd /srv && node ./r.js)".to_owned(),
            ),
            (
                "signal = \"HUP\", pid_file = \"./api.pid\"",
                "sends SIGHUP to the process in /srv/api.pid".to_owned(),
            ),
            (
                "signal = \"USR1\", process = \"/bin/api\"",
                "sends SIGUSR1 to the main process of /bin/api".to_owned(),
            ),
            ("master = \"./g.pid\"", "sends SIGHUP to the master in /srv/g.pid".to_owned()),
            (
                "rereads = true, process = \"/bin/api\"",
                "runs nothing: it reads its file again by itself".to_owned(),
            ),
            ("exec = [\"./adapter\"]", "asks the adapter /srv/adapter to apply it".to_owned()),
        ] {
            assert_eq!(consumers(runs, ""), [said], "{runs}");
        }
    }

    #[test]
    fn each_instance_has_its_command_and_many_are_counted() {
        let names: Vec<String> = (1..=6).map(|at| format!("\"w{at}\"")).collect();
        let of = |names: &[String]| {
            let names = names.join(", ");
            consumers(
                &format!(
                    "restart = [\"./r\", \"{{instance}}\"], instances = [{names}], pid_file = \"./{{instance}}\""
                ),
                "",
            )
        };
        assert_eq!(of(&names[..2]), ["runs /srv/r w1", "runs /srv/r w2"]);
        let many = of(&names);
        assert_eq!((many.len(), many[4].as_str()), (5, "and 2 more of this kind"));
    }

    /// What this machine has at the same path is another agent.
    #[test]
    fn the_files_of_an_agent_on_another_host_are_not_looked_for_here() {
        let runs = "openclaw = \"/home/claw/.openclaw\", provider = \"acme\"";
        let check = "check = { exec = [\"./c\", \"{copy}\"] }\n";
        let said = consumers(runs, &format!("host = \"web-1\"\n{check}"));
        assert_eq!(said, ["does what its own files on web-1 ask for"]);
    }
}
