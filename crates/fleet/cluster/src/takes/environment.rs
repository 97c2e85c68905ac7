//! The variables that a container starts with.
//!
//! The kubelet takes the sources of `envFrom` first, then `env`, each in its order; of two that give one variable the later
//! wins. Source: <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables>.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource};
use keyroll_secret::SecretBytes;

use crate::model::{From, Taking, Way};

use super::container::ContainerSpec;
use super::object::{Keys, Object, Part};
use super::reference::{Piece, pieces};

/// The variables of one container.
pub(super) struct Environment<'a> {
    container: ContainerSpec<'a>,
    keys: &'a Keys<'a>,
    variables: BTreeMap<String, Variable>,
    /// The sources of `envFrom` whose keys are not known, with their prefixes.
    open: Vec<(Object, String)>,
    takes: Vec<Taking>,
}

/// What one variable holds.
#[derive(Default)]
struct Variable {
    /// The text that stands in the template; `None`: its value comes from elsewhere.
    text: Option<String>,
    /// The text has more in it than references.
    literal: bool,
    /// The keys whose values are in it.
    parts: Vec<Part>,
    /// The entries of `Environment::takes` that describe it.
    takes: Vec<usize>,
}

/// A text with what its references stand for.
pub(super) struct Expanded {
    /// The text. A reference to a value that does not stand in the template is left as it was.
    pub(super) text: String,
    /// The text has more in it than such references.
    pub(super) literal: bool,
    /// No such reference is in it.
    pub(super) complete: bool,
    /// The keys whose values are in it.
    pub(super) parts: Vec<Part>,
}

impl<'a> Environment<'a> {
    pub(super) fn of(container: ContainerSpec<'a>, keys: &'a Keys<'a>) -> Self {
        let mut environment =
            Self { container, keys, variables: BTreeMap::new(), open: Vec::new(), takes: Vec::new() };
        for source in container.env_from {
            environment.add_source(source);
        }
        for variable in container.env {
            environment.add_variable(variable);
        }
        environment
    }

    /// How the container takes its variables.
    pub(super) fn into_takes(self) -> Vec<Taking> {
        self.takes
    }

    /// Adds a source of `envFrom`. Each key is taken for a valid name: since 1.32 a name may have every printable character
    /// but `=`, and a key has only letters, digits, `-`, `_` and `.`. (Before, the kubelet left out a key that begins with a
    /// digit.) Source: <https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/>,
    /// `RelaxedEnvironmentVariableValidation`.
    fn add_source(&mut self, source: &EnvFromSource) {
        let Some((object, optional)) = object_of(source) else { return };
        let prefix = source.prefix.clone().unwrap_or_default();
        let Some(keys) = (self.keys)(&object.all()) else {
            self.takes.push(self.container.taking(object.all(), Way::EnvFrom(prefix.clone()), optional));
            self.open.push((object, prefix));
            return;
        };
        for key in keys {
            let name = format!("{prefix}{key}");
            let part = Part { object: object.clone(), key, optional };
            self.set(name, Variable { parts: vec![part], ..Variable::default() }, true);
        }
    }

    fn add_variable(&mut self, variable: &EnvVar) {
        let source = variable.value_from.as_ref();
        let (held, certain) = match (variable.value.as_deref(), source) {
            (Some(text), _) if !text.is_empty() => (self.expand(text).held(), true),
            (_, None) => (Variable { text: Some(String::new()), ..Variable::default() }, true),
            // A source of another kind gives a field of the pod.
            (_, Some(source)) => {
                let part = part_of(source);
                // If it is optional and absent, the variable keeps what it had before.
                let certain = part.as_ref().is_none_or(|part| !part.optional || self.exists(part));
                (Variable { parts: part.into_iter().collect(), ..Variable::default() }, certain)
            }
        };
        self.set(variable.name.clone(), held, certain);
    }

    fn exists(&self, part: &Part) -> bool {
        (self.keys)(&part.object.all()).is_some_and(|keys| keys.contains(&part.key))
    }

    /// Gives a variable what it holds. If that is not certain, the variable may also still hold what it held.
    fn set(&mut self, name: String, mut held: Variable, certain: bool) {
        for part in &held.parts {
            held.takes.push(self.takes.len());
            self.takes.push(self.container.taking(part.source(), Way::Env(name.clone()), part.optional));
        }
        if let Some(text) = held.text.as_ref().filter(|_| held.literal) {
            held.takes.push(self.takes.len());
            let text = From::Text(SecretBytes::new(text.clone().into_bytes()));
            self.takes.push(self.container.taking(text, Way::Env(name.clone()), false));
        }
        if let Some(former) = self.variables.remove(&name) {
            if certain {
                self.shadow(&former.takes);
            } else {
                held.literal |= former.literal;
                held.text = held.text.or(former.text);
                held.parts.extend(former.parts);
                held.takes.extend(former.takes);
            }
        }
        self.variables.insert(name, held);
    }

    fn shadow(&mut self, takes: &[usize]) {
        for index in takes {
            if let Some(taking) = self.takes.get_mut(*index) {
                taking.shadowed = true;
            }
        }
    }

    /// Puts in place of the references what the variables hold that are known up to now.
    pub(super) fn expand(&self, text: &str) -> Expanded {
        let mut expanded =
            Expanded { text: String::new(), literal: false, complete: true, parts: Vec::new() };
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => {
                    expanded.literal = true;
                    expanded.text.push_str(text);
                }
                Piece::Variable(name) => self.refer(name, &mut expanded),
            }
        }
        expanded
    }

    /// Adds what one variable holds.
    fn refer(&self, name: &str, expanded: &mut Expanded) {
        let variable = self.variables.get(name);
        if let Some(text) = variable.and_then(|variable| variable.text.as_ref()) {
            expanded.text.push_str(text);
        } else {
            expanded.complete = false;
            expanded.text.extend(["$(", name, ")"]);
        }
        if let Some(variable) = variable {
            expanded.literal |= variable.literal;
            expanded.complete &= variable.parts.is_empty();
            expanded.include(&variable.parts);
        } else {
            expanded.include(&self.perhaps(name));
        }
    }

    /// The keys that give a variable, if its source has them: what the source has is not known.
    fn perhaps(&self, name: &str) -> Vec<Part> {
        let key =
            |prefix: &str| name.strip_prefix(prefix).filter(|key| !key.is_empty()).map(ToOwned::to_owned);
        let part = |(object, prefix): &(Object, String)| {
            // Without the key the reference stays as it is, and the pod starts.
            key(prefix).map(|key| Part { object: object.clone(), key, optional: true })
        };
        self.open.iter().filter_map(part).collect()
    }
}

impl Expanded {
    fn include(&mut self, parts: &[Part]) {
        for part in parts {
            if !self.parts.contains(part) {
                self.parts.push(part.clone());
            }
        }
    }

    /// What a variable with this text holds.
    fn held(self) -> Variable {
        Variable { text: Some(self.text), literal: self.literal, parts: self.parts, takes: Vec::new() }
    }
}

fn object_of(source: &EnvFromSource) -> Option<(Object, bool)> {
    if let Some(secret) = &source.secret_ref {
        return Some((Object::Secret(secret.name.clone()), secret.optional.unwrap_or_default()));
    }
    let map = source.config_map_ref.as_ref()?;
    Some((Object::Map(map.name.clone()), map.optional.unwrap_or_default()))
}

fn part_of(source: &EnvVarSource) -> Option<Part> {
    if let Some(secret) = &source.secret_key_ref {
        let object = Object::Secret(secret.name.clone());
        return Some(Part { object, key: secret.key.clone(), optional: secret.optional.unwrap_or_default() });
    }
    let map = source.config_map_key_ref.as_ref()?;
    let object = Object::Map(map.name.clone());
    Some(Part { object, key: map.key.clone(), optional: map.optional.unwrap_or_default() })
}
