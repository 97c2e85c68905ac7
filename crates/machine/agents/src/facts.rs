//! The facts about each program, as data: docs/reference/agents.md is made from them.

/// The source of what is known about a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The program itself, of this release, is rotated in the tests.
    Rotated(&'static str),
    /// The program's documentation, and files made according to it. keyroll finds and explains the program's keys, but
    /// cannot rotate them.
    Documented,
}

/// One row: a program, and a source that it takes a key from.
#[derive(Debug, Clone, Copy)]
pub struct AgentFact {
    /// The program.
    pub agent: &'static str,
    /// Where the key is stored.
    pub source: &'static str,
    /// The source that overrides it.
    pub loses_to: &'static str,
    /// What applies a new key.
    pub applies: &'static str,
    /// What reports success and does not apply the key.
    pub seems: &'static str,
    /// How long the program is unavailable while the key is applied.
    pub away: &'static str,
    /// The source of this knowledge.
    pub tried: Tried,
    /// The test that shows it; empty where there is none.
    pub test: &'static str,
}

const STALE: &str = "`secrets reload` (reports `ok` without a warning), `gateway restart`, SIGUSR2: OpenClaw keeps the old key";

const fn openclaw(
    source: &'static str,
    loses_to: &'static str,
    applies: &'static str,
    seems: &'static str,
    away: &'static str,
) -> AgentFact {
    let (tried, test) = (Tried::Rotated("2026.9.6"), "openclaw_moves_under_load");
    AgentFact { agent: "OpenClaw", source, loses_to, applies, seems, away, tried, test }
}

const fn litellm(
    source: &'static str,
    loses_to: &'static str,
    applies: &'static str,
    seems: &'static str,
    away: &'static str,
) -> AgentFact {
    let (tried, test) = (Tried::Rotated("1.106.2"), "litellm_moves_worker_by_worker_under_load");
    AgentFact { agent: "LiteLLM", source, loses_to, applies, seems, away, tried, test }
}

const fn documented(
    agent: &'static str,
    source: &'static str,
    loses_to: &'static str,
    applies: &'static str,
    seems: &'static str,
    test: &'static str,
) -> AgentFact {
    AgentFact { agent, source, loses_to, applies, seems, away: "-", tried: Tried::Documented, test }
}

/// Every row, in the order of the page. The rows of one program follow each other.
pub const AGENT_FACTS: &[AgentFact] = &[
    openclaw(
        "`apiKey` in `openclaw.json`",
        "an auth profile of the provider",
        "nothing: OpenClaw reads the change within a second",
        "an edit, if a profile overrides it; OpenClaw logs `config hot reload applied` all the same",
        "none",
    ),
    openclaw(
        "`env.vars` in `openclaw.json`",
        "the environment at start, `.env`",
        "nothing: the gateway restarts itself within its process",
        "`secrets reload`",
        "5 to 15 s",
    ),
    openclaw(
        "`.env`, named by `${NAME}` or a reference",
        "the environment at start, `.env` in the working folder",
        "a new process: `restart` or `unit`",
        STALE,
        "17 to 50 s",
    ),
    openclaw(
        "a file, named by a reference",
        "-",
        "`secrets reload`, if it reports `warningCount` 0",
        "a reload with a warning: it reports `ok`, and OpenClaw keeps the old key",
        "none",
    ),
    openclaw(
        "a program, named by a reference",
        "-",
        "`secrets reload`, if it reports `warningCount` 0",
        "a reload with a warning: it reports `ok`, and OpenClaw keeps the old key",
        "none",
    ),
    openclaw(
        "OpenClaw's secret store, named by a reference",
        "-",
        "`secrets store set`, then `secrets reload`",
        "`secrets store set` alone",
        "none",
    ),
    openclaw(
        "an auth profile",
        "a variable or a reference in `openclaw.json`",
        "`models auth paste-api-key`",
        "a new `apiKey` in `openclaw.json`",
        "none",
    ),
    litellm(
        "`.env` in the working folder, named by `os.environ/NAME`",
        "the environment at start",
        "`runs.litellm`: keyroll ends each worker while another worker answers, and the new worker reads the new key",
        "SIGHUP to the master: it gives a new worker 5 s to start, but a start takes 20 s, so it keeps the old worker",
        "none with two workers or more",
    ),
    litellm(
        "`api_key` in `config.yaml`",
        "-",
        "`runs.litellm`, as above",
        "`/health/readiness`: it reports healthy with any key",
        "none with two workers or more",
    ),
    litellm(
        "the environment at start, named by `os.environ/NAME`",
        "-",
        "a new process: `restart`, `unit`, `compose`",
        "a new worker: it inherits the old key",
        "20 to 60 s",
    ),
    AgentFact {
        agent: "LiteLLM",
        source: "its database (`store_model_in_db`), encrypted",
        loses_to: "-",
        applies: "its admin API",
        seems: "an edit of `config.yaml`",
        away: "none",
        tried: Tried::Documented,
        test: "",
    },
    documented(
        "Hermes",
        "`~/.hermes/.env`",
        "the environment at start, in some releases",
        "nothing: Hermes reads the file at the next turn; `hermes gateway restart`, if an auxiliary client kept the old key",
        "`hermes auth reset`",
        "hermes_is_explained",
    ),
    documented(
        "Hermes",
        "`credential_pool` in `~/.hermes/auth.json`",
        "-",
        "`hermes auth`, then `hermes auth reset PROVIDER`, because a new key inherits the mark that the old key was refused",
        "a successful call: Hermes may have used another key of the pool",
        "hermes_is_explained",
    ),
    documented(
        "n8n",
        "the table `credentials_entity` of its database, encrypted: keyroll reports the entry, but cannot read the key",
        "`CREDENTIALS_OVERWRITE_DATA`",
        "`PATCH /api/v1/credentials/ID`",
        "deleting the credential and making another: workflows refer to it by its id",
        "n8n_is_explained",
    ),
    documented(
        "Open WebUI",
        "the table `config` of `webui.db`",
        "the environment, but only with `ENABLE_PERSISTENT_CONFIG=False`",
        "its admin page or admin API",
        "a change of the environment and a restart",
        "open_webui_is_explained",
    ),
    documented(
        "Claude Code",
        "`env` in settings files, the environment, `apiKeyHelper`, a login",
        "the earlier of these sources; `ANTHROPIC_AUTH_TOKEN` overrides `ANTHROPIC_API_KEY`",
        "a new session; Claude Code runs `apiKeyHelper` again during a session",
        "an edit during a session",
        "claude_code_is_explained",
    ),
    documented(
        "Codex",
        "`auth.json`, `env_key` of a provider in `config.toml`",
        "`CODEX_API_KEY` for `codex exec`",
        "`codex login --with-api-key`, then a new session",
        "a new `OPENAI_API_KEY` in the environment",
        "codex_is_explained",
    ),
];

const HEAD: &str = "# Agents\n\nGenerated from `crates/machine/agents/src/facts.rs`; do not edit by hand.\n\n\
Programs that call models read their keys from sources of their own. For each source of a key, the table says which other \
source overrides it, what makes the program use a new key, what reports success without applying the key, and how long the \
program is unavailable while the key is applied.\n\n\
*rotated*: the tests rotate a key of the program itself, in the release that is named. *documented*: keyroll finds and \
explains the key, but cannot rotate it; the tests use files made according to the program's documentation. `-`: none, or not \
known.\n\n\
| program | source of the key | overridden by | applied by | does not apply it | downtime | basis | test |\n\
|---|---|---|---|---|---|---|---|\n";

/// docs/reference/agents.md.
pub fn agents_markdown() -> String {
    let rows = AGENT_FACTS.iter().map(|row| {
        let known = match row.tried {
            Tried::Rotated(release) => format!("rotated, {release}"),
            Tried::Documented => "documented".to_owned(),
        };
        let test = if row.test.is_empty() { "-".to_owned() } else { format!("`{}`", row.test) };
        let cells = [row.agent, row.source, row.loses_to, row.applies, row.seems, row.away];
        format!("| {} | {known} | {test} |\n", cells.join(" | "))
    });
    HEAD.to_owned() + &rows.collect::<String>()
}
