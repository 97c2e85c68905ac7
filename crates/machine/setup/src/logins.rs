//! Consumers that accept logins themselves: a pooler with a list of logins.

use keyroll_codes::Code;
use keyroll_config::{Consumer, Place, Secret};
use keyroll_port::{Class, Failure};

/// True if the consumer passes on the logins of its clients: the issuer sees no call of its own.
pub fn passes_on(consumer: &Consumer) -> bool {
    consumer.reads.iter().any(|copy| matches!(copy.place, Place::Userlist { .. }))
}

/// The ports of the poolers.
pub(crate) fn pooler_ports(secret: &Secret) -> impl Iterator<Item = u16> {
    secret.server.iter().flat_map(|server| server.poolers()).filter_map(|pooler| pooler.port("port"))
}

/// Refuses a list of logins without a configured pooler that reports its clients, or that would be moved after a consumer
/// that logs in through it.
pub(crate) fn refuse_unfit_lists(secret: &Secret) -> Result<(), Failure> {
    let refused = |consumer: &Consumer| {
        let attempted = format!("move {} of {}", consumer.name, secret.name);
        Failure::new(Class::Permanent, Code::PoolerUnusable, attempted)
    };
    let turns = || secret.consumers.iter().enumerate().map(|(at, it)| ((it.is_pull(), it.wave, at), it));
    let first = turns().filter(|(_, it)| !passes_on(it)).map(|(turn, _)| turn).min();
    for (turn, consumer) in turns().filter(|(_, it)| passes_on(it)) {
        if pooler_ports(secret).next().is_none() {
            return Err(refused(consumer)
                .because(
                    "it has a list of logins, but no pooler is configured that could report who uses them",
                )
                .help(format!("add [[secrets.{}.postgres.poolers]]", secret.name)));
        }
        if first.is_some_and(|first| first < turn) {
            return Err(refused(consumer)
                .because("other consumers log in through it, and one of them is declared before it: their new login \
                 would not exist yet")
                .help("declare it before every other consumer of this secret in keyroll.toml, in no later wave"));
        }
    }
    Ok(())
}
