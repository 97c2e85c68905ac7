//! The pending changes that `up` activates beside the value: an earlier edit of the service, a pulled or built image.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_port::{Failure, FailureKind};
use keyroll_secret::SecretBytes;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::{Compose, Project, UP};
use crate::docker::State;
use crate::drift::{Drift, Edit, Variables};

/// How long all requests together may take, milliseconds.
const LOOK_MS_MAX: u64 = 60_000;

/// A placeholder for the value while the service's settings are compared: the kept settings hold no value.
const STAND_IN: &[u8] = b"the value";

/// A text that may be a value: it is read into memory that is wiped.
pub(crate) struct Hidden(pub(crate) SecretBytes);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Hidden;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hidden, E> {
                Ok(Hidden(SecretBytes::new(text.as_bytes().to_vec())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A project as compose resolves it. Source: `docker compose config --format json`.
#[derive(Deserialize)]
struct Resolved {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    image: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, Option<Hidden>>,
}

impl Compose {
    /// The pending changes that `up` would activate besides the variables `own`, which hold the value, and those that
    /// compose builds from `files`, each with the variable that holds it. Compose itself decides: keyroll asks what
    /// it would do if those variables still had their running values.
    ///
    /// # Errors
    /// The engine or compose does not tell.
    pub fn pending_changes(&self, own: &[&str], files: &[(&Path, &str)]) -> Result<Drift, Failure> {
        let deadline = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
        let project = self.project()?;
        let mut drift = Drift::default();
        let filled = self.filled(&project, files, deadline, &mut drift);
        let own: Vec<&str> = own.iter().copied().chain(filled.iter().map(String::as_str)).collect();
        let own = own.as_slice();
        let Some(container) = project.containers.iter().find(|one| one.runs()) else { return Ok(drift) };
        let (service, settings) = match self.resolved(&project, own, deadline) {
            Ok(resolved) => resolved,
            // Compose answers, but cannot use the files: neither `up` nor a rollback would work.
            Err(failure) if failure.kind == FailureKind::ServiceUnusable => {
                drift.edits.push(self.unreadable(&project));
                return Ok(drift);
            }
            Err(failure) => return Err(failure),
        };
        let new_image = self.image(&project, &service, container, deadline, &mut drift)?;
        let runs = self.variables(&["container", "inspect"], &container.id, deadline)?;
        let of_image = self.variables(&["image", "inspect"], &container.image, deadline).unwrap_or_default();
        let (mut neutral, mut new_variables): (Vec<(&str, &SecretBytes)>, bool) = (Vec::new(), false);
        for (name, value) in &service.environment {
            let Some(Hidden(value)) = value else { continue };
            let value = plain(value);
            let what = match runs.get(name) {
                Some(running) if own.contains(&name.as_str()) || *running == value => {
                    neutral.push((name, running));
                    continue;
                }
                Some(running) => {
                    neutral.push((name, running));
                    "differs from what is running"
                }
                None if own.contains(&name.as_str()) => continue,
                None => {
                    new_variables = true;
                    "is new: the running process does not have it"
                }
            };
            drift.edits.push(environment(
                name,
                format!("{name} of the service {} {what}", self.service),
                value,
            ));
        }
        let known = |name: &str| service.environment.contains_key(name) || of_image.contains_key(name);
        for (name, running) in runs.iter().filter(|(name, _)| !known(name) && !own.contains(&name.as_str())) {
            neutral.push((name, running));
            let what =
                format!("{name} of the service {} was removed: the container still has it", self.service);
            drift.edits.push(environment(name, what, SecretBytes::new(Vec::new())));
        }
        let beside = || format!("the other settings of the service {}", self.service);
        if new_image || new_variables {
            let what = if new_image { "image is another one" } else { "environment has a new variable" };
            drift.not_visible.push(format!("{}: they cannot be compared while its {what}", beside()));
            return Ok(drift);
        }
        match self.would_recreate(&project, &neutral, deadline)? {
            Some(false) => {}
            Some(true) => {
                let files = project.files().collect::<Vec<_>>().join(", ");
                let mut what = format!("{} in {files} differ from what is running", beside());
                what.push_str(&self.other_compose(container, deadline));
                drift.edits.push(Edit { kind: "service", name: self.service.clone(), what, mark: settings });
            }
            None => drift.not_visible.push(format!("{}: compose does not tell what it would do", beside())),
        }
        Ok(drift)
    }

    /// The variables of the service that compose fills in from these (`${KEY}`); none where it does not tell.
    fn filled(
        &self,
        project: &Project,
        files: &[(&Path, &str)],
        deadline: Instant,
        drift: &mut Drift,
    ) -> Vec<String> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow)]
            services: BTreeMap<String, &'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Variables<'a> {
            #[serde(borrow, default)]
            environment: BTreeMap<String, &'a RawValue>,
        }
        let from: Vec<&str> =
            files.iter().filter(|(file, _)| project.fills_from(file)).map(|(_, name)| *name).collect();
        if from.is_empty() {
            return Vec::new();
        }
        let words = project.words(&["config", "--no-interpolate", "--format", "json", "--", &self.service]);
        let Ok((answer, _)) = self.docker.ask(&words, None, deadline) else { return Vec::new() };
        let raw: Option<Raw<'_>> = serde_json::from_slice(answer.expose()).ok();
        let service = raw.and_then(|raw| raw.services.get(&self.service).copied());
        let variables = service.and_then(|one| serde_json::from_str::<Variables<'_>>(one.get()).ok());
        let all = variables.map(|one| one.environment).unwrap_or_default().into_iter();
        let filled = all.filter_map(|(name, text)| {
            let named = references(text.get());
            let (ours, others): (Vec<&str>, Vec<&str>) =
                named.into_iter().partition(|one| from.contains(one));
            if !ours.is_empty() && !others.is_empty() {
                let what = format!("the other content of {name} of the service {}", self.service);
                drift.not_visible.push(format!("{what}: it holds the value"));
            }
            (!ours.is_empty()).then_some(name)
        });
        filled.collect()
    }

    fn unreadable(&self, project: &Project) -> Edit {
        let files = project.files().collect::<Vec<_>>().join(", ");
        let what = format!("compose cannot read the service {} from {files} any more", self.service);
        Edit { kind: "project", name: self.service.clone(), what, mark: SecretBytes::new(Vec::new()) }
    }

    /// The service as compose resolves it, and the whole answer: with a placeholder for each value, so that the answer
    /// is the same before and after a delivery.
    fn resolved(
        &self,
        project: &Project,
        own: &[&str],
        deadline: Instant,
    ) -> Result<(Service, SecretBytes), Failure> {
        let stand_in = SecretBytes::new(STAND_IN.to_vec());
        let all: Vec<(&str, &SecretBytes)> = own.iter().map(|name| (*name, &stand_in)).collect();
        let over = self.override_with(&all);
        let words = project.words_over(&["config", "--format", "json", "--", &self.service]);
        let (answer, _) = self.docker.ask(&words, Some(&over), deadline)?;
        let resolved: Option<Resolved> = serde_json::from_slice(answer.expose()).ok();
        let service = resolved.and_then(|mut all| all.services.remove(&self.service));
        Ok((service.ok_or_else(crate::docker::other_version)?, answer))
    }

    /// Whether the image's name now refers to another image, because it was pulled or built.
    fn image(
        &self,
        project: &Project,
        service: &Service,
        container: &State,
        deadline: Instant,
        drift: &mut Drift,
    ) -> Result<bool, Failure> {
        let named = service.image.clone().unwrap_or_else(|| format!("{}-{}", project.name, self.service));
        let words = ["image", "inspect", "--format", "{{.Id}}", "--", &named];
        let (id, what) = match self.docker.ask(&words, None, deadline) {
            Ok((id, _)) => (id, format!("{named} is another image than the running one")),
            Err(failure) if failure.kind == FailureKind::ServiceUnusable => (
                SecretBytes::new(Vec::new()),
                format!("there is no image {named} here any more, and none is pulled"),
            ),
            Err(failure) => return Err(failure),
        };
        let same = id.expose().trim_ascii() == container.image.as_bytes();
        if !same {
            drift.edits.push(Edit { kind: "image", name: named, what, mark: id });
        }
        Ok(!same)
    }

    fn variables(&self, what: &[&str], id: &str, deadline: Instant) -> Result<Variables, Failure> {
        let words = [what, &["--format", "{{json .Config.Env}}", "--", id]].concat();
        let (answer, _) = self.docker.ask(&words, None, deadline)?;
        let all: Option<Vec<Hidden>> =
            serde_json::from_slice(answer.expose()).map_err(|_| crate::docker::other_version())?;
        Ok(pairs(all))
    }

    /// Whether compose would recreate the containers with these variables; `None` = unknown.
    fn would_recreate(
        &self,
        project: &Project,
        variables: &[(&str, &SecretBytes)],
        deadline: Instant,
    ) -> Result<Option<bool>, Failure> {
        let over = self.override_with(variables);
        let scale = project.scale(&self.service);
        let up = [&UP[..], &["--scale", &scale, "--", &self.service]].concat();
        let mut words = project.words_over(&up);
        words.insert(1, "--dry-run");
        let (_, said) = self.docker.ask(&words, Some(&over), deadline)?;
        let said = String::from_utf8_lossy(said.expose()).into_owned();
        let of = |container: &State, word: &str| {
            let what = format!("Container {}", container.shown());
            said.lines().any(|line| line.contains(&what) && line.trim_end().ends_with(word))
        };
        if project.containers.iter().any(|one| of(one, "Recreate") || of(one, "Recreated")) {
            return Ok(Some(true));
        }
        let kept = project.containers.iter().filter(|one| one.runs()).all(|one| of(one, "Running"));
        Ok(kept.then_some(false))
    }

    /// A file of compose that lays these variables over the service's own; read from standard input, so that a value
    /// stands in no argument and in no file.
    fn override_with(&self, variables: &[(&str, &SecretBytes)]) -> SecretBytes {
        let worst = |(name, value): &(&str, &SecretBytes)| 6 * (name.len() + 2 * value.len()) + 8;
        let mut bytes =
            Vec::with_capacity(variables.iter().map(worst).sum::<usize>() + self.service.len() + 64);
        bytes.extend_from_slice(b"{\"services\":{");
        quoted(self.service.as_bytes(), &mut bytes);
        bytes.extend_from_slice(b":{\"environment\":{");
        for (at, (name, value)) in variables.iter().enumerate() {
            if at > 0 {
                bytes.push(b',');
            }
            quoted(name.as_bytes(), &mut bytes);
            bytes.push(b':');
            quoted(value.expose(), &mut bytes);
        }
        bytes.extend_from_slice(b"}}}}");
        SecretBytes::new(bytes)
    }

    /// A different version of compose may judge the same settings differently.
    fn other_compose(&self, container: &State, deadline: Instant) -> String {
        let asked = self.docker.ask(&["compose", "version", "--short"], None, deadline);
        let now = asked.map(|(answer, _)| String::from_utf8_lossy(answer.expose()).trim().to_owned());
        match (&container.compose, now) {
            (Some(made), Ok(now)) if *made != now.trim_start_matches('v') => {
                format!(" (or only the version of compose is: {made} made it, this is {now})")
            }
            _ => String::new(),
        }
    }
}

/// Lines `NAME=VALUE`.
pub(crate) fn pairs(all: Option<Vec<Hidden>>) -> Variables {
    let pair = |Hidden(line): Hidden| {
        let at = line.expose().iter().position(|byte| *byte == b'=')?;
        let (name, value) = (line.expose().get(..at)?, line.expose().get(at + 1..)?);
        Some((String::from_utf8_lossy(name).into_owned(), SecretBytes::new(value.to_vec())))
    };
    all.into_iter().flatten().filter_map(pair).collect()
}

fn environment(name: &str, what: String, mark: SecretBytes) -> Edit {
    Edit { kind: "environment", name: name.to_owned(), what, mark }
}

/// The variables that a text of a compose file refers to: `$NAME`, `${NAME}`, `${NAME:-${OTHER}}`. `$$` is a plain `$`.
pub fn references(text: &str) -> Vec<&str> {
    let mut named = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(plain) = after.strip_prefix('$') {
            rest = plain;
            continue;
        }
        let name = after.strip_prefix('{').unwrap_or(after);
        let end = name.find(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_').unwrap_or(name.len());
        let (name, behind) = name.split_at(end);
        named.extend(Some(name).filter(|name| !name.is_empty()));
        rest = behind;
    }
    named
}

/// A text of JSON; `$` twice, or compose would put a variable of its own in its place.
fn quoted(text: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    for byte in text {
        match byte {
            b'$' => into.extend_from_slice(b"$$"),
            b'"' | b'\\' => into.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => {
                let digit = |half: u8| b"0123456789abcdef".get(usize::from(half)).copied().unwrap_or(b'0');
                into.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            other => into.push(*other),
        }
    }
    into.push(b'"');
}

/// A value as the container gets it: compose prints `$` twice.
pub(crate) fn plain(printed: &SecretBytes) -> SecretBytes {
    let mut bytes = Vec::with_capacity(printed.len());
    let mut doubled = false;
    for byte in printed.expose() {
        if *byte == b'$' && !doubled {
            doubled = true;
            bytes.push(b'$');
        } else if *byte == b'$' {
            doubled = false;
        } else {
            doubled = false;
            bytes.push(*byte);
        }
    }
    SecretBytes::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_a_dollar() {
        assert_eq!(references("\"$A-${B}:${C:-${D}}.$$E $${F} $\""), ["A", "B", "C", "D"]);
    }

    #[test]
    fn an_override_is_json_whatever_a_value_holds() {
        let compose = Compose::new("/srv/shop", "web");
        let value = SecretBytes::new("a\"b\\c\n$d€".into());
        let over = compose.override_with(&[("KEY", &value), ("B", &value)]);
        let read: serde_json::Value = serde_json::from_slice(over.expose()).unwrap();
        assert_eq!(read["services"]["web"]["environment"]["KEY"], "a\"b\\c\n$$d€");
        let printed = read["services"]["web"]["environment"]["B"].as_str().unwrap().as_bytes().to_vec();
        assert!(plain(&SecretBytes::new(printed)) == value);
    }
}
