//! Completes a command line. The script of a shell asks keyroll itself for each word, with the variable KEYROLL_COMPLETE, so
//! that it offers the names of this installation too. Without that variable none of this runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgGroup, Command, CommandFactory as _, Id, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use keyroll_app::env;
use keyroll_app::installation::Installation;
use keyroll_app::places::Locations;
use keyroll_app::reports::offered::{self, Offered};

use crate::args::Cli;
use crate::remote::{HereOption, named_here, server_asked};
use crate::ui::{Look, Ui};

/// What the script of zsh lacks: it is the body of a function, which zsh calls for the first word to complete.
const ZSH: &str =
    "\nif [ \"$funcstack[1]\" = \"_keyroll\" ]; then\n    _clap_dynamic_completer_keyroll \"$@\"\nfi\n";

/// What the script of bash lacks: a file may have any name, and bash puts an offered word into the line as it stands. Where one is
/// no plain word, bash quotes them as names of files.
const BASH: &str = r#"
_keyroll() {
    _clap_complete_keyroll "$@"
    local word
    for word in "${COMPREPLY[@]-}"; do
        case "$word" in
            *[!A-Za-z0-9/_.:@%+,=-]*) compopt -o filenames 2> /dev/null; break ;;
        esac
    done
}
complete -o nospace -o bashdefault -o nosort -F _keyroll keyroll 2> /dev/null ||
    complete -o nospace -o bashdefault -F _keyroll keyroll
"#;

/// The words of the command line so far.
type Words = Arc<[OsString]>;

/// What an argument names.
#[derive(Clone, Copy)]
enum Named {
    Secret,
    Plan,
    OpenRotation,
    SecretOrOpenRotation,
}

/// The script of a shell; `None` if there is none.
pub(crate) fn script(shell: &str) -> Option<io::Result<Vec<u8>>> {
    let shells = Shells::builtins();
    let mut text = Vec::new();
    let written = shells.completer(shell)?.write_registration(
        env::COMPLETE.name,
        "keyroll",
        "keyroll",
        "keyroll",
        &mut text,
    );
    let lacks = match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        _ => "",
    };
    text.extend_from_slice(lacks.as_bytes());
    Some(written.map(|()| text))
}

/// Answers the script of a shell. Nothing is said of a failure: it would be shown within the line that is being typed.
pub(crate) fn answer(shell: &OsStr) -> ExitCode {
    std::panic::set_hook(Box::new(|_| std::process::exit(1)));
    let words: Vec<OsString> = std::env::args_os().skip(1).skip_while(|word| word != "--").skip(1).collect();
    match offered(shell, words) {
        Some(text) => {
            Ui::new(Look::choose(false, true, true)).file(&text);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

fn offered(shell: &OsStr, words: Vec<OsString>) -> Option<Vec<u8>> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell.to_str()?).filter(|_| !words.is_empty())?;
    let mut command = listed(&Cli::command(), "", &words.as_slice().into());
    let mut text = Vec::new();
    shell.write_complete(&mut command, words, Some(Path::new(".")), &mut text).ok()?;
    Some(text)
}

/// The command as its help lists it, with the names of this installation. The engine offers what is hidden only where it has
/// nothing else: so an option is offered where nothing else fits, or where its beginning was typed.
fn listed(command: &Command, above: &str, words: &Words) -> Command {
    let name = command.get_name();
    let all = || command.get_arguments().filter(|one| !one.is_hide_set());
    let groups = command.get_groups().map(|group| {
        let args: Vec<Id> =
            group.get_args().filter(|id| all().any(|one| one.get_id() == *id)).cloned().collect();
        ArgGroup::new(group.get_id().clone()).args(args).multiple(true)
    });
    let flag = |name: &'static str, short: char, about: &'static str| {
        Arg::new(name).long(name).short(short).help(about).action(ArgAction::SetTrue).hide(true)
    };
    let version = above.is_empty().then(|| flag("version", 'V', "Print version"));
    Command::new(kept(name))
        .about(command.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(all().cloned().map(|arg| completed(arg, (above, name), words)))
        .arg(flag("help", 'h', "Print help"))
        .args(version)
        .groups(groups)
        .visible_aliases(command.get_visible_aliases().map(kept))
        .subcommands(
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(|one| listed(one, name, words)),
        )
}

/// An argument of a command, the name of whose parent comes first, with what completes it.
fn completed(arg: Arg, command: (&str, &str), words: &Words) -> Arg {
    let option = !arg.is_positional();
    let arg = arg.hide(option);
    if let Some(named) = named(command, arg.get_id().as_str()) {
        let words = Arc::clone(words);
        return arg.add(ArgValueCandidates::new(move || candidates(named, &words)));
    }
    let is_path = |name: &str| ["PATH", "FILE", "COMMAND"].iter().any(|part| name.contains(part));
    let is_path = arg.get_value_names().is_some_and(|names| names.iter().any(|name| is_path(name.as_str())));
    if is_path && arg.get_value_hint() == ValueHint::Unknown {
        arg.value_hint(ValueHint::AnyPath)
    } else {
        arg
    }
}

/// What an argument of a command names. `--confirm` is not completed: the name is to be typed on purpose.
fn named(command: (&str, &str), arg: &str) -> Option<Named> {
    match (command, arg) {
        ((_, "apply"), "plan") => Some(Named::Plan),
        ((_, "resume" | "pause" | "status" | "abort" | "retry" | "undo"), "id")
        | ((_, "emergency"), "rotation") => Some(Named::OpenRotation),
        ((_, "history" | "audit"), "about") => Some(Named::SecretOrOpenRotation),
        (("secret", "add" | "import" | "drift" | "show" | "accept-key"), "name")
        | (_, "secret")
        | ((_, "fingerprints"), "secrets") => Some(Named::Secret),
        (_, _) => None,
    }
}

/// The names that there are; none if a server is asked, or where one cannot be read.
fn candidates(named: Named, words: &[OsString]) -> Vec<CompletionCandidate> {
    let Some(installation) = locations(words).map(Installation::new) else { return Vec::new() };
    let secrets = || offered::secrets(&installation).into_iter().map(CompletionCandidate::new);
    let ids = |all: Vec<Offered>| {
        all.into_iter().map(|(id, secret)| CompletionCandidate::new(id).help(secret.map(Into::into)))
    };
    match named {
        Named::Secret => secrets().collect(),
        Named::Plan => ids(offered::plans(&installation)).collect(),
        Named::OpenRotation => ids(offered::rotations(&installation)).collect(),
        Named::SecretOrOpenRotation => secrets().chain(ids(offered::rotations(&installation))).collect(),
    }
}

/// The locations that the words name; `None` if a server is asked.
fn locations(words: &[OsString]) -> Option<Locations> {
    let path = |of: HereOption| option(words, of.word()).map(at_home);
    let found = Locations {
        config: path(HereOption::Config),
        state: path(HereOption::State),
        keys: path(HereOption::Keys),
        ..Locations::default()
    };
    let here = named_here(|of| option(words, of.word()).is_some());
    let server = option(words, "--server").map(|url| url.to_string_lossy().into_owned());
    server_asked(server, here).is_none().then_some(found)
}

/// The value of an option, as it was typed.
fn option(words: &[OsString], name: &str) -> Option<OsString> {
    let mut rest = words.iter().skip(1).take_while(|word| *word != "--");
    while let Some(word) = rest.next() {
        match word.to_str().and_then(|word| word.strip_prefix(name)) {
            Some("") => {
                let value = rest.next()?;
                // Bash divides a word at `=`.
                return if value == "=" { rest.next().cloned() } else { Some(value.clone()) };
            }
            Some(behind) if behind.starts_with('=') => return behind.strip_prefix('=').map(OsString::from),
            Some(_) | None => {}
        }
    }
    None
}

/// The path that a shell makes of a word that begins with `~/`.
fn at_home(word: OsString) -> PathBuf {
    let path = PathBuf::from(word);
    match (path.strip_prefix("~"), env::HOME.absolute()) {
        (Ok(rest), Some(home)) => home.join(rest),
        (_, _) => path,
    }
}

/// A name for the rest of this process, which ends with the answer.
fn kept(name: &str) -> &'static str {
    name.to_owned().leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn an_option_is_found_however_it_was_typed() {
        for line in [
            "keyroll --config a/b plan x",
            "keyroll plan --config=a/b x",
            "keyroll plan --config = a/b",
            "keyroll plan x --json --config a/b --",
        ] {
            assert_eq!(option(&words(line), "--config").as_deref(), Some(OsStr::new("a/b")), "{line}");
        }
        for line in [
            "keyroll plan x",
            "keyroll run -- other --config a/b",
            "keyroll --configs a/b",
            "keyroll --config",
        ] {
            assert_eq!(option(&words(line), "--config"), None, "{line}");
        }
        assert!(locations(&words("keyroll plan --server http://127.0.0.1:9 x")).is_none());
        let here = locations(&words("keyroll --config /a --state=/b plan --keys /c x")).unwrap();
        let found = [here.config, here.state, here.keys].map(|path| path.unwrap().display().to_string());
        assert_eq!(found, ["/a", "/b", "/c"]);
    }

    /// The arguments that are completed, with what they name: none is left out by a new name.
    #[test]
    fn every_argument_that_is_called_a_secret_or_an_id_of_a_rotation_is_completed() {
        fn look(command: &Command, above: &str, found: &mut Vec<String>) {
            let name = command.get_name();
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let says = ["The secret's name", "The rotation's id", "The plan's id"];
                if says.iter().any(|says| help.starts_with(says)) {
                    assert!(named((above, name), arg.get_id().as_str()).is_some(), "{above} {name} {help}");
                }
                if named((above, name), arg.get_id().as_str()).is_some() {
                    found.push(format!("{name} {}", arg.get_id()));
                }
            }
            for one in command.get_subcommands() {
                look(one, name, found);
            }
        }
        let mut found = Vec::new();
        look(&Cli::command(), "", &mut found);
        for one in
            ["plan secret", "apply plan", "resume id", "add name", "history about", "fingerprints secrets"]
        {
            assert!(found.iter().any(|found| found == one), "{one}: {found:?}");
        }
        assert!(!found.iter().any(|one| one.ends_with("confirm") || one == "new name"), "{found:?}");
    }

    #[test]
    fn the_listed_command_is_sound() {
        listed(&Cli::command(), "", &Words::from([])).debug_assert();
    }
}
