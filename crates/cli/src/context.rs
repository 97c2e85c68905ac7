use std::path::PathBuf;

use keyroll_config::{Config, Secret};
use keyroll_port::Journal as _;

use crate::args::Globals;
use crate::env;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::saved::Saved;
use crate::ui::{Look, Ui};
use crate::wiring::open::{journal_for_a_look, runtime};

/// What every command is given.
pub(crate) struct Context {
    /// The one place that prints and asks.
    pub(crate) ui: Ui,
    /// The flags of every command.
    pub(crate) globals: Globals,
}

impl Context {
    pub(crate) fn open(globals: Globals) -> Result<Self, Problem> {
        let look = Look::choose(globals.json, globals.plain, globals.no_input);
        Ok(Self { ui: Ui::new(look), globals })
    }

    /// The configuration file: `--config`, `KEYROLL_CONFIG`, or `keyroll.toml` here.
    pub(crate) fn config_path(&self) -> PathBuf {
        let chosen = self.globals.config.clone().or_else(|| env::CONFIG.get().map(PathBuf::from));
        chosen.unwrap_or_else(|| PathBuf::from("keyroll.toml"))
    }

    /// The configuration, checked whole.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        Ok(Config::load(&self.config_path())?)
    }

    /// Whether nothing says where keyroll keeps what it knows.
    pub(crate) fn has_no_home(&self) -> bool {
        let named = self.globals.state.is_some() || env::STATE.get().is_some();
        let sealed = self.globals.sealing_key.is_some() || env::SEALING_KEY.get().is_some();
        !named && !sealed && env::HOME.get().is_none()
    }

    /// Where keyroll keeps what it knows.
    pub(crate) fn places(&self) -> Result<Places, Problem> {
        Places::find(&self.globals)
    }
}

/// One secret of the configuration, or a problem with a suggestion.
pub(crate) fn secret<'a>(config: &'a Config, name: &str) -> Result<&'a Secret, Problem> {
    config.secret(name).map_err(|help| {
        Problem::new("K0805", "find the secret in the configuration")
            .because("no secret has this name")
            .help(help)
    })
}

/// The only secret of the configuration, or the one that is named.
pub(crate) fn only_secret<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Secret, Problem> {
    let mut all = config.secrets.values();
    match (name, all.next(), all.next()) {
        (Some(name), _, _) => secret(config, name),
        (None, Some(only), None) => Ok(only),
        (None, None, _) => Err(Problem::new("K0805", "find the secret").because("none is configured")),
        (None, Some(_), Some(_)) => {
            let names: Vec<&str> = config.secrets.keys().map(keyroll_config::Name::as_str).collect();
            Err(Problem::new("K0805", "find the secret")
                .because("there are several")
                .help(format!("say which with --secret: {}", names.join(", "))))
        }
    }
}

/// The digits of an id.
const ID_DIGITS: usize = 32;

/// Of ids that begin alike.
const IDS_SHOWN_MAX: usize = 8;

/// The longest id of a plan or a rotation, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Refuses what cannot be the id of a plan or a rotation, without repeating it.
pub(crate) fn rotation_id(id: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    match (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain) {
        true => Ok(()),
        false => Err(Problem::new("K0807", "find the rotation")
            .because("an id has letters, digits and - only")
            .help("keyroll status shows the ids of all that is open")),
    }
}

/// The id that is meant: the whole of it, or a beginning that only one has. What was typed is not repeated.
///
/// Errors: the problem that is given, with what was found in its place.
pub(crate) fn chosen_id<'a>(
    given: &str,
    ids: impl Iterator<Item = &'a str>,
    problem: Problem,
) -> Result<String, Problem> {
    let all: Vec<&str> = ids.collect();
    let begin: Vec<&str> = all.iter().copied().filter(|id| id.starts_with(given)).collect();
    let exact = begin.iter().find(|id| **id == given);
    if let (Some(id), _) | (None, [id]) = (exact, begin.as_slice()) {
        return Ok((*id).to_owned());
    }
    let beginning = |id: &str| id.get(..given.len().min(id.len())).map(str::to_owned).unwrap_or_default();
    let near = |id: &&&str| keyroll_config::nearest(given, [beginning(id).as_str()]).is_some();
    let near: Vec<&str> = all.iter().filter(near).copied().take(IDS_SHOWN_MAX).collect();
    Err(match (begin.len(), near.is_empty()) {
        (0, true) => problem.because("nothing has this id"),
        (0, false) => {
            problem.because("nothing has this id").help(format!("did you mean {}?", near.join(" or ")))
        }
        (count, _) => {
            let shown: Vec<&str> = begin.into_iter().take(IDS_SHOWN_MAX).collect();
            problem
                .because(format!("{count} ids begin with this: {}", shown.join(", ")))
                .help("the same command with more of the id that is meant")
        }
    })
}

/// The rotation that is named, where its id was not typed whole.
pub(crate) fn meant_rotation(given: Option<&str>, context: &Context) -> Result<Option<String>, Problem> {
    let Some(id) = given else { return Ok(None) };
    rotation_id(id)?;
    let places = context.places()?;
    // A whole one is looked up where it is used.
    if id.len() >= ID_DIGITS || !places.journal().exists() {
        return Ok(Some(id.to_owned()));
    }
    let (journal, _) = journal_for_a_look(&places)?;
    let all = runtime()?.block_on(journal.list()).map_err(|error| no_rotation().because_of(&error))?;
    let mut ids: Vec<String> = all.into_iter().map(|one| one.id.0).collect();
    // A split goes by the id of its plan, which is no rotation's.
    ids.extend(Saved::splits(&places).into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    chosen_id(id, ids.iter().map(String::as_str), no_rotation()).map(Some)
}

/// What is said where a rotation was not found.
pub(crate) fn no_rotation() -> Problem {
    Problem::new("K0807", "find the rotation").help("keyroll status shows the ids of all")
}

/// Refuses a consent that names another secret than the one it is for.
pub(crate) fn consent(confirm: Option<&str>, name: &str) -> Result<(), Problem> {
    match confirm {
        Some(given) if given != name => Err(Problem::new("K0808", "take the consent to end the old key")
            .because("--confirm names another secret")
            .help(format!("--confirm={name}"))),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{chosen_id, no_rotation};

    #[test]
    fn an_id_is_found_by_its_beginning_and_a_mistyped_one_by_what_is_near() {
        const ALL: [&str; 3] = ["01a1fc41e35771d0", "01a1fc41ffff0000", "01a1fc41e35771d0ff"];
        let find = |given: &str| chosen_id(given, ALL.into_iter(), no_rotation());
        assert_eq!(find("01a1fc41f").unwrap(), ALL[1]);
        // One that another begins with is named whole.
        assert_eq!(find(ALL[0]).unwrap(), ALL[0]);
        let said = |given: &str| {
            let problem = find(given).unwrap_err();
            (problem.causes.join(" "), problem.help.unwrap())
        };
        let (why, _) = said("01a1fc41e");
        assert!(why.starts_with("2 ids") && why.contains(ALL[0]) && why.contains(ALL[2]), "{why}");
        let (_, help) = said("01a1fc41fffe0000");
        assert_eq!(help, format!("did you mean {}?", ALL[1]));
        assert_eq!(said("77").1, "keyroll status shows the ids of all");
    }
}
