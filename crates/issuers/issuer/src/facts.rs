//! What each shipped spec can do and what was tried with it: docs/reference/issuers.md is made of it, and a test sees that
//! each test that it names is there.

use keyroll_rotation::{LastUsed, MintedBy, Overlap};

use crate::registry::Spec;

/// One shipped spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerFact {
    /// The name that it is shipped by.
    pub name: &'static str,
    /// Whether whole rotations of it are part of every run of the tests; else of a night's.
    pub every_run: bool,
}

const fn fact(name: &'static str, every_run: bool) -> IssuerFact {
    IssuerFact { name, every_run }
}

/// Every shipped spec; one of each mechanism in every run.
pub const ISSUER_FACTS: &[IssuerFact] = &[
    fact("anthropic", false),
    fact("cloudflare", false),
    fact("discord", true),
    fact("github-classic", true),
    fact("github-fine-grained", false),
    fact("gitlab", false),
    fact("grafana", false),
    fact("openai-service-account", false),
    fact("openrouter", true),
    fact("sendgrid", false),
    fact("stripe-restricted", false),
    fact("stripe-secret", false),
    fact("vonage", true),
];

/// The servers, which are no specs: what is there, and the tests.
const SERVERS: &[[&str; 3]] = &[
    [
        "PostgreSQL logins",
        "two logins under one owner; we choose the password",
        "`logins_are_replaced_under_load`, `a_rotation_goes_back_half_way_and_nothing_fails`",
    ],
    [
        "Redis users",
        "two users that take turns; we choose the password",
        "`redis_users_are_replaced_under_load`, `a_redis_rotation_goes_back_half_way`, `a_killed_redis_rotation_loses_nothing`",
    ],
    [
        "MariaDB accounts",
        "two accounts that take turns; we choose the password",
        "`mariadb_accounts_are_replaced_under_load`, `a_mariadb_rotation_goes_back_from_the_last_moment`, `a_killed_mariadb_rotation_loses_nothing`",
    ],
    [
        "RabbitMQ users",
        "two users that take turns; we choose the password",
        "`rabbitmq_users_are_replaced_under_load`, `a_rabbitmq_rotation_goes_back_from_the_last_moment`, `a_killed_rabbitmq_rotation_loses_nothing`",
    ],
];

const HEAD: &str = "# Issuers\n\n\
    Generated from `issuers/*.toml` and `crates/issuers/issuer/src/facts.rs`; do not edit by hand.\n\n\
    **None of these specs was ever tried against the real service.** They were written from the vendors' documents, which \
    each one cites with the day on which they were read. What is tested is that whole rotations go well with an issuer that \
    answers as the spec expects, by the shipped program, with a service of two instances that is called a hundred times a \
    second at its address: under load, killed after the mint, before a restart and after the deletion, and back again. No \
    request may fail, but in a gap that the plan announced. The host and the times of `[propagation]` are replaced for it, \
    and nothing else of the spec.\n\n\
    | `issuer` | mechanism | list | hint | last use | off and on | ended by | rotations |\n\
    |---|---|---|---|---|---|---|---|\n";

const TAIL: &str = "\nThe rotations are those of `issuers_under_load`: *every run* is `cargo xtask test`, *every night* \
    `cargo xtask test --full`, which adds two days for every spec: bad weather (births and deaths that spread slowly, with \
    answers to and fro meanwhile, lost answers, too many calls, half lists, keys that are refused for another reason), and \
    an emergency with its clock. With each single answer in each mood every spec is tested in every run: \
    `too_many_calls_and_broken_answers`, `late_births_and_late_deaths`, `half_lists_are_never_whole`, \
    `alive_but_refused_is_never_dead`, `an_issuer_that_flaps_is_read_answer_by_answer`, `lost_answers`.\n\n\
    The vendors' times of last use have no documented lag, so no spec reads them: the plan says *idle: not visible*.\n\n\
    GitHub ends tokens by their value, without a login, at `POST /credentials/revoke`: it is meant for tokens that were \
    found exposed, tells their owner by mail, and cannot be undone. No spec calls it: an operation here names a key by its \
    id, which GitHub does not tell, and shows a credential, with which that call is refused. The person's steps name it.\n\n\
    ## Servers\n\n\
    Real servers, under load:\n\n\
    | server | mechanism | tests |\n\
    |---|---|---|\n";

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "-" }
}

/// Who makes keys by a spec, how many live beside each other, and who ends them, in words.
pub fn mechanism(spec: &Spec) -> [String; 3] {
    let can = spec.capabilities();
    let minted = match can.minted_by {
        MintedBy::Api => "API",
        MintedBy::Us => "API, we choose the value",
        MintedBy::Human => "by hand",
    };
    let overlap = match can.overlap {
        Overlap::Independent { max: 0 } => "any number of keys".to_owned(),
        Overlap::Independent { max } => format!("up to {max} keys"),
        Overlap::TwoSlots => "two slots".to_owned(),
        Overlap::Grace { .. } => "a grace".to_owned(),
        Overlap::None => "one value at a time".to_owned(),
    };
    let ended = match (can.overlap, spec.revokes()) {
        (Overlap::None | Overlap::Grace { .. }, _) => "the new one",
        (_, true) => "API",
        (_, false) => "a person",
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
    let when = if fact.every_run { "every run" } else { "every night" };
    let cells = [yes(can.list), yes(hint), used, yes(can.disable), &ended, when].join(" | ");
    Some(format!("| `{}` | {minted}; {overlap} | {cells} |\n", fact.name))
}

/// The page docs/reference/issuers.md.
pub fn issuers_markdown() -> String {
    let rows: String = ISSUER_FACTS.iter().filter_map(row).collect();
    let servers: String = SERVERS.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    [HEAD, &rows, TAIL, &servers].concat()
}
