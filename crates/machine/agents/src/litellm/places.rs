//! The sources of the keys of a proxy's models.

use std::path::Path;

use keyroll_copy::{DotenvReader, Format};

use super::config::{Param, ProxyConfig};
use crate::{AgentLink, AgentLinkRole, AgentSlot, Explained, LITELLM};

/// What applies a key that every new worker reads.
pub const NEW_WORKERS: &str = "new workers, one by one (`runs.litellm`)";

const ANEW: &str = "a new proxy: whatever starts it";

impl ProxyConfig {
    /// The source of each model's key: `config` itself, an environment, or the `.env` of the folder that the workers
    /// run in. `started_with`: whether a worker was started with a variable.
    pub fn explained(
        &self,
        config: &Path,
        folder: &Path,
        env_file: Option<&[u8]>,
        started_with: &dyn Fn(&str) -> bool,
    ) -> Vec<Explained> {
        let there =
            env_file.map(|file| Format::Dotenv.variables_for(file, DotenvReader::Python).unwrap_or_default());
        let in_file = |name: &str| there.iter().flatten().any(|(known, _)| known == name);
        let key = |one: &super::config::Deployment| {
            let at = one.at;
            let found = one.params.iter().find(|(name, _)| name == "api_key").map(|(_, param)| param);
            let links = match found {
                Some(Param::Text(_)) => vec![AgentLink {
                    what: format!("api_key of {} in {}", one.group, config.display()),
                    file: Some(config.to_owned()),
                    slot: Some(AgentSlot::Pointer(format!("/model_list/{at}/litellm_params/api_key"))),
                    role: AgentLinkRole::Wins,
                    applies: NEW_WORKERS,
                    seems: Some("an edit alone: nothing reads it until a worker starts"),
                }],
                Some(Param::Variable(name)) => self.of_variable(name, config, folder, &in_file, started_with),
                // An `api_key` in another form, or none: the proxy then uses a variable of its own for each provider.
                Some(Param::Plain(_) | Param::Odd(..)) | None => vec![AgentLink {
                    what: format!("{} names no key in {}", one.group, config.display()),
                    file: None,
                    slot: None,
                    role: AgentLinkRole::NotVisible("it takes a variable that its provider is known by"),
                    applies: ANEW,
                    seems: None,
                }],
            };
            Explained { agent: LITELLM, name: one.group.clone(), links }
        };
        self.deployments.iter().map(key).collect()
    }

    fn of_variable(
        &self,
        name: &str,
        config: &Path,
        folder: &Path,
        in_file: &dyn Fn(&str) -> bool,
        started_with: &dyn Fn(&str) -> bool,
    ) -> Vec<AgentLink> {
        let mut links = Vec::new();
        if started_with(name) {
            links.push(AgentLink {
                what: format!("{name} in the environment that it was started with"),
                file: None,
                slot: Some(AgentSlot::Variable(name.to_owned())),
                role: AgentLinkRole::Shadowed,
                applies: ANEW,
                seems: Some("a new worker: it inherits the old one"),
            });
        }
        if in_file(name) {
            let path = folder.join(".env");
            links.push(AgentLink {
                what: format!("{name} of {}", path.display()),
                file: Some(path),
                slot: Some(AgentSlot::Variable(name.to_owned())),
                role: AgentLinkRole::Shadowed,
                applies: NEW_WORKERS,
                seems: Some("SIGHUP to the master: it gives a new worker 5 s, and keeps the old one"),
            });
        }
        // The file sets this variable only after its models have taken their keys.
        if self.sets.iter().any(|(known, _)| known == name) {
            links.push(AgentLink {
                what: format!("{name} under environment_variables of {}", config.display()),
                file: Some(config.to_owned()),
                slot: Some(AgentSlot::Pointer(format!("/environment_variables/{name}"))),
                role: match links.is_empty() {
                    true => {
                        AgentLinkRole::NotVisible("a provider may look for it after its models found nothing")
                    }
                    false => AgentLinkRole::NotRead,
                },
                applies: NEW_WORKERS,
                seems: None,
            });
        }
        crate::explained::ranked(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_the_environment_wins_over_the_files() {
        let file = "\
model_list:
- {model_name: a, litellm_params: {model: x, api_key: os.environ/KEY}}
- {model_name: b, litellm_params: {model: x, api_key: literal}}
- {model_name: c, litellm_params: {model: x}}
";
        let config = ProxyConfig::read(file.as_bytes()).unwrap();
        let explained = |started: bool| {
            let (at, folder) = (Path::new("/p/config.yaml"), Path::new("/p"));
            config.explained(at, folder, Some(b"KEY=x\n"), &|_| started)
        };
        let found = explained(true);
        let roles: Vec<AgentLinkRole> = found[0].links.iter().map(|link| link.role).collect();
        assert_eq!(roles, [AgentLinkRole::Wins, AgentLinkRole::Shadowed]);
        assert_eq!(found[0].links[1].what, "KEY of /p/.env");
        assert_eq!(
            found[1].links[0].slot,
            Some(AgentSlot::Pointer("/model_list/1/litellm_params/api_key".into()))
        );
        assert!(matches!(found[2].links[0].role, AgentLinkRole::NotVisible(_)));
        assert_eq!(explained(false)[0].links.len(), 1);
        let sets = format!("{file}environment_variables: {{KEY: other}}\n");
        let config = ProxyConfig::read(sets.as_bytes()).unwrap();
        let last = |beside: &[u8], started: bool| {
            let found = config.explained(Path::new("/p/c"), Path::new("/p"), Some(beside), &|_| started);
            let link = found[0].links.last().expect("a link").clone();
            assert!(link.what.contains("environment_variables"), "{found:?}");
            link.role
        };
        assert_eq!(last(b"KEY=x\n", true), AgentLinkRole::NotRead);
        assert_eq!(last(b"KEY=x\n", false), AgentLinkRole::NotRead);
        assert!(matches!(last(b"", false), AgentLinkRole::NotVisible(_)));
        let after = format!("model_list:\n- {{model_name: 5}}\n{}", file.split_once('\n').expect("lines").1);
        let config = ProxyConfig::read(after.as_bytes()).unwrap();
        let found = config.explained(Path::new("/p/c"), Path::new("/p"), None, &|_| false);
        let pointer = "/model_list/2/litellm_params/api_key".to_owned();
        assert_eq!(found[1].links[0].slot, Some(AgentSlot::Pointer(pointer)), "counted as the file does");
    }
}
