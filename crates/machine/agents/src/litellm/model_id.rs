//! The id that the proxy gives a deployment, predicted for each version of a value.
//!
//! Where the file gives no id, the proxy makes one from the model's name and from the name and value of every
//! parameter, including the key. A worker that knows the id of a version therefore holds that version in this
//! deployment.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use keyroll_secret::SecretBytes;

use super::config::{Deployment, Param, ProxyConfig};

/// The ids of one deployment under the two versions of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictedModelIds {
    /// The model name that callers use.
    pub group: String,
    /// The id with the version that is replaced.
    pub old: String,
    /// The id with the version that replaces it.
    pub new: String,
}

/// Why an id cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpredicted {
    /// The file sets the id.
    #[error("`model_info.id` of {group} is set by hand: it is the same for every key")]
    ByHand {
        /// The deployment's model.
        group: String,
    },
    /// A parameter's text in Python is unknown.
    #[error("`{param}` of {group}: {why}")]
    Odd {
        /// The deployment's model.
        group: String,
        /// The parameter.
        param: String,
        /// Why.
        why: &'static str,
    },
    /// Both versions give the same id.
    #[error("the id of {group} is the same for both versions")]
    Same {
        /// The deployment's model.
        group: String,
    },
    /// No source that was read sets the variable of a parameter.
    #[error("`{param}` of {group} is taken from {variable}, which is set nowhere that is visible")]
    Unset {
        /// The deployment's model.
        group: String,
        /// The parameter.
        param: String,
        /// The variable.
        variable: String,
    },
}

/// The versions that keyroll distinguishes.
#[derive(Clone, Copy)]
pub struct Versions<'a> {
    /// The version that is replaced.
    pub old: &'a SecretBytes,
    /// The version that replaces it.
    pub new: &'a SecretBytes,
}

/// What a variable holds; `None` = it is set nowhere.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<SecretBytes>;

/// How a parameter uses the value.
enum Holds {
    Nothing,
    /// The parameter is a version of the value.
    Value,
    /// The parameter contains a version, or may contain one: the id cannot be predicted.
    Somehow(&'static str),
}

impl ProxyConfig {
    /// The ids of every deployment that uses the value, in either version, each with its number. A deployment that may
    /// use the value, but whose id cannot be predicted, is an error and is not omitted.
    pub fn foretell(
        &self,
        versions: Versions<'_>,
        lookup: Lookup<'_>,
    ) -> Vec<(usize, Result<PredictedModelIds, Unpredicted>)> {
        let numbered = self.deployments.iter().enumerate();
        numbered.filter_map(|(at, one)| Some((at, self.told(one, versions, lookup).transpose()?))).collect()
    }

    /// The id that one deployment would have with another value instead of either version.
    ///
    /// # Errors As for [`Self::foretell`]. A number without a deployment gives an empty id.
    pub fn foretell_one(
        &self,
        at: usize,
        versions: Versions<'_>,
        stands: &SecretBytes,
        lookup: Lookup<'_>,
    ) -> Result<String, Unpredicted> {
        let one = self.deployments.get(at);
        one.map_or_else(|| Ok(String::new()), |one| one.id_with(versions, stands, lookup))
    }

    /// `None` = the deployment does not use the value.
    fn told(
        &self,
        one: &Deployment,
        versions: Versions<'_>,
        lookup: Lookup<'_>,
    ) -> Result<Option<PredictedModelIds>, Unpredicted> {
        let (group, mut uses) = (one.group.clone(), false);
        for (name, param) in &one.params {
            match self.holds(param, versions, lookup) {
                Holds::Nothing => {}
                Holds::Value => uses = true,
                Holds::Somehow(why) => return Err(Unpredicted::Odd { group, param: name.clone(), why }),
            }
        }
        if !uses {
            return Ok(None);
        }
        if one.id.is_some() {
            return Err(Unpredicted::ByHand { group });
        }
        let old = one.id_with(versions, versions.old, lookup)?;
        let new = one.id_with(versions, versions.new, lookup)?;
        if old == new {
            Err(Unpredicted::Same { group })
        } else {
            Ok(Some(PredictedModelIds { group, old, new }))
        }
    }

    fn holds(&self, param: &Param, versions: Versions<'_>, lookup: Lookup<'_>) -> Holds {
        let whole = |value: &SecretBytes| match (versions.has(value), versions.within(value)) {
            (true, _) => Holds::Value,
            (false, true) => Holds::Somehow("the value is a part of it"),
            (false, false) => Holds::Nothing,
        };
        match param {
            Param::Text(text) => whole(text),
            Param::Plain(word) => whole(&SecretBytes::from(word.clone())),
            Param::Variable(name) => match lookup(name) {
                Some(value) => whole(&value),
                // The models looked the variable up before the file set it, and found nothing.
                None if self.set(name, lookup).is_some_and(|value| versions.within(&value)) => {
                    Holds::Somehow("`environment_variables` sets its variable, after it was looked for")
                }
                None => Holds::Nothing,
            },
            Param::Odd(why, within) => {
                let mut variables = within.variables.iter().filter_map(|name| lookup(name));
                let held = within.texts.iter().any(|text| versions.within(text))
                    || variables.any(|value| versions.within(&value));
                if within.closed || held { Holds::Somehow(why) } else { Holds::Nothing }
            }
        }
    }

    /// The content that the file gives a variable. It may refer to one other variable.
    fn set(&self, name: &str, lookup: Lookup<'_>) -> Option<SecretBytes> {
        let (_, param) = self.sets.iter().rev().find(|(known, _)| known == name)?;
        match param {
            Param::Text(text) => Some(text.duplicate()),
            Param::Variable(other) => lookup(other),
            Param::Plain(word) => Some(SecretBytes::from(word.clone())),
            Param::Odd(..) => None,
        }
    }
}

impl Versions<'_> {
    fn has(&self, value: &SecretBytes) -> bool {
        value == self.old || value == self.new
    }

    fn within(&self, text: &SecretBytes) -> bool {
        let text = text.expose();
        [self.old.expose(), self.new.expose()].iter().any(|value| {
            !value.is_empty()
                && text.windows(value.len()).any(|part| verify_slices_are_equal(part, value).is_ok())
        })
    }
}

impl Deployment {
    /// The hash of the model's name, then of each parameter's name and value.
    fn id_with(
        &self,
        versions: Versions<'_>,
        stands: &SecretBytes,
        lookup: Lookup<'_>,
    ) -> Result<String, Unpredicted> {
        let mut hash = Context::new(&SHA256);
        hash.update(self.group.as_bytes());
        for (name, param) in &self.params {
            hash.update(name.as_bytes());
            let mut put = |value: &SecretBytes| {
                hash.update(if versions.has(value) { stands.expose() } else { value.expose() });
            };
            match param {
                Param::Text(text) => put(text),
                Param::Plain(word) => put(&SecretBytes::from(word.clone())),
                Param::Variable(variable) => match lookup(variable) {
                    Some(value) => put(&value),
                    None => {
                        let (group, param) = (self.group.clone(), name.clone());
                        return Err(Unpredicted::Unset { group, param, variable: variable.clone() });
                    }
                },
                Param::Odd(why, _) => {
                    return Err(Unpredicted::Odd { group: self.group.clone(), param: name.clone(), why });
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
            let expected = PredictedModelIds { group: "l1".to_owned(), old: made(&old), new: made(&new) };
            assert_eq!(told, [(0, Ok(expected))], "whichever version stands there");
            let third = value();
            assert_eq!(config.foretell_one(0, versions, &third, &lookup), Ok(made(&third)));
        }
    }

    #[test]
    fn what_the_file_sets_comes_after_its_models_were_read() {
        let (old, new) = (value(), value());
        let versions = Versions { old: &old, new: &new };
        let file = format!("{FILE}environment_variables: {{KEY: another, OTHER: os.environ/ELSEWHERE}}\n");
        let config = ProxyConfig::read(file.as_bytes()).unwrap();
        let lookup = |name: &str| match name {
            "KEY" => Some(old.duplicate()),
            "BASE" | "OTHER" => Some(SecretBytes::from("b".to_owned())),
            _ => None,
        };
        // The environment has the old version, whatever the file sets: the environment wins.
        assert!(matches!(config.foretell(versions, &lookup).as_slice(), [(0, Ok(_))]));
        let lookup = |name: &str| (name == "ELSEWHERE").then(|| new.duplicate());
        let told = config.foretell(versions, &lookup);
        let [(1, Err(Unpredicted::Odd { why, .. }))] = told.as_slice() else { panic!("{told:?}") };
        assert!(why.contains("`environment_variables` sets its variable"), "{why}");
    }

    #[test]
    fn a_deployment_that_may_use_the_value_is_not_left_out() {
        let (old, new) = (value(), value());
        let versions = Versions { old: &old, new: &new };
        let text = |value: &SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
        let (held, number) = (text(&old), "30");
        for (entry, why) in [
            (
                format!("{{model_name: l2, litellm_params: {{model: m, api_base: 'https://u:{held}@h'}}}}"),
                "part",
            ),
            (
                "{model_name: l2, litellm_params: {model: m, extra_headers: {X: [os.environ/KEY]}}}".into(),
                "table",
            ),
            (format!("{{model_name: l2, litellm_params: {{model: m, tags: ['a {}']}}}}", text(&new)), "list"),
            ("{model_name: l2, litellm_params: {<<: *it, model: m}}".into(), "no plain table"),
            ("{model_name: l2, litellm_params: *it}".into(), "no plain table"),
            ("{model_name: l2, litellm_params: {model: m, api_key: *it}}".into(), "another place"),
            ("{<<: *it, model_name: l2}".into(), "takes in"),
            ("*it".into(), "another place"),
        ] {
            let file = format!(
                "x: &it y\nmodel_list:\n- {{model_name: l1, litellm_params: {{api_key: os.environ/KEY}}}}\n- {entry}\n"
            );
            let config = ProxyConfig::read(file.as_bytes()).unwrap();
            let told = config.foretell(versions, &|name| (name == "KEY").then(|| old.duplicate()));
            let [(0, Ok(_)), (1, Err(error))] = told.as_slice() else { panic!("{why}: {told:?}") };
            let said = error.to_string();
            assert!(said.contains(why) && !said.contains(&held), "{said}");
        }
        // A parameter that cannot be the value does not count as a use of it.
        for params in ["tags: [a, os.environ/OTHER]", "api_version: 2024-08-01", "extra: {a: 0x1}"] {
            let file = format!("model_list: [{{model_name: l2, litellm_params: {{model: m, {params}}}}}]");
            let config = ProxyConfig::read(file.as_bytes()).unwrap();
            assert_eq!(config.foretell(versions, &|_| None), [], "{params}");
        }
        // A key of digits alone is a number in YAML, and its id is predicted like any other.
        let (old, new) = (SecretBytes::from(number.to_owned()), value());
        let file = format!("model_list: [{{model_name: l1, litellm_params: {{api_key: {number}}}}}]");
        let told = ProxyConfig::read(file.as_bytes())
            .unwrap()
            .foretell(Versions { old: &old, new: &new }, &|_| None);
        let made = |key: &[u8]| sha256(&[b"l1api_key", key]);
        let expected =
            PredictedModelIds { group: "l1".to_owned(), old: made(old.expose()), new: made(new.expose()) };
        assert_eq!(told, [(0, Ok(expected))]);
    }

    #[test]
    fn an_id_of_both_versions_shows_neither() {
        let same = value();
        let versions = Versions { old: &same, new: &same };
        let config = ProxyConfig::read(FILE.as_bytes()).unwrap();
        let told = config.foretell(versions, &|_| Some(same.duplicate()));
        assert!(matches!(told.first(), Some((0, Err(Unpredicted::Same { .. })))), "{told:?}");
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
