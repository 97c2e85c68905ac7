//! The facts about each program, as data: docs/reference/agents.md is made from them.

/// The source of what is known about a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The program itself, of this release, is rotated in the tests.
    Rotated(&'static str),
    /// From the program's documentation, and from files made after it. The program's keys are located and explained,
    /// not delivered.
    Documented,
}

/// One row: a program, and a source that it takes a key from.
#[derive(Debug, Clone, Copy)]
pub struct AgentFact {
    /// The program.
    pub agent: &'static str,
    /// Where the key is stored.
    pub source: &'static str,
    /// The source that wins over it.
    pub loses_to: &'static str,
    /// What applies a new key.
    pub applies: &'static str,
    /// The command that reports success and does not apply the key.
    pub seems: &'static str,
    /// How long callers notice the change.
    pub away: &'static str,
    /// The source of this knowledge.
    pub tried: Tried,
    /// The test that shows it; empty where there is none.
    pub test: &'static str,
}

const STALE: &str = "`secrets reload` (`ok`, no warning), `gateway restart`, SIGUSR2: the old key stays";

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
        "a profile of the provider",
        "nothing: read within a second",
        "where a profile wins: `config hot reload applied`",
        "not",
    ),
    openclaw(
        "`env.vars` in `openclaw.json`",
        "the environment of its start, `.env`",
        "nothing: it restarts itself in its process",
        "`secrets reload`",
        "5 to 15 s",
    ),
    openclaw(
        "`.env`, by `${NAME}` or a reference",
        "the environment of its start, `.env` of the folder that it works in",
        "a new process: `restart` or `unit`",
        STALE,
        "17 to 50 s",
    ),
    openclaw(
        "a file, by a reference",
        "-",
        "`secrets reload`, `warningCount` 0",
        "a reload with a warning: `ok`, and the old key stays",
        "not",
    ),
    openclaw(
        "a program, by a reference",
        "-",
        "`secrets reload`, `warningCount` 0",
        "a reload with a warning: `ok`, and the old key stays",
        "not",
    ),
    openclaw(
        "its store, by a reference",
        "-",
        "`secrets store set`, then `secrets reload`",
        "`secrets store set` alone",
        "not",
    ),
    openclaw(
        "a profile",
        "a variable or a reference in `openclaw.json`",
        "`models auth paste-api-key`",
        "a new `apiKey` in `openclaw.json`",
        "not",
    ),
    litellm(
        "`.env` in the folder that it runs in, by `os.environ/NAME`",
        "the environment of its start",
        "`litellm`: each worker is ended while another one answers, and comes up with it",
        "SIGHUP to the master: it gives a new worker 5 s to start, which take 20, and keeps the old one",
        "not, with two workers or more",
    ),
    litellm(
        "`api_key` in `config.yaml`",
        "-",
        "`litellm`: as above",
        "`/health/readiness`: healthy on any key",
        "not, with two workers or more",
    ),
    litellm(
        "the environment of its start, by `os.environ/NAME`",
        "-",
        "a new process: `restart`, `unit`, `compose`",
        "a new worker: it inherits the old one",
        "20 to 60 s",
    ),
    AgentFact {
        agent: "LiteLLM",
        source: "its database (`store_model_in_db`), encrypted",
        loses_to: "-",
        applies: "its admin API",
        seems: "an edit of `config.yaml`",
        away: "not",
        tried: Tried::Documented,
        test: "",
    },
    documented(
        "Hermes",
        "`~/.hermes/.env`",
        "the environment of its start, in some releases",
        "nothing: the next turn; `hermes gateway restart` where an auxiliary client kept the old key",
        "`hermes auth reset`",
        "hermes_is_explained",
    ),
    documented(
        "Hermes",
        "`credential_pool` in `~/.hermes/auth.json`",
        "-",
        "`hermes auth`, then `hermes auth reset PROVIDER`: a new key inherits that the old one was refused",
        "an answer of the provider: another key of the pool gave it",
        "hermes_is_explained",
    ),
    documented(
        "n8n",
        "`credentials_entity` of its database, encrypted: named, not read",
        "`CREDENTIALS_OVERWRITE_DATA`",
        "`PATCH /api/v1/credentials/ID`",
        "deleting it and making another: workflows name it by its id",
        "n8n_is_explained",
    ),
    documented(
        "Open WebUI",
        "the table `config` of `webui.db`",
        "the environment, with `ENABLE_PERSISTENT_CONFIG=False` alone",
        "its admin's page or API",
        "the environment and a restart",
        "open_webui_is_explained",
    ),
    documented(
        "Claude Code",
        "`env` of settings files, the environment, `apiKeyHelper`, a login",
        "in this order; `ANTHROPIC_AUTH_TOKEN` before `ANTHROPIC_API_KEY`",
        "a new session; `apiKeyHelper` is asked again",
        "an edit while a session runs",
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
Programs that call models keep their keys in places of their own. For each source of a key: what wins over it, what makes a \
new key live, what reports success and does not, and for how long callers notice.\n\n\
*rotated*: the program itself is rotated in the tests, in this release. \
*documented*: it is located and explained from files made as its documents describe them; it is not delivered.\n\n\
| program | the key stands in | which loses to | applied by | seems to be, and is not | away | known by | test |\n\
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
