//! The id that the proxy gives a deployment, foretold for each version of a value.
//!
//! Where the file names no id, the proxy makes one of the model's name and of every parameter's name and value, the key
//! among them: a worker that answers to the id of a version holds that version in this deployment.

use aws_lc_rs::digest::{Context, SHA256};
use keyroll_secret::SecretBytes;

use super::config::{Deployment, Param, ProxyConfig};

/// The ids of one deployment under the two versions of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foretold {
    /// The name that callers ask for.
    pub group: String,
    /// With the version that is replaced.
    pub old: String,
    /// With the version that replaces it.
    pub new: String,
}

/// Why an id cannot be foretold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unforetold {
    /// The file names it.
    #[error("`model_info.id` of {group} is set by hand: it is the same for every key")]
    ByHand {
        /// The deployment's model.
        group: String,
    },
    /// A parameter is none that can be written as Python does.
    #[error("`{param}` of {group}: {why}")]
    Odd {
        /// The deployment's model.
        group: String,
        /// Which parameter.
        param: String,
        /// Why.
        why: &'static str,
    },
    /// A variable that a parameter is taken from is set nowhere that was looked at.
    #[error("`{param}` of {group} is taken from {variable}, which is set nowhere that is visible")]
    Unset {
        /// The deployment's model.
        group: String,
        /// Which parameter.
        param: String,
        /// Which variable.
        variable: String,
    },
}

/// The versions that are told apart.
#[derive(Clone, Copy)]
pub struct Versions<'a> {
    /// The one that is replaced.
    pub old: &'a SecretBytes,
    /// The one that replaces it.
    pub new: &'a SecretBytes,
}

/// What a variable holds; `None` = it is set nowhere.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<SecretBytes>;

impl ProxyConfig {
    /// The ids of every deployment that uses the value, whichever of its versions stands there now, each with its number.
    pub fn foretell(
        &self,
        versions: Versions<'_>,
        lookup: Lookup<'_>,
    ) -> Vec<(usize, Result<Foretold, Unforetold>)> {
        let lookup = |name: &str| self.variable(name, lookup);
        let numbered = self.deployments.iter().enumerate();
        numbered.filter_map(|(at, one)| Some((at, one.foretell(versions, &lookup).transpose()?))).collect()
    }

    /// The id that one deployment would have with another value in the place of either version.
    ///
    /// # Errors
    /// As of [`Self::foretell`]. A number that no deployment has is one without variables.
    pub fn foretell_one(
        &self,
        at: usize,
        versions: Versions<'_>,
        stands: &SecretBytes,
        lookup: Lookup<'_>,
    ) -> Result<String, Unforetold> {
        let lookup = |name: &str| self.variable(name, lookup);
        let one = self.deployments.get(at);
        one.map_or_else(|| Ok(String::new()), |one| one.id_with(versions, stands, &lookup))
    }

    /// The variables that lead to the value: those through which a deployment takes it.
    pub fn variables(&self, versions: Versions<'_>, lookup: Lookup<'_>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (_, param) in self.deployments.iter().flat_map(|one| &one.params) {
            if let Param::Variable(name) = param
                && self.variable(name, lookup).is_some_and(|value| versions.has(&value))
                && !all.contains(name)
            {
                all.push(name.clone());
            }
        }
        all
    }

    /// What the file sets wins over the environment. It may name another variable in turn, once.
    fn variable(&self, name: &str, lookup: Lookup<'_>) -> Option<SecretBytes> {
        let set = self.sets.iter().rev().find(|(known, _)| known == name).map(|(_, param)| param);
        match set {
            None => lookup(name),
            Some(Param::Text(text)) => Some(text.duplicate()),
            Some(Param::Variable(other)) => lookup(other),
            Some(Param::Plain(word)) => Some(SecretBytes::from(word.clone())),
            Some(Param::Odd(_)) => None,
        }
    }
}

impl Versions<'_> {
    fn has(&self, value: &SecretBytes) -> bool {
        value == self.old || value == self.new
    }
}

impl Deployment {
    /// `None` = it does not use the value.
    fn foretell(&self, versions: Versions<'_>, lookup: Lookup<'_>) -> Result<Option<Foretold>, Unforetold> {
        let uses = self.params.iter().any(|(_, param)| match param {
            Param::Text(text) => versions.has(text),
            Param::Variable(name) => lookup(name).is_some_and(|value| versions.has(&value)),
            Param::Plain(_) | Param::Odd(_) => false,
        });
        if !uses {
            return Ok(None);
        }
        let group = self.group.clone();
        if self.id.is_some() {
            return Err(Unforetold::ByHand { group });
        }
        let old = self.id_with(versions, versions.old, lookup)?;
        let new = self.id_with(versions, versions.new, lookup)?;
        Ok(Some(Foretold { group, old, new }))
    }

    /// The hash of the model's name, then of each parameter's name and value.
    fn id_with(
        &self,
        versions: Versions<'_>,
        stands: &SecretBytes,
        lookup: Lookup<'_>,
    ) -> Result<String, Unforetold> {
        let mut hash = Context::new(&SHA256);
        hash.update(self.group.as_bytes());
        for (name, param) in &self.params {
            hash.update(name.as_bytes());
            let put = |hash: &mut Context, value: &SecretBytes| {
                hash.update(if versions.has(value) { stands.expose() } else { value.expose() });
            };
            match param {
                Param::Text(text) => put(&mut hash, text),
                Param::Plain(word) => hash.update(word.as_bytes()),
                Param::Variable(variable) => match lookup(variable) {
                    Some(value) => put(&mut hash, &value),
                    None => {
                        let (group, param) = (self.group.clone(), name.clone());
                        return Err(Unforetold::Unset { group, param, variable: variable.clone() });
                    }
                },
                Param::Odd(why) => {
                    return Err(Unforetold::Odd { group: self.group.clone(), param: name.clone(), why });
                }
            }
        }
        Ok(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::*;

    fn value() -> SecretBytes {
        SecretBytes::from(format!("sk-{}", alphanumeric(40)))
    }

    fn sha256(parts: &[&[u8]]) -> String {
        let hash = aws_lc_rs::digest::digest(&SHA256, &parts.concat());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const FILE: &str = "\
model_list:
  - model_name: l1
    litellm_params: {model: openai/a, api_base: os.environ/BASE, api_key: os.environ/KEY, timeout: 5, stream: yes}
  - model_name: other
    litellm_params: {model: openai/a, api_key: os.environ/OTHER}
";

    #[test]
    fn the_id_of_a_version_is_made_of_the_name_and_every_parameter_in_order() {
        let (old, new, other) = (value(), value(), value());
        let versions = Versions { old: &old, new: &new };
        let config = ProxyConfig::read(FILE.as_bytes()).unwrap();
        for stands in [&old, &new] {
            let lookup = |name: &str| match name {
                "KEY" => Some(stands.duplicate()),
                "BASE" => Some(SecretBytes::from("http://b".to_owned())),
                "OTHER" => Some(other.duplicate()),
                _ => None,
            };
            let told = config.foretell(versions, &lookup);
            let made = |key: &SecretBytes| {
                let head: &[u8] = b"l1modelopenai/aapi_basehttp://bapi_key";
                sha256(&[head, key.expose(), b"timeout5streamTrue"])
            };
            let expected = Foretold { group: "l1".to_owned(), old: made(&old), new: made(&new) };
            assert_eq!(told, [(0, Ok(expected))], "whichever version stands there");
            let third = value();
            assert_eq!(config.foretell_one(0, versions, &third, &lookup), Ok(made(&third)));
            assert_eq!(config.variables(versions, &lookup), ["KEY"]);
        }
    }

    #[test]
    fn what_the_file_sets_wins_over_the_environment() {
        let (old, new) = (value(), value());
        let versions = Versions { old: &old, new: &new };
        let file = format!("{FILE}environment_variables: {{KEY: os.environ/ELSEWHERE, BASE: b}}\n");
        let config = ProxyConfig::read(file.as_bytes()).unwrap();
        let lookup = |name: &str| match name {
            "KEY" => Some(old.duplicate()),
            _ => None,
        };
        assert!(config.foretell(versions, &lookup).is_empty(), "the variable of the environment is not read");
        let lookup = |name: &str| (name == "ELSEWHERE").then(|| old.duplicate());
        assert!(matches!(config.foretell(versions, &lookup).as_slice(), [(0, Ok(_))]));
    }

    #[test]
    fn an_id_that_cannot_be_foretold_says_why() {
        let (old, new) = (value(), value());
        let versions = Versions { old: &old, new: &new };
        let key = "api_key: os.environ/KEY";
        for (params, info, why) in [
            (format!("{key}, tags: [a]"), "", "`tags` of l1: it is a list"),
            (format!("{key}, api_base: os.environ/BASE"), "", "`api_base` of l1 is taken from BASE"),
            (key.to_owned(), ", model_info: {id: mine}", "`model_info.id` of l1 is set by hand"),
        ] {
            let file = format!("model_list: [{{model_name: l1, litellm_params: {{{params}}}{info}}}]");
            let config = ProxyConfig::read(file.as_bytes()).unwrap();
            let told = config.foretell(versions, &|name| (name == "KEY").then(|| old.duplicate()));
            let [(0, Err(error))] = told.as_slice() else { panic!("{params} is foretold") };
            assert!(error.to_string().starts_with(why), "{error}");
        }
    }
}
