//! Consumers that accept logins themselves: a pooler with a list of logins.

use keyroll_codes::Code;
use keyroll_config::{Consumer, Place, Secret};

use crate::problem::Problem;

/// True if the consumer passes on the logins of its clients: the issuer sees no call of its own.
pub(crate) fn passes_on(consumer: &Consumer) -> bool {
    consumer.reads.iter().any(|copy| matches!(copy.place, Place::Userlist { .. }))
}

/// The ports of the poolers.
pub(crate) fn pooler_ports(secret: &Secret) -> impl Iterator<Item = u16> {
    secret.server.iter().flat_map(|server| server.poolers()).filter_map(|pooler| pooler.port("port"))
}

/// Refuses a list of logins without a configured pooler that reports its clients, or declared after a consumer that
/// logs in through it.
pub(crate) fn refuse_unfit_lists(secret: &Secret) -> Result<(), Problem> {
    let attempted = |consumer: &Consumer| format!("move {} of {}", consumer.name, secret.name);
    let mut others = false;
    for consumer in &secret.consumers {
        if !passes_on(consumer) {
            others = true;
            continue;
        }
        if pooler_ports(secret).next().is_none() {
            return Err(Problem::new(Code::PoolerUnusable, attempted(consumer))
                .because(
                    "it has a list of logins, but no pooler is configured that could report who uses them",
                )
                .help(format!("add [[secrets.{}.postgres.poolers]]", secret.name)));
        }
        if others {
            return Err(Problem::new(Code::PoolerUnusable, attempted(consumer))
                .because("other consumers log in through it, and one of them is declared before it: their new login \
                 would not exist yet")
                .help("declare it before every other consumer of this secret in keyroll.toml"));
        }
    }
    Ok(())
}
