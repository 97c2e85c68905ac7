use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{ConsumerSplit, Name, split_consumer};

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
