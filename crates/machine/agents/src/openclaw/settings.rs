use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_copy::strict_json;
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::error::OpenClawError;

/// The longest settings file that is read, bytes.
pub(super) const SETTINGS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The port where the settings name none. Source: docs/gateway/gateway-lock.md of the release.
const PORT_DEFAULT: u16 = 18_789;

/// The content of `openclaw.json` without any key: of each key only its form.
pub struct OpenClawSettings {
    /// Where the gateway listens on this machine.
    pub port: u16,
    /// Whether a turn can be requested over HTTP.
    pub answers_http: bool,
    /// Its agents, where the settings name them; otherwise the default one alone.
    pub agents: Vec<String>,
    /// Whether parts of the settings are in other files, which are not read.
    pub includes: bool,
    pub(super) token: Token,
    pub(super) providers: BTreeMap<String, KeyForm>,
    /// The names under `env.vars`, and those directly under `env`.
    pub(super) variables: BTreeMap<String, &'static str>,
    pub(super) resolvers: BTreeMap<String, Resolver>,
}

/// The form of a provider's key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum KeyForm {
    /// No key: OpenClaw uses the provider's default variable, or a profile.
    #[default]
    Absent,
    /// The key itself.
    Literal,
    /// `${NAME}`.
    Variable(String),
    /// A reference.
    Reference { source: String, resolver: String, id: String },
    /// `name:manual`: the marker of a profile.
    Profile(String),
}

/// A resolver of references.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Resolver {
    #[serde(default)]
    pub(super) source: String,
    pub(super) path: Option<String>,
    pub(super) mode: Option<String>,
    #[serde(default, rename = "allowInsecurePath")]
    pub(super) any_mode: bool,
}

/// A file from which the key of a provider is read by a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedFile {
    /// The file.
    pub path: PathBuf,
    /// The settings allow any owner and mode.
    pub any_mode: bool,
}

/// How callers authenticate to the gateway.
#[derive(Default)]
pub(super) enum Token {
    #[default]
    None,
    /// The token is in the settings.
    Here(SecretBytes),
    /// The token is a reference, or the gateway uses another form of authentication.
    Elsewhere,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct File {
    gateway: Gateway,
    agents: Agents,
    models: Models,
    env: Env,
    secrets: Secrets,
    #[serde(rename = "$include")]
    include: Option<IgnoredAny>,
}

/// By name; an older form has a list.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Agents {
    entries: BTreeMap<String, IgnoredAny>,
    list: Vec<Agent>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Agent {
    id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Gateway {
    port: Option<u16>,
    auth: Auth,
    http: Http,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    mode: Option<String>,
    token: TokenForm,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Http {
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Endpoints {
    chat_completions: Switch,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Switch {
    enabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Models {
    providers: BTreeMap<String, Provider>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Provider {
    api_key: KeyForm,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Secrets {
    providers: BTreeMap<String, Resolver>,
}

/// `env`: only the names, without their values.
#[derive(Default)]
struct Env(BTreeMap<String, &'static str>);

impl<'de> Deserialize<'de> for Env {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Env;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of variables")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Env, M::Error> {
                let mut names = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "vars" => {
                            let all: BTreeMap<String, IgnoredAny> = map.next_value()?;
                            names.extend(all.into_keys().map(|name| (name, "/env/vars/")));
                        }
                        "shellEnv" => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            names.entry(name).or_insert("/env/");
                        }
                    }
                }
                Ok(Env(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// A text or a reference. A text is passed to `text` and not kept.
struct Input<T> {
    text: fn(&str) -> T,
    reference: fn(Reference) -> T,
    absent: fn() -> T,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    source: String,
    provider: Option<String>,
    id: String,
}

impl<'de, T> Visitor<'de> for Input<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a reference")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.text)(text))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok((self.absent)())
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
        Reference::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(self.reference)
    }
}

/// `${NAME}` or `$NAME`, by the release's own grammar: `^[A-Z][A-Z0-9_]{0,127}$`.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').map_or(Some(name), |name| name.strip_suffix('}'))?;
    let plain = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    (plain && name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

/// The marker of a key that is in a profile, as `models auth` writes it: the name of the profile.
fn profile(text: &str) -> Option<&str> {
    let (provider, name) = text.split_once(':')?;
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    (plain(provider) && matches!(name, "manual" | "default") && text.len() <= 64).then_some(text)
}

impl<'de> Deserialize<'de> for KeyForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Input {
            text: |text| match (variable(text), profile(text)) {
                (Some(name), _) => Self::Variable(name.to_owned()),
                (None, Some(name)) => Self::Profile(name.to_owned()),
                (None, None) if text.is_empty() => Self::Absent,
                (None, None) => Self::Literal,
            },
            reference: |it| Self::Reference {
                source: it.source,
                resolver: it.provider.unwrap_or_else(|| "default".to_owned()),
                id: it.id,
            },
            absent: || Self::Absent,
        })
    }
}

#[derive(Default)]
struct TokenForm(Token);

impl<'de> Deserialize<'de> for TokenForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = deserializer.deserialize_any(Input {
            text: |text| match variable(text) {
                Some(_) => Token::Elsewhere,
                None if text.is_empty() => Token::None,
                None => Token::Here(SecretBytes::from(text.to_owned())),
            },
            reference: |_| Token::Elsewhere,
            absent: || Token::None,
        })?;
        Ok(Self(token))
    }
}

impl OpenClawSettings {
    /// Reads the text of `openclaw.json`; JSON with comments and last commas.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, OpenClawError> {
        let strict = strict_json(text);
        // serde's message would repeat a part of the file.
        let file: File = serde_json::from_slice(strict.expose())
            .map_err(|error| OpenClawError::Form { path: path.to_owned(), line: error.line() })?;
        let token = match file.gateway.auth.mode.as_deref() {
            None | Some("token") => file.gateway.auth.token.0,
            Some(_) => Token::Elsewhere,
        };
        let listed = file.agents.list.into_iter().map(|agent| agent.id);
        let mut agents: Vec<String> = file.agents.entries.into_keys().chain(listed).collect();
        agents.retain(|agent| !agent.is_empty());
        agents.sort();
        agents.dedup();
        Ok(Self {
            agents,
            port: file.gateway.port.unwrap_or(PORT_DEFAULT),
            answers_http: file.gateway.http.endpoints.chat_completions.enabled,
            includes: file.include.is_some(),
            token,
            providers: file.models.providers.into_iter().map(|(name, it)| (name, it.api_key)).collect(),
            variables: file.env.0,
            resolvers: file.secrets.providers,
        })
    }

    /// The token that callers on this machine present to the gateway, where it is in the settings.
    pub fn token(&self) -> Option<&SecretBytes> {
        match &self.token {
            Token::Here(token) => Some(token),
            Token::None | Token::Elsewhere => None,
        }
    }

    /// The model providers that the settings name.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The files that the references of all providers name.
    pub(super) fn referenced_files(&self, home: &Path) -> Vec<ReferencedFile> {
        let resolvers = self.providers.values().filter_map(|form| match form {
            KeyForm::Reference { source, resolver, .. } if source == "file" => Some(resolver.as_str()),
            KeyForm::Reference { .. }
            | KeyForm::Absent
            | KeyForm::Literal
            | KeyForm::Variable(_)
            | KeyForm::Profile(_) => None,
        });
        let resolvers: BTreeSet<&str> = resolvers.collect();
        let file = |name: &str| {
            let any_mode = self.resolvers.get(name).is_some_and(|it| it.any_mode);
            self.resolver_path(name, home).map(|path| ReferencedFile { path, any_mode })
        };
        resolvers.into_iter().filter_map(file).collect()
    }

    /// The file that a reference's resolver reads; `~` is the home of the user who owns the state folder.
    pub(super) fn resolver_path(&self, name: &str, home: &Path) -> Option<PathBuf> {
        let path = self.resolvers.get(name).filter(|it| it.source == "file")?.path.as_deref()?;
        Some(path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| home.join(rest)))
    }
}
