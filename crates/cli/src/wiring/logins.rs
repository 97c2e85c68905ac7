//! Consumers that let others in: a pooler with a list of logins.

use keyroll_config::{Consumer, Place, Secret};

use crate::problem::Problem;

/// Whether it hands on the logins of others: no call of its own shows at the issuer.
pub(super) fn passes_on(consumer: &Consumer) -> bool {
    consumer.reads.iter().any(|copy| matches!(copy.place, Place::Userlist { .. }))
}

/// The ports at which poolers listen.
pub(super) fn pooler_ports(secret: &Secret) -> impl Iterator<Item = u16> {
    secret.postgres.iter().flat_map(|place| &place.poolers).map(|pooler| pooler.port)
}

/// Whoever comes through a list of logins must find its new one there; and who still comes with the old one only the
/// pooler itself can say.
pub(super) fn refuse_unfit_lists(secret: &Secret) -> Result<(), Problem> {
    let attempted = |consumer: &Consumer| format!("move {} of {}", consumer.name, secret.name);
    let mut others = false;
    for consumer in &secret.consumers {
        if !passes_on(consumer) {
            others = true;
            continue;
        }
        if pooler_ports(secret).next().is_none() {
            return Err(Problem::new("K0322", attempted(consumer))
                .because("it has a list of logins, and no pooler is named that can be asked who uses them")
                .help(format!("add [[secrets.{}.postgres.poolers]]", secret.name)));
        }
        if others {
            return Err(Problem::new("K0322", attempted(consumer))
                .because("it lets others in, and stands behind one of them: their new login would not be there yet")
                .help("put it before every other consumer of this secret in keyroll.toml"));
        }
    }
    Ok(())
}
