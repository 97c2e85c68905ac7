//! What each shipped spec supports and which tests cover it. docs/reference/issuers.md is generated from here; a test
//! verifies that every test that the page names exists.

use keyroll_rotation::{LastUsed, MintedBy, Overlap};

use crate::registry::Spec;

/// One shipped spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerFact {
    /// The name of the spec.
    pub name: &'static str,
    /// Whether every run of the tests rotates it; otherwise only a run with `--full` does.
    pub every_run: bool,
    /// Whether whole rotations by it are run at all; otherwise only its calls are tested.
    pub rotated: bool,
}

const fn fact(name: &'static str, every_run: bool) -> IssuerFact {
    IssuerFact { name, every_run, rotated: true }
}

/// A spec whose whole rotations the local issuer cannot play: keyroll chooses the value, and the local issuer keeps none.
const fn calls_only(name: &'static str) -> IssuerFact {
    IssuerFact { name, every_run: false, rotated: false }
}

/// Every shipped spec. Every run of the tests covers one spec of each mechanism.
pub const ISSUER_FACTS: &[IssuerFact] = &[
    fact("anthropic", false),
    fact("cloudflare", false),
    fact("confluent", false),
    fact("databricks", false),
    fact("databricks-token", false),
    fact("datadog", false),
    fact("deepgram", false),
    fact("discord", true),
    fact("docker-hub", false),
    fact("docker-hub-organization", false),
    fact("elevenlabs", false),
    fact("entra-client-secret", false),
    fact("gcp-service-account-key", false),
    fact("github-app-key", false),
    fact("github-app-token", false),
    fact("github-classic", true),
    fact("github-fine-grained", false),
    fact("gitlab", false),
    fact("grafana", false),
    calls_only("hmac-set"),
    fact("hugging-face", false),
    fact("mailgun", false),
    fact("mongodb-atlas", false),
    fact("npm", false),
    fact("oauth2-client-secret", false),
    fact("okta-client-secret", false),
    fact("openai-service-account", false),
    fact("openrouter", true),
    fact("sendgrid", false),
    fact("slack", false),
    fact("snowflake", false),
    fact("stripe-restricted", false),
    fact("stripe-secret", false),
    fact("telegram", false),
    fact("twilio", false),
    fact("vonage", true),
];

/// What has no spec: name, mechanism and tests.
const SERVERS: &[[&str; 3]] = &[
    [
        "PostgreSQL logins",
        "two login roles under one owner role; keyroll chooses the password",
        "`logins_are_replaced_under_load`, `a_rotation_goes_back_half_way_and_nothing_fails`",
    ],
    [
        "PostgreSQL logins of Vault or OpenBao",
        "two static roles of the database engine; Vault chooses the password, and a rotation of the old role revokes it",
        "`two_static_roles_take_turns_under_load`, `killed_when_vault_has_turned_the_idle_role_nothing_is_lost`, `while_vault_is_sealed_programs_go_on_and_the_revocation_waits`, `an_abort_turns_the_idle_role_once_more_and_touches_no_program`",
    ],
    [
        "Redis users",
        "rotations alternate between two users; keyroll chooses the password",
        "`redis_users_are_replaced_under_load`, `a_redis_rotation_goes_back_half_way`, `a_redis_rotation_killed_at_any_moment_loses_nothing`",
    ],
    [
        "MariaDB accounts",
        "rotations alternate between two accounts; keyroll chooses the password",
        "`mariadb_accounts_are_replaced_under_load`, `a_mariadb_rotation_goes_back_from_the_last_moment`, `a_killed_mariadb_rotation_loses_nothing`",
    ],
    [
        "RabbitMQ users",
        "rotations alternate between two users; keyroll chooses the password",
        "`rabbitmq_users_are_replaced_under_load`, `a_rabbitmq_rotation_goes_back_from_the_last_moment`, `a_killed_rabbitmq_rotation_loses_nothing`",
    ],
    [
        "AWS access keys",
        "two access keys of an IAM user; AWS makes the value, and refuses an inactive key; tested at moto's IAM and STS",
        "`access_keys_are_replaced_under_load_and_rolled_back`, `a_killed_rotation_of_access_keys_names_the_key_whose_secret_is_lost`, `a_second_access_key_of_somebody_else_stops_the_plan`",
    ],
];

const HEAD: &str = "# Issuers\n\n\
    Generated from `issuers/*.toml` and `crates/issuers/issuer/src/facts.rs`; do not edit by hand.\n\n\
    **No spec has been tested against the real service yet.** The specs were written from the vendors' documentation. Each \
    spec lists its sources, and the day on which they were last read. The tests run complete rotations with the keyroll \
    binary against a local server that answers as the spec expects. Meanwhile a service with two instances, which uses the \
    key, gets 100 requests a second. The tests cover a rotation that completes, one that is rolled back, and rotations in \
    which keyroll is killed after the mint, before a restart, and after the revoke. No request may fail, except during \
    downtime that the plan announced. The tests replace only the hosts and the times of `[propagation]` in a spec.\n\n\
    *lists keys*, *key preview*, *last use* and *can disable* say what the issuer's API offers to keyroll through the \
    spec.\n\n\
    | `issuer` | who makes a key; how many can exist | lists keys | key preview | last use | can disable | old key revoked by | tested in |\n\
    |---|---|---|---|---|---|---|---|\n";

const TAIL: &str = "\nThe test `issuers_under_load` runs these rotations. *every run*: `cargo xtask test` runs them. *every night*: only \
    `cargo xtask test --full` runs them. `--full` also adds two scenarios for every spec. In the first, the issuer is \
    faulty: changes take effect late, with contradictory answers in the meantime; answers are lost; calls are refused as \
    too many; lists are incomplete; a key is refused for another reason than its revocation. The second is an \
    emergency, whose report must show the times since the alert.\n\n\
    Every run also tests every spec against single faulty answers: `too_many_calls_and_broken_answers`, \
    `late_births_and_late_deaths`, `half_lists_are_never_whole`, `alive_but_refused_is_never_dead`, \
    `an_issuer_that_flaps_is_read_answer_by_answer`, `lost_answers`.\n\n\
    The vendors do not document how late a time of last use appears. Therefore no spec reads it, and the plan says *idle: \
    not visible*.\n\n\
    GitHub revokes tokens by value, without a login, at `POST /credentials/revoke`. The call is meant for tokens that were \
    found exposed; GitHub notifies the owner by mail, and the revocation cannot be undone. No spec uses the call, for two \
    reasons: an operation of a spec names a key by its id, which GitHub does not report; and it authenticates with a \
    credential, and GitHub refuses that call with a credential. The steps for the operator name the call.\n\n\
    ## Built in\n\n\
    These issuers have no spec. The tests rotate logins of real servers, and access keys at moto, under load:\n\n\
    | issuer | mechanism | tests |\n\
    |---|---|---|\n";

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "-" }
}

/// Who makes keys, how many can exist at the same time, and who revokes them, in words.
pub fn mechanism(spec: &Spec) -> [String; 3] {
    let can = spec.capabilities();
    let minted = match can.minted_by {
        MintedBy::Api => "API",
        MintedBy::Us => "API, keyroll chooses the value",
        MintedBy::Human => "by hand",
    };
    let overlap = match can.overlap {
        Overlap::Independent { max: 0 } => "any number of keys".to_owned(),
        Overlap::Independent { max } => format!("up to {max} keys"),
        Overlap::TwoSlots => "two slots".to_owned(),
        Overlap::Grace { .. } => "the old key for a grace period".to_owned(),
        Overlap::None => "one value at a time".to_owned(),
    };
    let ended = match (can.overlap, spec.revokes()) {
        (Overlap::None | Overlap::Grace { .. }, _) => "the new key",
        (_, true) => "API",
        (_, false) => "the operator",
    };
    [minted.to_owned(), overlap, ended.to_owned()]
}

fn row(fact: &IssuerFact) -> Option<String> {
    let spec = Spec::shipped(fact.name).ok()?;
    let can = spec.capabilities();
    let [minted, overlap, ended] = mechanism(&spec);
    let used = match can.last_used {
        LastUsed::NotVisible => "-",
        LastUsed::PerKey { .. } => "per key",
        LastUsed::PerPrincipal => "per principal",
    };
    let hint = spec.document().op.list.as_ref().is_some_and(|list| list.hint.is_some());
    let when = match (fact.rotated, fact.every_run) {
        (false, _) => "every run, its calls only",
        (true, true) => "every run",
        (true, false) => "every night",
    };
    let cells = [yes(can.list), yes(hint), used, yes(can.disable), &ended, when].join(" | ");
    Some(format!("| `{}` | {minted}; {overlap} | {cells} |\n", fact.name))
}

/// The page docs/reference/issuers.md.
pub fn issuers_markdown() -> String {
    let rows: String = ISSUER_FACTS.iter().filter_map(row).collect();
    let servers: String = SERVERS.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    [HEAD, &rows, TAIL, &servers].concat()
}
