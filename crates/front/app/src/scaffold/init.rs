use std::io;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{Config, SCHEMA_FILE_NAME};
use keyroll_draft::{Wanted, drafts};

use super::merge::{Joined, join};
use crate::config_file;
use crate::configured::{host_flags, listed, other_hosts};
use crate::installation::Installation;
use crate::inventory::{LookLimits, folders, look, search_memory, secret, tell_missed};
use crate::operator::{Event, Operator};
use crate::problem::Problem;

/// The head of a new file; a valid configuration by itself.
pub(super) const HEAD: &str = "\
#:schema ./keyroll.schema.json
# Which secrets there are, who accepts them, and who uses them. Never a value: see docs/reference/config.md.
version = 1

[defaults]
max_parallel = 1
on_failure = \"rollback\"
";

/// The example below it in a file without secrets.
const EXAMPLE: &str = "
# [secrets.openrouter]
# issuer = \"openrouter\"
# admin  = \"file:./openrouter-admin.key\"
#
# [[secrets.openrouter.consumers]]
# name  = \"api\"
# runs  = { restart = [\"./restart.sh\"], pid_file = \"./run/api.pid\" }
# reads = { env_file = \"./api.env\", variable = \"OPENROUTER_API_KEY\" }
# check = { exec = [\"./probe.sh\", \"{copy}\"] }
";

/// Which secrets to write.
pub struct InitRequest<'a> {
    /// Search these folders, and write only secrets with a copy in them; empty = search the usual ones.
    pub roots: &'a [PathBuf],
    /// Write only these secrets, as `scan` names them; empty = all that a service or process uses.
    pub secrets: &'a [String],
    /// The limits of the search.
    pub limits: LookLimits,
}

/// A configuration file that is about to be written.
pub struct Scaffold {
    /// The file.
    pub path: PathBuf,
    /// Its text before, if it exists.
    pub(super) before: Option<String>,
    /// Its text then, and notes on it.
    pub joined: Joined,
    /// The secrets that were found and left out, each with the reason.
    pub left_out: Vec<String>,
}

/// What was written.
pub enum Written {
    /// Nothing: the file already has everything.
    Nothing,
    /// The additions to an existing file.
    Added,
    /// A new file, and its schema at this path.
    New(PathBuf),
}

impl Scaffold {
    /// Adds the secrets that are found on this machine to the text of the configuration, or to a new text.
    ///
    /// # Errors
    /// Nothing can be added to the existing file, the machine cannot be searched, or a named folder or secret does not
    /// exist.
    pub fn of(
        request: &InitRequest<'_>,
        installation: &Installation,
        operator: &mut dyn Operator,
    ) -> Result<Self, Problem> {
        let path = installation.config_path();
        let before = before(&path)?;
        let file = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let roots = folders(request.roots)?;
        let mut seen = look(&roots, &request.limits, installation, operator)?;
        search_memory(&mut seen, &request.limits, operator);
        seen.apart().for_each(|one| operator.note(one));
        let named = request.secrets.iter().map(|word| secret(&seen, word)).collect::<Result<Vec<_>, _>>()?;
        let all = if named.is_empty() { seen.found.iter().collect() } else { named };
        let wanted = Wanted {
            survey: &seen.survey,
            roots,
            folder: file.parent().unwrap_or(Path::new("/")),
            named: !request.secrets.is_empty(),
            logins: true,
        };
        let (drafts, left_out) = drafts(&wanted, &all);
        let text = before.as_deref().unwrap_or(HEAD);
        let joined = join(text, &file.display().to_string(), &drafts, &seen.survey)?;
        tell_missed(seen.missed(), seen.refused(), operator);
        if let Some(unseen) = other_machines(text, &file.display().to_string())? {
            operator.event(unseen);
        }
        Ok(Self { path, before, joined, left_out })
    }

    /// A new configuration without secrets.
    pub fn empty(installation: &Installation) -> Self {
        let joined = Joined { text: format!("{HEAD}{EXAMPLE}"), ..Joined::default() };
        Self { path: installation.config_path(), before: None, joined, left_out: Vec::new() }
    }

    /// Writes the file; a new one with its schema. The bytes of an existing file stay as they are.
    ///
    /// # Errors
    /// It cannot be written, or changed meanwhile.
    pub fn write(&self) -> Result<Written, Problem> {
        let Self { path, joined: Joined { text, .. }, .. } = self;
        match &self.before {
            Some(old) if old == text => Ok(Written::Nothing),
            Some(old) => config_file::replace(path, old, text).map(|()| Written::Added),
            None => write_new(path, text).map(Written::New),
        }
    }
}

/// The machines and clusters that are not searched, if the configuration names any.
fn other_machines(text: &str, file_name: &str) -> Result<Option<Event>, Problem> {
    let config = Config::parse(text, file_name)?;
    let hosts = other_hosts(&config);
    let event = || Event::NotVisible {
        what: format!("services on {}", listed(&hosts)),
        why: format!("only this machine was searched; keyroll init{} looks there", host_flags(&hosts)),
    };
    Ok((!hosts.is_empty()).then(event))
}

/// The text of an existing file; an error if nothing can be added to it.
pub(super) fn before(path: &Path) -> Result<Option<String>, Problem> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let refused = |problem: Problem| {
        let mut refused = Problem::new(Code::ConfigNotWritten, format!("add to {}", path.display()));
        refused.causes = problem.causes;
        let help = problem.help.unwrap_or_else(|| "correct it".to_owned());
        refused.help(format!("{help}; or name another file with --config FILE. nothing was changed"))
    };
    let text = config_file::read(path).map_err(refused)?;
    Config::parse(&text, &path.display().to_string()).map_err(|error| refused(error.into()))?;
    Ok(Some(text))
}

/// Returns the path of the schema. An older schema is replaced; an existing configuration is not.
fn write_new(path: &Path, text: &str) -> Result<PathBuf, Problem> {
    config_file::create(path, text, "--config")?;
    let schema = path.with_file_name(SCHEMA_FILE_NAME);
    let form = format!("{:#}\n", keyroll_config::schema());
    match schema.exists() {
        true => config_file::replace(&schema, &config_file::read(&schema)?, &form)?,
        false => config_file::create(&schema, &form, "--config")?,
    }
    Config::load(path)?;
    Ok(schema)
}
