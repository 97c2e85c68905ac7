//! The file as it is written: every key, its form, its words of documentation. The schema and the reference page are
//! generated from here; the meaning (what goes together, what is refused) is checked when the model is built.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::{At, OneOrMany};

/// The whole of keyroll.toml. It never holds a value of a credential, only references to where values are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keyroll.toml")]
pub(crate) struct FileShape {
    /// The version of this format: 1.
    pub(crate) version: At<u32>,
    /// What holds for every secret unless it says otherwise.
    #[serde(default)]
    pub(crate) defaults: DefaultsShape,
    /// Where values are searched for.
    #[serde(default)]
    pub(crate) search: SearchShape,
    /// The machines by name. This version works on the machine that it runs on; `local` need not be named.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<At<String>, HostShape>,
    /// The secrets by name: `[secrets.openai]`. A name is 1 to 64 of `a-z 0-9 . _ -`.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<At<String>, At<SecretShape>>,
}

/// What holds for every secret unless it says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsShape {
    /// How many hosts of one service may be moved at the same time, across rotations. Default 1.
    pub(crate) max_parallel: Option<At<u32>>,
    /// What happens when a host fails: `rollback` (default) or `pause`.
    pub(crate) on_failure: Option<At<String>>,
    /// How long one instance may take to show its new value before it has failed: 5s to 7d. Default `3m`.
    pub(crate) unit_deadline: Option<At<String>>,
    /// How long one phase may last before it has failed: 5s to 7d, and no shorter than `unit_deadline`. Default `10m`.
    pub(crate) phase_deadline: Option<At<String>>,
}

/// Where values are searched for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchShape {
    /// More files and folders to search by value, besides the configured copies and their folders.
    #[serde(default)]
    pub(crate) roots: Vec<At<String>>,
}

/// One machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostShape {
    /// How it is reached: `local`. (`ssh://…` is recognised and refused by this version.)
    pub(crate) connect: At<String>,
}

/// One secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretShape {
    /// Who accepts it: the name of a shipped spec (`openrouter`), `file:./own-spec.toml`, `postgres`, `redis`,
    /// `mariadb`, or `rabbitmq`.
    pub(crate) issuer: At<String>,
    /// Where the credential is by which keyroll may make and end others at the issuer: `file:./admin.key`.
    pub(crate) admin: Option<At<String>>,
    /// The source of truth for the value: `keyroll` (default), its own sealed store.
    pub(crate) store: Option<At<String>>,
    /// Who is responsible: free text for people, at most 256 bytes.
    pub(crate) owner: Option<At<String>>,
    /// How old the value may become: `90d`. Shown by `status`; nothing runs by itself unless `unattended` is true.
    pub(crate) rotate_every: Option<At<String>>,
    /// Whether it may be rotated without a person. Default false.
    #[serde(default)]
    pub(crate) unattended: bool,
    /// Whether values that were ended stay sealed, so that `leaks`, `redact`, `run` and `prints` still know them. Nothing else
    /// is given one. Default false: they are dropped, and taken back it drops those that were kept, with the next one.
    #[serde(default)]
    pub(crate) keep_retired: bool,
    /// Overrides `defaults.max_parallel`.
    pub(crate) max_parallel: Option<At<u32>>,
    /// Overrides `defaults.on_failure`.
    pub(crate) on_failure: Option<At<String>>,
    /// Overrides `defaults.unit_deadline`.
    pub(crate) unit_deadline: Option<At<String>>,
    /// Overrides `defaults.phase_deadline`.
    pub(crate) phase_deadline: Option<At<String>>,
    /// The parts of the credential. Default: one secret field, `value`; for `postgres`: `user`, `password` (secret),
    /// `host`, `port`, `dbname`; for `redis`, `mariadb` and `rabbitmq`: `user`, `password` (secret), `host`, `port`.
    pub(crate) fields: Option<BTreeMap<At<String>, FieldShape>>,
    /// Texts rendered from the fields: `url = "http://svc:{value}@127.0.0.1/"`. `{field}` is percent-encoded for its
    /// position in a URL, `{field:raw}` is not. What follows `base64:` is written in Base64: npm's `_auth` is
    /// `"base64:{user:raw}:{password:raw}"`.
    #[serde(default)]
    pub(crate) derived: BTreeMap<At<String>, At<String>>,
    /// The server and its two roles; only with `issuer = "postgres"`.
    pub(crate) postgres: Option<At<PostgresShape>>,
    /// The server and its two users; only with `issuer = "redis"`.
    pub(crate) redis: Option<At<ServerShape>>,
    /// The server and its two accounts; only with `issuer = "mariadb"`.
    pub(crate) mariadb: Option<At<ServerShape>>,
    /// The server and its two users; only with `issuer = "rabbitmq"`.
    pub(crate) rabbitmq: Option<At<RabbitMqShape>>,
    /// What must be seen before the old value is ended.
    #[serde(default)]
    pub(crate) revoke: RevokeShape,
    /// An error rate above which nothing goes on.
    pub(crate) gate: Option<At<GateShape>>,
    /// The services that use it.
    #[serde(default)]
    pub(crate) consumers: Vec<At<ConsumerShape>>,
}

/// An error rate that is asked before a moved consumer counts, and while the old value is switched off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateShape {
    /// A server that answers Prometheus's queries, on loopback: `http://127.0.0.1:9090`.
    pub(crate) url: At<String>,
    /// A query that gives one number at a moment; of several series the largest counts.
    pub(crate) query: At<String>,
    /// The most that it may be: `0.01`.
    pub(crate) max: At<f64>,
    /// A reference to the token by which the server knows who asks: `file:./token`.
    pub(crate) bearer: Option<At<String>>,
}

/// One part of a credential.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldShape {
    /// Whether its bytes must be kept from sight. Default true.
    pub(crate) secret: Option<bool>,
}

/// A PostgreSQL server and the two login roles between which a rotation goes to and fro.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresShape {
    /// The server's name or address, or the folder of its socket.
    pub(crate) host: At<String>,
    /// The server's port. Default 5432.
    pub(crate) port: Option<At<u16>>,
    /// The database.
    pub(crate) dbname: At<String>,
    /// The role that owns the objects; both login roles are members of it.
    pub(crate) owner_role: At<String>,
    /// The two login roles.
    pub(crate) slots: At<Vec<At<String>>>,
    /// The file of the server's log, on the server's machine, where the server does not collect it itself: Debian's
    /// `/var/log/postgresql/postgresql-15-main.log`.
    pub(crate) log: Option<At<String>>,
    /// The PgBouncers of this machine through which consumers reach the server. `host` and `port` above stay the
    /// server's own.
    #[serde(default)]
    pub(crate) poolers: Vec<At<PoolerShape>>,
}

/// A PgBouncer before the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolerShape {
    /// Its address, or the folder of its socket.
    pub(crate) host: At<String>,
    /// Its port. Default 6432.
    pub(crate) port: Option<At<u16>>,
    /// Where the login is that may look at its console, one of its `stats_users`: `file:./pgbouncer.key`, one line
    /// `user:password`.
    pub(crate) admin: At<String>,
}

/// A server that keeps logins, and the two between which a rotation goes to and fro.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerShape {
    /// The server's name or address. To any but this machine connections are encrypted, and the server's certificate
    /// must bear this name.
    pub(crate) host: At<String>,
    /// The server's port. Default: the usual one, for `redis` 6379, for `mariadb` 3306.
    pub(crate) port: Option<At<u16>>,
    /// The two logins. They are made when first needed, with the rights of the login that consumers use now.
    pub(crate) slots: At<Vec<At<String>>>,
}

/// A RabbitMQ server, and the two users between which a rotation goes to and fro.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RabbitMqShape {
    /// The server's name or address. To any but this machine both ports are spoken to encrypted, and the server's
    /// certificate must bear this name.
    pub(crate) host: At<String>,
    /// The port that consumers connect to. Default 5672; encrypted it is usually 5671.
    pub(crate) port: Option<At<u16>>,
    /// The port of the management API. Default 15672; encrypted it is usually 15671.
    pub(crate) management_port: Option<At<u16>>,
    /// The virtual host that consumers open: a login is tried up to it. Default `/`.
    pub(crate) vhost: Option<At<String>>,
    /// The two users. They are made when first needed, with the tags, permissions and limits of the user that consumers
    /// log in as now.
    pub(crate) slots: At<Vec<At<String>>>,
}

/// What must be seen before the old value is ended.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeShape {
    /// Kinds of evidence asked for besides the gate's own: `delivered`, `read`, `loaded`, `reported`, `checked`,
    /// `exercised`.
    #[serde(default)]
    pub(crate) require: Vec<At<String>>,
    /// How long the old value must have been unused before it is switched off. Default 30m.
    pub(crate) old_idle_for: Option<At<String>>,
    /// How long the old value stays switched off, but not ended. Default 10m.
    pub(crate) soak: Option<At<String>>,
    /// Who consents to the end of the old value: `ask` (default), or `standing`, which needs `unattended = true`.
    pub(crate) decide: Option<At<String>>,
}

/// One service that uses the secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsumerShape {
    /// Its name, unique within the secret.
    pub(crate) name: At<String>,
    /// The machine that it runs on. Default `local`.
    pub(crate) host: Option<At<String>>,
    /// What runs, and how a new value is made to take effect.
    pub(crate) runs: At<RunsShape>,
    /// The copies of the value that it starts from: one table or an array of them.
    pub(crate) reads: At<OneOrMany<ReadShape>>,
    /// A command that regenerates the copies from the store. It makes this a pull consumer: its copies are read back,
    /// never written.
    pub(crate) fetch: Option<At<Vec<At<String>>>>,
    /// Its log, where a success and a refused credential can be seen.
    pub(crate) log: Option<At<LogShape>>,
    /// A check that the new value works for it.
    pub(crate) check: Option<At<CheckShape>>,
    /// Further flows that must work, each with its own check (a fallback that is normally idle).
    #[serde(default)]
    pub(crate) paths: Vec<PathShape>,
}

/// What runs. Exactly one of `restart`, `signal`, `rereads`, `unit`, `timer`, `compose`, `container`, `at_rest`,
/// `supervisor`, `pm2`, `exec`, `master`, `cron`, `litellm`, `openclaw`; with `container` also `restart` or `rereads`, with
/// `openclaw` also `restart` or `unit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsShape {
    /// A command that restarts one instance: `["./restart.sh", "{instance}"]`. Run without a shell, in the folder of
    /// keyroll.toml.
    pub(crate) restart: Option<At<Vec<At<String>>>>,
    /// The signal on which it loads a new value: `HUP`, `USR1`, `USR2`, `INT`, `TERM`, `QUIT`, `WINCH`.
    pub(crate) signal: Option<At<String>>,
    /// It reads the copy again by itself: `true`.
    pub(crate) rereads: Option<At<bool>>,
    /// The systemd unit that runs it: `app.service`.
    pub(crate) unit: Option<At<String>>,
    /// The systemd timer that starts it, `backup.timer`: nothing runs between two runs.
    pub(crate) timer: Option<At<String>>,
    /// With `unit` or `timer`: the user whose own service manager has it (`systemctl --user`).
    pub(crate) user: Option<At<String>>,
    /// The folder of a docker compose project, or one of its files: `/srv/shop`.
    pub(crate) compose: Option<At<String>>,
    /// With `compose`: the service. `{instance}` may stand in it; the replicas of one service are recreated together.
    pub(crate) service: Option<At<String>>,
    /// The name of a container that was started with `docker run`. It is restarted, which applies a mounted file only:
    /// where its environment holds the value, `restart` is the command that makes it anew.
    pub(crate) container: Option<At<String>>,
    /// Nothing runs now (cron, timer, CI, stopped): `true`.
    pub(crate) at_rest: Option<At<bool>>,
    /// The program of supervisord that runs it, or the group: the name that `supervisorctl status` shows before the colon.
    pub(crate) supervisor: Option<At<String>>,
    /// With `supervisor`: its configuration file. Default `/etc/supervisor/supervisord.conf`.
    pub(crate) config: Option<At<String>>,
    /// The ecosystem file of pm2 that describes it: `/srv/bot/ecosystem.config.js`.
    pub(crate) pm2: Option<At<String>>,
    /// With `pm2`: the app's name.
    pub(crate) app: Option<At<String>>,
    /// With `pm2`: its own folder (PM2_HOME). Default `.pm2` in the home of whoever owns the ecosystem file.
    pub(crate) home: Option<At<String>>,
    /// An adapter of your own: `["./adapter", "{instance}"]`, a program that speaks the protocol of exec-adapter.md.
    pub(crate) exec: Option<At<Vec<At<String>>>>,
    /// The file with the process id of a master that forks workers, as gunicorn does: `./run/gunicorn.pid`. Each worker is
    /// proven.
    pub(crate) master: Option<At<String>>,
    /// With `master`: how its workers are replaced. A signal to the master, `HUP` (default), `USR1` or `USR2`; `workers`,
    /// one by one, each asked to end; `TTIN`, one by one, each new one before an old one is ended.
    pub(crate) reload: Option<At<String>>,
    /// A crontab whose jobs read the copies: `/etc/cron.d/backup`. Nothing is restarted; a job that runs right now is
    /// waited for.
    pub(crate) cron: Option<At<String>>,
    /// A LiteLLM proxy with several workers: where it answers, `http://127.0.0.1:4000`. They are replaced one by one, each only
    /// while another one answers. For a proxy whose keys stand in the environment that it was started with, name what
    /// restarts it instead.
    pub(crate) litellm: Option<At<String>>,
    /// The state folder of OpenClaw, `/home/claw/.openclaw`. What applies a new key follows from where its gateway takes it
    /// from. Where that is read by a new process alone, `restart` is the command that ends the gateway and starts it, or
    /// `unit` its unit.
    pub(crate) openclaw: Option<At<String>>,
    /// With `openclaw`: the model provider whose key this is, as its settings name it.
    pub(crate) provider: Option<At<String>>,
    /// With `openclaw`: the path of its program. Default: `openclaw` in the PATH.
    pub(crate) program: Option<At<String>>,
    /// The names of its instances, for `{instance}`. They are moved one by one.
    pub(crate) instances: Option<At<Vec<At<String>>>>,
    /// The port of each instance in the order of `instances`, for `{port}`.
    pub(crate) ports: Option<At<Vec<u16>>>,
    /// A file with the process id of an instance: `./run/api-{instance}.pid`.
    pub(crate) pid_file: Option<At<String>>,
    /// Instead of `pid_file`: the path of its executable.
    pub(crate) process: Option<At<String>>,
    /// With `process`: an argument that one of its words must equal.
    pub(crate) arg: Option<At<String>>,
    /// An address that answers 200 when an instance is ready: `http://127.0.0.1:{port}/ready`.
    pub(crate) ready: Option<At<String>>,
    /// How long an instance may take to finish what it is doing. Default 10s.
    pub(crate) drain: Option<At<String>>,
}

impl RunsShape {
    /// How many of the forms stand there that say by themselves what runs; one must.
    pub(crate) fn forms(&self) -> usize {
        [
            self.compose.is_some(),
            self.restart.is_some(),
            self.signal.is_some(),
            self.rereads.is_some(),
            self.unit.is_some(),
            self.timer.is_some(),
            self.at_rest.is_some(),
            self.supervisor.is_some(),
            self.pm2.is_some(),
            self.exec.is_some(),
            self.master.is_some(),
            self.cron.is_some(),
            self.litellm.is_some(),
        ]
        .into_iter()
        .filter(|there| *there)
        .count()
    }
}

/// One copy. `env_file` with `variable`, or `file` (the whole file), or `file` with `format` and `at`, or `file` with
/// `template`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadShape {
    /// A file of `NAME=value` lines.
    pub(crate) env_file: Option<At<String>>,
    /// The variable that holds the value.
    pub(crate) variable: Option<At<String>>,
    /// A file that holds the value.
    pub(crate) file: Option<At<String>>,
    /// With `file`: how it is read: `json` (comments and a last comma too), `yaml`, `compose` (YAML in which `$` is
    /// written `$$`), `toml`, `ini`, `npmrc`, `pgpass`, `netrc`, `git_credentials`. `userlist`, PgBouncer's `auth_file`,
    /// stands without `at`: the line of the fields `user` and `password`, beside which the next login's stands until the
    /// old one is ended.
    pub(crate) format: Option<At<String>>,
    /// With `format`: where the value stands. `json`, `yaml`, `compose`, `toml`: a JSON pointer, `/models/openai/apiKey`;
    /// in a list a number from 0, `[name=ci]` for the entry whose `name` is `ci`, or in `compose` the name of an item
    /// `NAME=value`. `ini`: `/section/name` or `/name`. `npmrc`: the whole key. `pgpass`: `host:port:database` or
    /// `host:port:database:user`. `netrc`: the machine. `git_credentials`: `https://host` or `https://user@host`.
    pub(crate) at: Option<At<String>>,
    /// With `format` `pgpass`, `netrc` or `git_credentials`: `password` (default) or `user`.
    pub(crate) part: Option<At<String>>,
    /// With `file`: how the value stands in it, `postgres://{user}:{password}@`.
    pub(crate) template: Option<At<String>>,
    /// Which field stands there. Default: the only secret field.
    pub(crate) field: Option<At<String>>,
    /// Which derived text stands there.
    pub(crate) derived: Option<At<String>>,
    /// A command that makes the file from another one: `["./render.sh"]`. It is run in place of a write, and the copy is
    /// read back. All copies of the file have the same.
    pub(crate) generated: Option<At<Vec<At<String>>>>,
    /// `rename` (default) or `in_place`, for a file that is a mount of its own.
    pub(crate) write: Option<At<String>>,
}

/// A consumer's log: one of `file`, `journal`, `docker`, and a kind or patterns of one's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogShape {
    /// The log file; `{instance}` may stand in it.
    pub(crate) file: Option<At<String>>,
    /// Instead of `file`: the unit whose lines in systemd's journal are its log, `app@{instance}.service`. It is one of
    /// the same manager as `runs.unit` or `runs.timer`: of the system, or of `runs.user`.
    pub(crate) journal: Option<At<String>>,
    /// Instead of `file`: the container whose output is its log, `app-{instance}`.
    pub(crate) docker: Option<At<String>>,
    /// What it talks to with the credential, for the lines that clients of that write: `postgres`, `redis`, `http`.
    /// `success` and `failure` take the place of its patterns.
    pub(crate) kind: Option<At<String>>,
    /// A regular expression for a line that shows a credential was accepted.
    pub(crate) success: Option<At<String>>,
    /// A regular expression for a line that shows a credential was refused.
    pub(crate) failure: Option<At<String>>,
}

/// One check: `exec`, `http`, `turn`, or `litellm` with `config`; with `turn` also `exec`, which comes before it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckShape {
    /// A command that succeeds only with a working credential. `{copy}` is the path of the consumer's first copy: the
    /// control runs the same command on a wrong copy and must fail. Without `{copy}` it counts as `reported` only.
    pub(crate) exec: Option<At<Vec<At<String>>>>,
    /// A request to the running process that makes it use the credential: `http://127.0.0.1:{port}/check`.
    pub(crate) http: Option<At<String>>,
    /// Where a LiteLLM proxy answers, `http://127.0.0.1:4000`: each of its workers is asked for each of its models that uses
    /// the credential, by an id that only a worker with this version knows.
    pub(crate) litellm: Option<At<String>>,
    /// With `litellm`: its configuration file, `./config.yaml`.
    pub(crate) config: Option<At<String>>,
    /// With `litellm`: where the proxy's own key is, `file:./proxy.key`, if it asks for one.
    pub(crate) key: Option<At<String>>,
    /// With `litellm`: one of its models, as callers name it. Default: all that use the credential.
    pub(crate) model: Option<At<String>>,
    /// With `runs.openclaw`: one turn of the agent, pinned to this model, `provider/model`: no other one answers in its
    /// place. It is a call that costs.
    pub(crate) turn: Option<At<String>>,
    /// With `turn`: the agent that is asked. Default: each that its settings name.
    pub(crate) agent: Option<At<String>>,
}

/// One further flow that must work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathShape {
    /// Its name, unique within the consumer.
    pub(crate) name: At<String>,
    /// Its own check.
    pub(crate) check: At<CheckShape>,
}
