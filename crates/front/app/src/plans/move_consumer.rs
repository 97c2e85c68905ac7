use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Consumer, ConsumerSplit, Name, Secret, split_consumer};

use crate::problem::Problem;
use crate::records::saved_plan::Share;

/// The configuration with one consumer moved into its own secret.
pub(crate) fn moved(text: &str, file: &Path, secret: &str, share: &Share) -> Result<String, Problem> {
    let name = |name: &str| {
        Name::new(name).ok_or_else(|| splitting(secret).because(format!("{name} cannot be a name")))
    };
    let (secret, consumer, member) = (&name(secret)?, &name(&share.consumer)?, &name(&share.secret)?);
    let split = ConsumerSplit { secret, consumer, member };
    Ok(split_consumer(text, &file.display().to_string(), &split)?)
}

pub(crate) fn splitting(secret: &str) -> Problem {
    Problem::new(Code::SplitImpossible, format!("give each consumer of {secret} its own key"))
}

/// Refuses a secret with consumers that cannot get keys of their own: keyroll proves such a key only on this machine, and
/// moves only a table that is for one machine.
pub(crate) fn refuse_several_machines(secret: &Secret) -> Result<(), Problem> {
    let name = &secret.name;
    let wrong = |consumer: &&Consumer| !consumer.is_here || is_of_several(consumer);
    let Some(consumer) = secret.consumers.iter().find(wrong) else { return Ok(()) };
    let problem = splitting(name.as_str());
    Err(match consumer.is_here {
        false => problem
            .because(format!(
                "{} runs on {}, and keyroll splits keys of consumers on this machine only",
                consumer.name, consumer.host
            ))
            .help(format!(
                "add a secret of its own for it (keyroll secret add), and move its table in keyroll.toml there; keyroll plan \
                 {name} rotates the shared key on all machines"
            )),
        true => problem
            .because(format!("keyroll.toml declares {} with `hosts`: its table may be for several machines", consumer.name))
            .help(format!("leave out `hosts`, or name its machine with `host`; then keyroll split {name}")),
    })
}

/// Whether it is declared with `hosts`. Nobody may write such a name.
fn is_of_several(consumer: &Consumer) -> bool {
    Name::new(consumer.name.as_str()).is_none()
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    /// The refusal of a split of `acme`, whose consumer `api` has this line.
    fn refused(line: &str) -> Option<String> {
        let text = format!(
            "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv\"\n[secrets.acme]\n\
             issuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n{line}\n\
             runs = {{ at_rest = true }}\nreads = {{ file = \"./key\" }}\n"
        );
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        let problem = refuse_several_machines(config.secret("acme").unwrap()).err()?;
        Some(format!("{} {}", problem.sentence(), problem.help.unwrap()))
    }

    #[test]
    fn only_consumers_of_this_machine_with_a_table_of_their_own_get_keys_of_their_own() {
        assert_eq!(refused(""), None);
        assert_eq!(refused("host = \"local\""), None);
        let there = refused("host = \"web-1\"").unwrap();
        assert!(there.contains("api runs on web-1") && there.contains("keyroll plan acme"), "{there}");
        let several = refused("hosts = [\"web-1\"]").unwrap();
        assert!(several.contains("api@web-1 runs on web-1"), "{several}");
        let here = refused("hosts = [\"local\"]").unwrap();
        assert!(here.contains("api@local with `hosts`") && here.contains("keyroll split acme"), "{here}");
    }

    #[test]
    fn a_consumer_of_several_machines_is_refused_and_not_skipped() {
        let share = Share { consumer: "api@web-1".to_owned(), secret: "own".to_owned() };
        let refused = moved("version = 1\n", Path::new("/srv/keyroll.toml"), "acme", &share).unwrap_err();
        assert!(refused.sentence().contains("api@web-1 cannot be a name"), "{}", refused.sentence());
    }
}
