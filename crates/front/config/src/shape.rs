//! The file as it is written: every key, its form, its words of documentation. The schema and the reference page are
//! generated from here; the meaning (what goes together, what is refused) is checked when the model is built.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::{At, OneOrMany};
use crate::runs_shape::RunsShape;

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
pub(crate) struct SecretKeys {
    /// Who accepts it: the name of a shipped spec (`openrouter`), `file:./own-spec.toml`, or a server of which two logins
    /// take turns: the name of its table below, such as `postgres`.
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
    /// Whether revoked values stay sealed, so that `leaks`, `redact`, `run` and `fingerprints` still find them; no consumer is
    /// given one. Default false: revoked values are dropped. If it was true and becomes false, the next rotation drops those
    /// that were kept.
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
    /// The parts of the credential. Default: one secret field, `value`; for a server of which two logins take turns: `user`,
    /// `password` (secret), `host`, `port`, and for `postgres` also `dbname`.
    pub(crate) fields: Option<BTreeMap<At<String>, FieldShape>>,
    /// Texts rendered from the fields: `url = "http://svc:{value}@127.0.0.1/"`. `{field}` is percent-encoded for its
    /// position in a URL, `{field:raw}` is not. What follows `base64:` is written in Base64: npm's `_auth` is
    /// `"base64:{user:raw}:{password:raw}"`.
    #[serde(default)]
    pub(crate) derived: BTreeMap<At<String>, At<String>>,
    /// What must be seen before the old value is ended.
    #[serde(default)]
    pub(crate) revoke: RevokeShape,
    /// An error rate above which nothing goes on.
    pub(crate) gate: Option<At<GateShape>>,
    /// The services that use it.
    #[serde(default)]
    pub(crate) consumers: Vec<At<ConsumerShape>>,
}

/// An error rate that is asked before a moved consumer counts, and while the old value is disabled.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateShape {
    /// A server that answers Prometheus's queries, on loopback: `http://127.0.0.1:9090`.
    pub(crate) url: At<String>,
    /// A query that gives one number at a moment; of several series the largest counts.
    pub(crate) query: At<String>,
    /// The most that it may be: `0.01`.
    pub(crate) max: At<f64>,
    /// A reference to the bearer token for the server: `file:./token`.
    pub(crate) bearer: Option<At<String>>,
}

/// One part of a credential.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldShape {
    /// Whether its bytes must be kept from sight. Default true.
    pub(crate) secret: Option<bool>,
}

/// What must be seen before the old value is ended.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeShape {
    /// Kinds of evidence asked for besides the gate's own: `delivered`, `read`, `loaded`, `reported`, `checked`,
    /// `exercised`.
    #[serde(default)]
    pub(crate) require: Vec<At<String>>,
    /// How long the old value must have been unused before it is disabled. Default 30m.
    pub(crate) old_idle_for: Option<At<String>>,
    /// How long the old value stays disabled before it is revoked. Default 10m.
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
