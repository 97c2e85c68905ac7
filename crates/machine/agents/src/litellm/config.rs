//! The proxy's own configuration: the sources from which each deployment takes its parameters.

use keyroll_secret::SecretBytes;

use crate::document::{DocumentError, Node, UNUSUAL_NUMBER};

/// The beginning of a text that names a variable.
const FROM_ENVIRONMENT: &str = "os.environ/";

/// One parameter of a deployment.
pub(super) enum Param {
    /// A literal text; it may be a value.
    Text(SecretBytes),
    /// The content of the variable with this name.
    Variable(String),
    /// A scalar that is not a text, as Python writes it.
    Plain(String),
    /// A parameter whose text in Python is unknown: why, and what it contains.
    Odd(&'static str, Within),
}

/// The parts of a parameter that may be a value, where the parameter is not a text.
#[derive(Default)]
pub(super) struct Within {
    pub(super) texts: Vec<SecretBytes>,
    pub(super) variables: Vec<String>,
    /// A part of it is unknown.
    pub(super) closed: bool,
}

/// The kind of request that a deployment answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It answers a conversation.
    Chat,
    /// It computes embeddings.
    Embedding,
    /// Another kind, for which no small request is known.
    Other,
}

/// One entry of `model_list`: a deployment of a model, with its parameters.
pub struct Deployment {
    /// The model name that callers use; several deployments may share one.
    pub group: String,
    /// Its place in the list, from 0 on.
    pub(super) at: usize,
    /// The kind of request that it answers.
    pub mode: Mode,
    /// The parameters, in the order of the file.
    pub(super) params: Vec<(String, Param)>,
    /// An id that the file sets by hand.
    pub(super) id: Option<String>,
    /// It answers without calling a model.
    pub(super) mocked: bool,
}

/// A proxy's configuration, as far as it shows the sources of values.
pub struct ProxyConfig {
    /// `model_list`, in its order.
    pub deployments: Vec<Deployment>,
    /// Variables that the file itself sets after it has read its models. Its models look their variables up before
    /// that.
    pub(super) sets: Vec<(String, Param)>,
    /// Settings that may bring in values and are not read here, in words.
    pub unread: Vec<String>,
}

impl ProxyConfig {
    /// Reads a `config.yaml`.
    ///
    /// # Errors
    /// It is no YAML, or too large.
    pub fn read(file: &[u8]) -> Result<Self, DocumentError> {
        let root = Node::yaml(file)?;
        let models = root.at("model_list").map(Node::entries).unwrap_or_default();
        let sets = match root.at("environment_variables") {
            Some(Node::Table(entries)) => {
                entries.iter().map(|(name, it)| (name.clone(), param(it))).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let deployments = models.iter().enumerate().filter_map(|(at, node)| deployment(at, node)).collect();
        Ok(Self { deployments, sets, unread: unread(&root) })
    }
}

impl Deployment {
    /// Whether a deployment answers without calling a model, so that its answer proves nothing.
    pub fn answers_by_itself(&self) -> bool {
        self.mocked
    }
}

/// `None` = the proxy ignores this entry.
fn deployment(at: usize, node: &Node) -> Option<Deployment> {
    let odd = |why: &'static str| Param::Odd(why, Within { closed: true, ..Within::default() });
    let name = node.at("model_name").unwrap_or(node);
    let (group, params) = match (name, node.at("litellm_params")) {
        // Parameters from elsewhere may be anything.
        (Node::Odd(why), _) => {
            (format!("entry {} of model_list", at + 1), vec![("model_name".to_owned(), odd(why))])
        }
        (_, Some(Node::Table(entries))) => {
            (name.name()?, entries.iter().map(|(name, it)| (name.clone(), param(it))).collect())
        }
        (_, Some(_) | None) => {
            (name.name()?, vec![("litellm_params".to_owned(), odd("it is no plain table"))])
        }
    };
    let info = node.at("model_info");
    let mode = match info.and_then(|info| info.at("mode")).map(Node::name) {
        None => Mode::Chat,
        Some(Some(word)) if ["chat", "completion", "responses"].contains(&word.as_str()) => Mode::Chat,
        Some(Some(word)) if word == "embedding" => Mode::Embedding,
        Some(_) => Mode::Other,
    };
    let mocked = params.iter().any(|(name, _)| name.starts_with("mock_"));
    let id = info.and_then(|info| info.at("id")).map(|id| id.name().unwrap_or_default());
    Some(Deployment { group, at, mode, params, id, mocked })
}

fn param(node: &Node) -> Param {
    let within = || {
        let mut within = Within::default();
        within.gather(node);
        within
    };
    match node {
        Node::Text(text) => match variable(text) {
            Some(name) => Param::Variable(name),
            None => Param::Text(text.duplicate()),
        },
        Node::Plain(word) => Param::Plain(word.clone()),
        Node::Table(_) => Param::Odd("it is a table", within()),
        Node::List(_) => Param::Odd("it is a list", within()),
        Node::Odd(why) => Param::Odd(why, within()),
    }
}

/// The variable that a text names.
fn variable(text: &SecretBytes) -> Option<String> {
    let name = text.expose().strip_prefix(FROM_ENVIRONMENT.as_bytes())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

impl Within {
    fn gather(&mut self, node: &Node) {
        match node {
            Node::Text(text) => match variable(text) {
                Some(name) => self.variables.push(name),
                None => self.texts.push(text.duplicate()),
            },
            Node::Plain(_) => {}
            Node::Table(all) => all.iter().for_each(|(_, one)| self.gather(one)),
            Node::List(all) => all.iter().for_each(|one| self.gather(one)),
            Node::Odd(why) => self.closed |= *why != UNUSUAL_NUMBER,
        }
    }
}

/// Settings that may bring in keys from outside this file.
fn unread(root: &Node) -> Vec<String> {
    let mut all = Vec::new();
    if root.at("include").is_some() {
        all.push("`include`: other files bring models too".to_owned());
    }
    if root.at("credential_list").is_some() {
        all.push("`credential_list`: keys under names of their own".to_owned());
    }
    let general = root.at("general_settings");
    let general = |key: &str| general.and_then(|it| it.at(key));
    if matches!(general("store_model_in_db"), Some(Node::Plain(word)) if word == "True") {
        all.push("`store_model_in_db`: models in a database, with keys encrypted".to_owned());
    }
    if general("key_management_system").is_some() {
        all.push("`key_management_system`: variables come from a secret manager".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_and_their_parameters_are_read_in_order() {
        let file = "\
model_list:
  - model_name: l1
    litellm_params:
      model: openai/gpt-x
      api_base: http://127.0.0.1:1/v1
      api_key: os.environ/PRIMARY_API_KEY
      timeout: 30
      tags: [a]
  - model_name: vectors
    litellm_params: {model: openai/e}
    model_info: {mode: embedding, id: by-hand}
  - model_name: l1
    litellm_params: {model: openai/gpt-y, mock_tool_calls: hello}
    model_info: {mode: image_generation}
environment_variables: {OTHER: os.environ/PRIMARY_API_KEY}
general_settings: {store_model_in_db: true}
";
        let config = ProxyConfig::read(file.as_bytes()).unwrap();
        let first = &config.deployments[0];
        let names: Vec<&str> = first.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["model", "api_base", "api_key", "timeout", "tags"]);
        assert!(matches!(&first.params[2].1, Param::Variable(name) if name == "PRIMARY_API_KEY"));
        assert!(matches!(&first.params[3].1, Param::Plain(word) if word == "30"));
        assert!(matches!(&first.params[4].1, Param::Odd(..)));
        let modes: Vec<Mode> = config.deployments.iter().map(|one| one.mode).collect();
        assert_eq!(modes, [Mode::Chat, Mode::Embedding, Mode::Other]);
        assert_eq!(config.deployments[1].id.as_deref(), Some("by-hand"));
        assert!(config.deployments[2].mocked && !first.mocked);
        assert_eq!(config.sets.len(), 1);
        assert_eq!(config.unread.len(), 1);
    }

    #[test]
    fn a_file_of_something_else_has_no_deployments() {
        for file in ["", "model_list: 5", "- a", "model_list: [{model_name: 5}, 7]"] {
            assert!(ProxyConfig::read(file.as_bytes()).unwrap().deployments.is_empty(), "{file}");
        }
    }
}
