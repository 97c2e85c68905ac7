//! A LiteLLM proxy as a consumer: how its workers are asked, and which variables their environment must not have.

use std::path::PathBuf;

use keyroll_config::{Consumer, LiteLlmCheck, Place, Reference, Source};
use keyroll_host::LiteLlmSetup;

/// The env files and variables that a consumer reads the value from.
fn variables(consumer: &Consumer) -> impl Iterator<Item = (&PathBuf, &String)> {
    consumer.reads.iter().filter_map(|copy| match &copy.place {
        Place::EnvFile { path, variable } => Some((path, variable)),
        Place::File { .. }
        | Place::Inside { .. }
        | Place::Userlist { .. }
        | Place::Within { .. }
        | Place::Key { .. } => None,
    })
}

pub(crate) fn litellm_setup(check: &LiteLlmCheck, consumer: &Consumer) -> LiteLlmSetup {
    let field = consumer.reads.iter().find_map(|copy| match &copy.source {
        Source::Field(name) => Some(name.to_string()),
        Source::Derived(_) | Source::Template(_) => None,
    });
    let mut env_files: Vec<PathBuf> = variables(consumer).map(|(path, _)| path.clone()).collect();
    env_files.dedup();
    LiteLlmSetup {
        address: check.address,
        config: check.config.clone(),
        key: check.key.as_ref().map(|Reference::File(path)| path.clone()),
        model: check.model.clone(),
        env_files,
        field: field.unwrap_or_else(|| "value".to_owned()),
    }
}
