//! The file as it is written: every key, its type and its documentation. The schema and the reference page are generated
//! from these doc comments. Which keys go together, and which values are refused, is checked when the model is built.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::{At, Texts};
use crate::aws::AwsShape;
use crate::bystander_shape::BystanderShape;
use crate::followed::FollowedShape;
use crate::kubernetes::KubernetesShape;
use crate::other_key_shape::OtherKeyShape;
use crate::reads_shape::ReadsShape;
use crate::roll::RollShape;
use crate::runs_shape::RunsShape;

/// Defaults for every secret. A secret overrides them with keys of the same names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsShape {
    /// How many consumers a rotation may move at the same time, after it has moved the first one (the canary) alone: 1 to
    /// 64. Default 1.
    pub(crate) max_parallel: Option<At<u32>>,
    /// What a rotation does when a consumer does not take the new value: `rollback` (default) rolls the whole rotation
    /// back; `pause` rolls back only that consumer, and pauses.
    pub(crate) on_failure: Option<At<String>>,
    /// How long an instance may take for one step, such as its restart or the proof that it uses the new value. An
    /// instance that takes longer has failed. 5s to 7d. Default `3m`.
    pub(crate) unit_deadline: Option<At<String>>,
    /// How long one phase of a rotation may last before keyroll treats it as failed: 5s to 7d, and at least
    /// `unit_deadline`. Default `10m`.
    pub(crate) phase_deadline: Option<At<String>>,
}

/// When secrets are rotated without an operator, and when a notice says that one is due. `keyroll due`, its timer and the
/// server go by it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleShape {
    /// When a rotation may begin without an operator, one window or an array of them: days, times and a time zone,
    /// `Mon..Fri 09:00-16:00 Europe/Berlin`. Without days it is every day; without a zone it is this machine's. Times that end
    /// before they begin end on the next day. `any` (default) is at any time. A rotation that has begun goes on after its
    /// window has closed; an emergency never waits for a window.
    pub(crate) window: Option<At<Texts>>,
    /// How long before it is due a notice names the secret: 0s to 3660d. Default `7d`.
    pub(crate) warn_before: Option<At<String>>,
    /// After how long a due secret is overdue: 0s to 3660d. Default `3d`.
    pub(crate) overdue_after: Option<At<String>>,
}

/// Where keyroll searches for undeclared copies and processes, and how much.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchShape {
    /// Files and folders to search for values, besides the declared copies and their folders.
    #[serde(default)]
    pub(crate) roots: Vec<At<String>>,
    /// How much memory of one process keyroll searches: 64MiB to 1TiB. If a declared consumer is larger, the rotation
    /// pauses before it disables or revokes the old key; keyroll names other larger processes before you consent. Default
    /// `4GiB`.
    pub(crate) max_memory: Option<At<String>>,
    /// How long one search of all processes may take, half of it for a single process: 10s to 8m. A process that is left
    /// out counts like one that is too large. Default `1m`.
    pub(crate) deadline: Option<At<String>>,
}

/// One secret: its issuer, its fields and its consumers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretKeys {
    /// The service that accepts the secret: the name of a shipped spec (`openrouter`), a spec of your own
    /// (`file:./own-spec.toml`), or a kind of server on which rotations alternate between two logins (`postgres`, `redis`,
    /// `mariadb`, `rabbitmq`), which also needs the table of the same name. `aws-access-key`: the access keys of an IAM user,
    /// which needs the table `aws`.
    pub(crate) issuer: At<String>,
    /// Your own host of a shipped issuer whose host differs per customer or server: `acme.okta.com`, or with a
    /// port other than 443, `gitlab.acme.example:8443`. keyroll sends the credentials there, and over HTTPS only.
    pub(crate) issuer_host: Option<At<String>>,
    /// A reference to the admin credential, with which keyroll makes and revokes keys at the issuer: `file:./admin.key`. Not
    /// with `aws-access-key`, where keyroll's login is that of the usual AWS configuration.
    pub(crate) admin: Option<At<String>>,
    /// The source of truth for the value: `keyroll` (default), which is keyroll's own sealed store; or one of these:
    /// `aws-sm:NAME#KEY`, one key of the JSON object in a secret of AWS Secrets Manager, by the name or ARN of the secret
    /// (`aws-sm:NAME`: its whole text); region, endpoint and login come from the usual AWS configuration.
    /// `vault:MOUNT/PATH#KEY`, one key of a secret in a KV engine, version 2, of Vault or OpenBao; see `[vault]`.
    /// `k8s:NAMESPACE/NAME#KEY`, one key of a Secret of Kubernetes; see the table `kubernetes`.
    /// `file:./PATH`, the content of a file of mode 0600, or `file:./PATH#NAME`, one place in it. `exec:./PROGRAM#ITEM`, what
    /// a program of yours reads and writes (store-program.md).
    pub(crate) store: Option<At<String>>,
    /// Who is responsible for the secret: free text, at most 256 bytes.
    pub(crate) owner: Option<At<String>>,
    /// The highest age of the value: `90d`. `due` reports a secret whose value is older. keyroll rotates such a
    /// secret without an operator only in `due --apply`, or by a server with `server.rotates_due`, and with
    /// `unattended = true` and `revoke.decide = "standing"`.
    pub(crate) rotate_every: Option<At<String>>,
    /// When a rotation of the secret may begin without an operator, instead of `schedule.window`.
    pub(crate) window: Option<At<Texts>>,
    /// Whether `due --apply` and the server may rotate the secret without an operator; needs `revoke.decide = "standing"` too.
    /// Default false.
    #[serde(default)]
    pub(crate) unattended: bool,
    /// Whether an emergency (`POST /rotate-secret`, `keyroll emergency`) revokes the old value without asking, as soon as no
    /// process needs it. Default false: it moves every consumer, and names the command that revokes the old value.
    #[serde(default)]
    pub(crate) emergency_revoke: bool,
    /// How many emergencies of the secret alerts may begin by themselves within 24 hours (`POST /alerts/…`,
    /// `keyroll leaks --alert`). An alert does so only if its value is exactly the stored one. Default 1; 0 = every alert
    /// waits for a person.
    pub(crate) emergencies_per_day: Option<At<u32>>,
    /// Whether the store keeps revoked values, sealed, so that `leaks`, `redact`, `run` and `fingerprints` still find them.
    /// No consumer ever gets a revoked value. Default false: revoked values are deleted. After a change from true to false,
    /// the next rotation deletes those that the store kept.
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
    /// The fields of the credential, by name. Default: one secret field, `value`. For `postgres`, `redis`, `mariadb` and
    /// `rabbitmq`: `user`, `password` (secret), `host`, `port`, and for `postgres` also `dbname`. For `aws-access-key`:
    /// `access_key_id`, and `secret_access_key` (secret).
    pub(crate) fields: Option<BTreeMap<At<String>, FieldShape>>,
    /// Texts that keyroll renders from the fields, by name: `url = "http://svc:{value}@127.0.0.1/"`. `{field}` is
    /// percent-encoded for its position in a URL; `{field:raw}` is not. After the prefix `base64:` the rest of the text is
    /// encoded in Base64: npm's `_auth` is `"base64:{user:raw}:{password:raw}"`.
    #[serde(default)]
    pub(crate) derived: BTreeMap<At<String>, At<String>>,
    /// The IAM user whose access keys are rotated; only with `issuer = "aws-access-key"`.
    pub(crate) aws: Option<At<AwsShape>>,
    /// How the cluster is reached; only with `store = "k8s:…"`.
    pub(crate) kubernetes: Option<At<KubernetesShape>>,
    /// The conditions for disabling and revoking the old value.
    #[serde(default)]
    pub(crate) revoke: RevokeShape,
    /// How the consumers are moved one after the other.
    pub(crate) roll: Option<At<RollShape>>,
    /// An error rate above which a rotation does not continue.
    pub(crate) gate: Option<At<GateShape>>,
    /// Keys at the issuer that another keyroll made, with another state folder: `[{ id = "9f31", label = "keyroll/01J8/4" }]`.
    /// keyroll leaves exactly these alone; it stops at any other key with a label that its journal does not know, also at one
    /// with the same id or the same label.
    #[serde(default)]
    pub(crate) other_keys: Vec<OtherKeyShape>,
    /// The hosts by ssh that a rotation searches although no consumer of the secret is there: names under `[hosts]`, groups and
    /// patterns. Such a host gets fingerprints, and never a value; a process there that has the old key holds up its
    /// revocation. Default: if a consumer is on a host by ssh, all hosts of the file, else none. `[]`: none.
    pub(crate) searched_hosts: Option<At<Vec<At<String>>>>,
    /// The services and jobs that use the secret.
    #[serde(default)]
    pub(crate) consumers: Vec<At<ConsumerShape>>,
    /// The processes that hold the value and do not use it.
    #[serde(default)]
    pub(crate) bystanders: Vec<BystanderShape>,
}

/// An error rate above which a rotation does not continue. keyroll queries it before it counts a consumer as moved, while
/// it watches one, and while the old value is disabled. A rate that keyroll cannot read for one minute counts as too high.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateShape {
    /// The API of the server: `prometheus` (default), or `signoz`, whose metrics are those of OpenTelemetry.
    pub(crate) api: Option<At<String>>,
    /// A server on loopback: Prometheus, or another one with its query API, `http://127.0.0.1:9090`; with `api = "signoz"`
    /// SigNoz, `http://127.0.0.1:8080`.
    pub(crate) url: At<String>,
    /// A query in PromQL, at most 1024 bytes. If it returns several series, the highest value counts. In PromQL, a metric of
    /// OpenTelemetry with dots in its name is quoted, within braces: `{"http.server.request.count"}`. Prometheus evaluates
    /// the query once, for this moment. SigNoz evaluates it for the last 5 minutes, and the newest value of each series
    /// counts; a series whose newest value is older than 2 minutes makes the rate unknown, so aggregate instances that come
    /// and go with `sum` or `max`.
    pub(crate) query: At<String>,
    /// The highest value of the query at which the rotation continues, 0 or more: `0.01`.
    pub(crate) max: At<f64>,
    /// A reference to a bearer token for the server: `file:./token`. With `api = "signoz"` it is the API key, which keyroll
    /// sends in the header `SIGNOZ-API-KEY`. Default: no token.
    pub(crate) bearer: Option<At<String>>,
}

/// One field of a credential.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldShape {
    /// Whether the field is secret: keyroll seals it, searches for it, and never prints it. Default true.
    pub(crate) secret: Option<bool>,
}

/// The conditions for disabling and revoking the old value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeShape {
    /// Kinds of evidence that every instance must give, besides those that keyroll always requires: `delivered`, `read`,
    /// `loaded`, `reported`, `checked`, `exercised`. Default: none.
    #[serde(default)]
    pub(crate) require: Vec<At<String>>,
    /// How long the old value must have been unused before keyroll disables it; in a rollback, the new value before keyroll
    /// deletes it. Applies only if the issuer reports when each key was last used. Default 30m.
    pub(crate) old_idle_for: Option<At<String>>,
    /// How long the old value stays disabled before keyroll revokes it. Applies only if the issuer can disable a key.
    /// Default 10m.
    pub(crate) soak: Option<At<String>>,
    /// How the operator consents to revoking the old value: `ask` (default), each time, or `standing`, by this
    /// configuration; `standing` needs `unattended = true`.
    pub(crate) decide: Option<At<String>>,
}

/// The server that `keyroll serve` runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerShape {
    /// The address and port to listen on, on loopback: `127.0.0.1:9090` or `[::1]:9090`.
    pub(crate) listen: At<String>,
    /// Whether the server begins the rotations that are due, as `due --apply` does. Default false.
    #[serde(default)]
    pub(crate) rotates_due: bool,
    /// How many different tokens must approve the end of an old key before the server revokes it: 1 or 2. It counts for
    /// `POST /v1/rotations/ID/approve`, and not for commands on this machine. Default 1.
    pub(crate) approvals: Option<At<u8>>,
    /// The unix socket from which consumers with `serves` get their values: at most 107 bytes. Default:
    /// `/run/keyroll/values.sock` for root; for other users `$XDG_RUNTIME_DIR/keyroll/values.sock`, or `values.sock` in the
    /// state folder if that variable is not set.
    pub(crate) socket: Option<At<String>>,
    /// The emergency endpoint: `POST /rotate-secret` and `GET /secret-status`.
    pub(crate) emergency: At<EmergencyShape>,
    /// The sources of alerts: `POST /alerts/…`. A source that is not named here is refused.
    #[serde(default)]
    pub(crate) alerts: AlertsShape,
    /// Who is sent notices, by name: `[server.notices.oncall]`; at most 16. Default: nobody.
    #[serde(default)]
    pub(crate) notices: BTreeMap<At<String>, At<RecipientShape>>,
    /// The namespaces whose `SecretRotation` objects `keyroll serve --kubernetes` follows. Default: none.
    pub(crate) kubernetes: Option<At<FollowedShape>>,
}

/// A recipient of notices: exactly one of `webhook`, `slack` and `smtp`. `keyroll notice test` sends a test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientShape {
    /// A reference to a file with the address of a webhook, mode 0600: `file:./oncall.url`. keyroll posts JSON to it. The
    /// address begins with `https://`; on loopback also with `http://`.
    pub(crate) webhook: Option<At<String>>,
    /// With `webhook`: a reference to the secret that signs each message as Standard Webhooks says; it begins with `whsec_`.
    /// Default: not signed.
    pub(crate) secret: Option<At<String>>,
    /// A reference to a file with the address of an incoming webhook of Slack, mode 0600: `file:./slack.url`. Mattermost and
    /// Rocket.Chat accept the same form.
    pub(crate) slack: Option<At<String>>,
    /// The server that takes mails: `smtps://HOST` (port 465), `smtp+starttls://HOST` (port 587), or, on loopback alone,
    /// `smtp://127.0.0.1` (port 25). `:PORT` may follow. Needs `from` and `to`.
    pub(crate) smtp: Option<At<String>>,
    /// With `smtp`: the sender's address.
    pub(crate) from: Option<At<String>>,
    /// With `smtp`: 1 to 16 addresses.
    pub(crate) to: Option<At<Vec<At<String>>>>,
    /// With `smtp`: a reference to a file with the line `user:password`, mode 0600. Not with `smtp://`. Default: no login.
    pub(crate) login: Option<At<String>>,
    /// The kinds of notices that are sent: `waiting`, `failed`, `ended`, `due`, `incident`, `server`. Default: all.
    pub(crate) on: Option<At<Vec<At<String>>>>,
    /// How often a notice is repeated while its reason lasts: 10s to 90d, or `never`. Default `1d`.
    pub(crate) remind_every: Option<At<String>>,
}

/// The sources of alerts, each with a reference to the file of its secret, mode 0600: `file:./github.secret`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertsShape {
    /// The secret of GitHub's webhook, which signs `POST /alerts/github`.
    pub(crate) github: Option<At<String>>,
    /// The public keys with which GitHub signs its messages to partners, as JSON:
    /// `https://api.github.com/meta/public_keys/secret_scanning`.
    pub(crate) github_keys: Option<At<String>>,
    /// A token of GitHub that may read alerts of secret scanning. GitHub's webhook does not send the leaked value; with this
    /// token keyroll reads it, so that a stored key is recognised. Without it such an alert waits for a person.
    pub(crate) github_token: Option<At<String>>,
    /// The address of GitHub's API. Default `https://api.github.com`; of a server of your own `https://HOST/api/v3`.
    pub(crate) github_api: Option<At<String>>,
    /// The signature token of GitGuardian's custom webhook, which signs `POST /alerts/gitguardian`.
    pub(crate) gitguardian: Option<At<String>>,
    /// The token with which GitLab calls the Token Revocation API under `/alerts/gitlab/`.
    pub(crate) gitlab: Option<At<String>>,
    /// The types of tokens that GitLab sends, as its own names: `gitleaks_rule_id_anthropic_api_key`. Default: none.
    #[serde(default)]
    pub(crate) gitlab_types: Vec<At<String>>,
    /// The secret of `POST /alerts/generic`, signed as Standard Webhooks says; it begins with `whsec_`.
    pub(crate) generic: Option<At<String>>,
    /// The file of the tokens of scanners: `keyroll token new NAME --alerts` adds one. A token of this file can send alerts
    /// to `/alerts/{trufflehog,kingfisher,gitleaks,sarif,generic}`, and nothing else.
    pub(crate) tokens: Option<At<String>>,
}

/// The emergency endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmergencyShape {
    /// A reference to the file of the tokens: `file:./admin-token`. `keyroll token new` adds a token to it. At most two of a
    /// role are valid, of operators and approvers eight. A line that is a token itself, of 32 to 256 characters, is accepted
    /// too, and is an admin's.
    pub(crate) admin_token: At<String>,
    /// Other names of secrets, as callers send them: `{ ANTHROPIC_API_KEY = "anthropic" }`. Without an alias a caller names
    /// the secret, or a variable that only one secret is read from.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<At<String>, At<String>>,
}

/// One service or job that uses the secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsumerShape {
    /// The name of the consumer, unique within the secret.
    pub(crate) name: At<String>,
    /// The machine that the consumer runs on: a name under `[hosts]`. On a host by ssh, the consumer's relative paths are
    /// resolved against that host's `folder`, and its commands run there. Or a cluster: the consumer is then the pods of a
    /// workload there. Default `local`.
    pub(crate) host: Option<At<String>>,
    /// Instead of `host`, several machines: names under `[hosts]`, groups, and patterns for hosts by ssh, in which `*` is any
    /// text and `?` any letter: `["web", "worker-*"]`. The consumer is then one consumer on each of them, named `NAME@HOST`,
    /// in this order, those of a group and of a pattern by name. `local` is named without a pattern.
    pub(crate) hosts: Option<At<Vec<At<String>>>>,
    /// The wave in which the consumer is moved, 0 to 99: after every consumer in a lower wave has moved. Default 0.
    pub(crate) wave: Option<At<u32>>,
    /// How the consumer's processes are found, and how keyroll makes them load a new value. Required without `serves`.
    pub(crate) runs: Option<At<RunsShape>>,
    /// The copies that the consumer reads the value from: one table, or an array of tables. Or `"store"`: the program reads
    /// the secret's `store` itself, when it starts or again and again (`runs.rereads`). Then keyroll writes no copy, and
    /// restarts the instances after the store gives out the new value; the secret must have a `store` of its own, `fetch` does
    /// not go with it, and `revoke.require` has neither `delivered` nor `read`. Required without `serves`.
    pub(crate) reads: Option<At<ReadsShape<ReadShape>>>,
    /// In a cluster: whether keyroll makes a Secret of its own name for each version of the value, `NAME-…`, and changes the
    /// workload's template to refer to it. Not for a `job`. Default false: keyroll writes the Secret that is there.
    pub(crate) versioned: Option<At<bool>>,
    /// In a cluster: whether External Secrets writes the Secret from the secret's `store`. keyroll then never writes it, asks
    /// External Secrets to write it anew, and waits for the new content. Not with `versioned`. Default false.
    pub(crate) synced: Option<At<bool>>,
    /// Instead of `runs` and `reads`: the process that gets the value from the socket of `keyroll serve`. It needs no copy,
    /// no restart and no signal. `fetch` and `log` do not go with it, and its checks have no `{copy}`.
    pub(crate) serves: Option<At<ServesShape>>,
    /// With `serves`: `own word`, if what the process says over the socket counts as evidence of the version that it uses.
    /// Where the issuer reports which version each process uses, only that report counts. In a cluster `rereads`, required with
    /// `runs.rereads`: you know that the program reads the mounted file at each call. Default: not trusted.
    pub(crate) trusts: Option<At<String>>,
    /// A command that writes the consumer's copies with the value from the store. With it, keyroll never writes the copies;
    /// keyroll runs the command, and reads the copies back. Not with `reads = "store"`, which has no copy.
    pub(crate) fetch: Option<At<Vec<At<String>>>>,
    /// The consumer's log, and the lines that show an accepted or a refused credential.
    pub(crate) log: Option<At<LogShape>>,
    /// A check that the consumer works with the new value.
    pub(crate) check: Option<At<CheckShape>>,
    /// Further code paths that use the secret, such as a fallback that is normally idle, each with its own check.
    #[serde(default)]
    pub(crate) paths: Vec<PathShape>,
}

/// The process that gets the value from the socket of `keyroll serve`. The kernel tells keyroll which process asks; its user
/// and its executable must both be these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServesShape {
    /// The local user that the process runs as: a name, `agent`, or a number in quotes, `"1001"`.
    pub(crate) uid: At<String>,
    /// The path of the executable that the process runs: `/usr/bin/python3.11`. For a script it is the interpreter; for a program below `keyroll run` the script.
    pub(crate) exe: At<String>,
}

/// One copy of the value: `env_file` with `variable`; `file` alone, if the file contains nothing else; `file` with `format`
/// and `at`; or `file` with `template`. In a cluster: `secret` with `key`, and `field` or `derived`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadShape {
    /// A file of `NAME=value` lines; needs `variable`.
    pub(crate) env_file: Option<At<String>>,
    /// With `env_file`: the name of the variable that holds the value.
    pub(crate) variable: Option<At<String>>,
    /// A file that holds the value. Alone, the whole file is the value.
    pub(crate) file: Option<At<String>>,
    /// With `file`: the format of the file: `json` (comments and trailing commas are allowed), `yaml`, `compose` (YAML in
    /// which `$` is written `$$`), `toml`, `ini`, `npmrc`, `pgpass`, `netrc`, `git_credentials`; or `userlist`, PgBouncer's
    /// `auth_file`, which takes no `at`: keyroll finds the line by the field `user`, adds a line for the next login, and
    /// removes the old line when the old login is revoked.
    pub(crate) format: Option<At<String>>,
    /// With `format`: the position of the value. For `json`, `yaml`, `compose` and `toml` a JSON pointer,
    /// `/models/openai/apiKey`; in it, an item of a list is a number from 0, or `[name=ci]` for the entry whose `name` is
    /// `ci`, or in `compose` the `NAME` of an item `NAME=value`. For `ini`: `/section/name` or `/name`. For `npmrc`: the
    /// whole key. For `pgpass`: `host:port:database` or `host:port:database:user`. For `netrc`: the machine. For
    /// `git_credentials`: `https://host` or `https://user@host`.
    pub(crate) at: Option<At<String>>,
    /// With the formats `pgpass`, `netrc` and `git_credentials`: which part of the entry the copy is, `password` (default)
    /// or `user`.
    pub(crate) part: Option<At<String>>,
    /// With `file`: the text around the value, with fields in braces: `postgres://{user}:{password}@`.
    pub(crate) template: Option<At<String>>,
    /// The name of the field that the copy contains. Default: the secret field, if there is only one.
    pub(crate) field: Option<At<String>>,
    /// The name of the text under `derived` that the copy contains, instead of a field.
    pub(crate) derived: Option<At<String>>,
    /// The command that generates the file from another file: `["./render.sh"]`. keyroll runs the command instead of writing
    /// the file, and reads the copy back. All copies in one file must have the same command.
    pub(crate) generated: Option<At<Vec<At<String>>>>,
    /// How keyroll writes the file: `rename` (default) replaces it atomically with a new file; `in_place` overwrites it, for
    /// a file that is itself a mount point, such as a file mounted into a container.
    pub(crate) write: Option<At<String>>,
    /// In a cluster: the name of the Secret that holds the value; needs `key`.
    pub(crate) secret: Option<At<String>>,
    /// With `secret`: the key in the Secret, `api-key`.
    pub(crate) key: Option<At<String>>,
}

/// A consumer's log: one of `file`, `journal` and `docker`; and `kind`, or patterns of your own, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogShape {
    /// The path of the log file; may contain `{instance}`.
    pub(crate) file: Option<At<String>>,
    /// Instead of `file`: the unit whose lines in systemd's journal are the log, `app@{instance}.service`. It is a unit of
    /// the system, or of the service manager of `runs.user` if that is set.
    pub(crate) journal: Option<At<String>>,
    /// Instead of `file`: the name of the container whose output is the log, `app-{instance}`.
    pub(crate) docker: Option<At<String>>,
    /// The kind of server that accepts the credential: `postgres`, `redis` or `http`. It selects patterns for the lines that
    /// clients of such a server usually log. `success` and `failure` override these patterns.
    pub(crate) kind: Option<At<String>>,
    /// A regular expression for lines that show an accepted credential; at most 1024 bytes, syntax of Rust's `regex`.
    pub(crate) success: Option<At<String>>,
    /// A regular expression for lines that show a refused credential; at most 1024 bytes, syntax of Rust's `regex`.
    pub(crate) failure: Option<At<String>>,
}

/// One check: `exec`; `http`; `litellm` with `config`; or `turn`, optionally with an `exec` that must succeed first. In a
/// cluster: `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckShape {
    /// A command that succeeds (exit code 0) only with a working credential. `{copy}` is the path of the consumer's first
    /// copy; with `reads = "store"` that of a private file with the value and nothing else, which keyroll writes for the check
    /// and removes after it. keyroll also runs the command on a copy with a wrong value, and it must fail there. A command
    /// without `{copy}` counts as `reported` only. In a cluster keyroll runs the command in a pod of its own, with the image,
    /// the environment and the files of the consumer's container, and again in a pod with a wrong value; there it has no
    /// `{copy}`, and its program is a path in the container.
    pub(crate) exec: Option<At<Vec<At<String>>>>,
    /// An `http://` address on loopback at which a request makes the running process use the credential:
    /// `http://127.0.0.1:{port}/check`. A status of 200 to 299 is a success.
    pub(crate) http: Option<At<String>>,
    /// The loopback address of a LiteLLM proxy, `http://127.0.0.1:4000`; needs `config`. keyroll requests each model that
    /// uses the credential from each worker, by a model id that only a worker with the new value knows.
    pub(crate) litellm: Option<At<String>>,
    /// With `litellm`: the proxy's configuration file, `./config.yaml`.
    pub(crate) config: Option<At<String>>,
    /// With `litellm`: a reference to the proxy's own key, `file:./proxy.key`, if the proxy requires one.
    pub(crate) key: Option<At<String>>,
    /// With `litellm`: the only model to request, by the name that callers use. Default: every model that uses the
    /// credential.
    pub(crate) model: Option<At<String>>,
    /// With `runs.openclaw`: the model for one turn of the agent, `provider/model`. No other model can answer instead. The
    /// provider bills the turn as a normal call.
    pub(crate) turn: Option<At<String>>,
    /// With `turn`: the id of the agent that takes the turn. Default: every agent in OpenClaw's settings, one
    /// turn each.
    pub(crate) agent: Option<At<String>>,
}

/// A further code path that uses the secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathShape {
    /// The name of the path, unique within the consumer.
    pub(crate) name: At<String>,
    /// The check of this path.
    pub(crate) check: At<CheckShape>,
}
