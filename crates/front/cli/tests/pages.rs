//! Completions and manual pages, read by the programs that they are for.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::hostile::scene::Scene;

/// The program's stdout; it must print nothing else.
fn printed(words: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll")).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}");
    output.stdout
}

/// The output of `program` for a text on stdin; `None` if it is not installed.
fn read_by(program: &str, words: &[&str], text: &[u8]) -> Option<(bool, String)> {
    read_in(Path::new("."), program, words, text)
}

/// The same in a folder, which is the home folder too; keyroll is on the search path.
fn read_in(folder: &Path, program: &str, words: &[&str], text: &[u8]) -> Option<(bool, String)> {
    let beside = Path::new(env!("CARGO_BIN_EXE_keyroll")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([beside.to_owned()].into_iter().chain(std::env::split_paths(&path)));
    let spawned = Command::new(program)
        .args(words)
        .env("PATH", path.unwrap())
        .env("HOME", folder)
        .env_remove("KEYROLL_SERVER")
        .env_remove("KEYROLL_CONFIG")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("left out: {program} is not on this machine");
        return None;
    };
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

/// What the script of bash offers for the last of these words, sorted; `None` without bash.
fn offers(folder: &Path, words: &[&str]) -> Option<Vec<String>> {
    let mut script = printed(&["completion", "bash"]);
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    script.extend_from_slice(
        format!(
            "\nCOMP_WORDS=({}); COMP_CWORD={last}; _clap_complete_keyroll keyroll {} before\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            quoted.join(" "),
            quoted[last]
        )
        .as_bytes(),
    );
    let (good, text) = read_in(folder, "bash", &["-s"], &script)?;
    assert!(good, "{words:?}: {text}");
    let mut all: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    all.sort();
    Some(all)
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let Some(commands) = offers(folder.path(), &["keyroll", "re"]) else { return };
    assert_eq!(commands, ["redact", "resume", "retry", "revoke"]);
    let offers = |words: &[&str]| offers(folder.path(), &[&["keyroll"][..], words].concat()).unwrap();
    assert_eq!(offers(&["apply", "--em"]), ["--emergency"]);
    assert!(offers(&["consumer", ""]).contains(&"adopt".to_owned()));
    assert_eq!(offers(&["apply", "--emergency", "r"]), ["revoke-now", "roll-first"]);
}

#[test]
fn a_completion_offers_no_option_that_the_help_does_not_list() {
    let folder = tempfile::tempdir().unwrap();
    let Some(all) = offers(folder.path(), &["keyroll", "status", "--"]) else { return };
    for listed in ["--no-input", "--config", "--watch", "--help"] {
        assert!(all.iter().any(|one| one == listed), "{listed}: {all:?}");
    }
    for other in ["--cost", "--asked-by", "--asked-id"] {
        assert!(!all.iter().any(|one| one == other), "{other}: {all:?}");
    }
    let commands = offers(folder.path(), &["keyroll", ""]).unwrap();
    assert!(
        commands.contains(&"plan".to_owned()) && !commands.iter().any(|one| one.starts_with('-')),
        "{commands:?}"
    );
    assert!(!commands.iter().any(|one| one == "demo-part" || one == "below"), "{commands:?}");
}

/// The names of secrets come from the file that the command would use.
#[test]
fn bash_completes_the_names_of_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = |names: [&str; 2]| {
        let table = |name: &str| format!("[secrets.{name}]\nissuer = \"openrouter\"\n");
        format!("version = 1\n{}{}", table(names[0]), table(names[1]))
    };
    fs::write(path("keyroll.toml"), config(["acme", "ring"])).unwrap();
    fs::write(path("other.toml"), config(["anthropic", "orders-db"])).unwrap();
    let Some(all) = offers(folder.path(), &["keyroll", "plan", ""]) else { return };
    assert_eq!(all, ["acme", "ring"]);
    let offers = |words: &[&str]| offers(folder.path(), &[&["keyroll"][..], words].concat()).unwrap();
    assert_eq!(offers(&["plan", "r"]), ["ring"]);
    assert_eq!(offers(&["verify", "a"]), ["acme"]);
    assert_eq!(offers(&["secret", "show", "a"]), ["acme"]);
    assert_eq!(offers(&["consumer", "waive", "4711", "--secret", "a"]), ["acme"]);
    assert_eq!(offers(&["--config", "other.toml", "plan", ""]), ["anthropic", "orders-db"]);
    assert_eq!(offers(&["plan", "--config", "~/other.toml", "o"]), ["orders-db"]);
    // The consent to revoke a key is typed.
    assert!(!offers(&["apply", "x", "--confirm", ""]).contains(&"acme".to_owned()));
    assert!(!offers(&["--server", "http://127.0.0.1:9", "plan", ""]).contains(&"acme".to_owned()));
    fs::write(path("keyroll.toml"), "version = ").unwrap();
    assert!(!offers(&["plan", ""]).contains(&"acme".to_owned()));
    // What was asked made no state.
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made.len(), 2, "{made:?}");
}

/// Red: TAB put `x;touch y` into the line as it stands, and Enter ran a command that the name of a file chose.
#[test]
fn bash_quotes_the_name_of_a_file_that_is_no_plain_word() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |word: &str| {
        let mut script = printed(&["completion", "bash"]);
        // Outside of a completion the builtin refuses: what it is asked is shown instead.
        let asks = format!(
            "\ncompopt() {{ echo \"compopt $*\"; }}\nCOMP_WORDS=(keyroll scan {word}); COMP_CWORD=2\n\
             _keyroll keyroll {word} scan; printf '<%s>\\n' \"${{COMPREPLY[@]}}\"; complete -p keyroll\n"
        );
        script.extend_from_slice(asks.as_bytes());
        read_in(folder.path(), "bash", &["-s"], &script)
    };
    for (name, is_plain) in
        [("a-plain.env", true), ("b;touch pwned", false), ("c$(id)", false), ("d e", false)]
    {
        fs::write(folder.path().join(name), "").unwrap();
        let Some((good, text)) = asked(&name[..1]) else { return };
        assert!(good && text.contains(&format!("<{name}>")), "{name}: {text}");
        assert!(text.contains("-F _keyroll keyroll"), "{name}: {text}");
        assert_eq!(text.contains("compopt -o filenames"), !is_plain, "{name}: {text}");
    }
}

/// What the program offers, each with what it is about.
fn asked(scene: &Scene, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command.args(["--", "keyroll", "--state", "../state"]).args(words).current_dir(scene.dir());
    command.env_clear().env("HOME", scene.dir()).env("KEYROLL_COMPLETE", "fish").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = text.lines().filter(|line| !line.starts_with('-')).map(|line| line.replace('\t', " of "));
    shown.collect()
}

/// Also while a driver has the lock and the journal, and nothing is made beside them.
#[test]
fn the_ids_of_plans_and_of_open_rotations_are_completed() {
    let scene = Scene::new();
    assert!(asked(&scene, &["apply", ""]).is_empty() && asked(&scene, &["resume", ""]).is_empty());
    let plan = format!("{} of ring", scene.plan());
    assert_eq!(asked(&scene, &["apply", ""]), [plan.as_str()]);
    assert!(asked(&scene, &["status", ""]).is_empty());
    let (driver, id) = scene.waits_for_api();
    let rotation = format!("{id} of ring");
    let journals = || {
        let names = fs::read_dir(scene.state()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("journal")).collect();
        names.sort();
        names
    };
    let before = journals();
    for command in ["resume", "pause", "status", "abort", "retry", "undo"] {
        assert_eq!(asked(&scene, &[command, ""]), [rotation.as_str()], "{command}");
    }
    assert_eq!(asked(&scene, &["history", ""]), ["ring", rotation.as_str()]);
    assert_eq!(asked(&scene, &["apply", ""]), [plan.as_str()], "a rotation is no plan to apply");
    assert!(asked(&scene, &["status", "x"]).is_empty());
    assert_eq!(journals(), before);
    drop(driver);

    let done = Scene::new();
    done.apply().exits(0).ended("done");
    assert!(asked(&done, &["status", ""]).is_empty() && asked(&done, &["apply", ""]).is_empty());
}

#[test]
fn without_its_variable_a_command_is_what_it_was() {
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["--", "keyroll", "plan", ""])
        .env("COMPLETE", "bash")
        .env_remove("KEYROLL_COMPLETE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("K0802"));
}

#[test]
fn other_shells_take_their_scripts() {
    for (shell, words) in [("zsh", &["-n", "/dev/stdin"][..]), ("fish", &["--no-execute", "/dev/stdin"])] {
        let script = printed(&["completion", shell]);
        let text = String::from_utf8_lossy(&script);
        assert!(
            text.contains(&format!("KEYROLL_COMPLETE=\"{shell}\"")) || text.contains("KEYROLL_COMPLETE=fish")
        );
        if let Some((good, text)) = read_by(shell, words, &script) {
            assert!(good, "{shell}: {text}");
        }
    }
}

#[test]
fn each_command_has_its_page() {
    for (words, title) in
        [(&["man"][..], "keyroll \\-"), (&["man", "consumer", "adopt"], "keyroll\\-consumer\\-adopt")]
    {
        let page = printed(words);
        assert!(String::from_utf8_lossy(&page).contains(title), "{words:?}");
        if let Some((good, text)) = read_by("groff", &["-man", "-Tutf8", "-ww", "-P-cbou"], &page) {
            assert!(good && text.contains("NAME") && !text.contains("warning"), "{text}");
        }
    }
    // An example is not joined with what follows.
    let page = printed(&["man", "run"]);
    assert!(String::from_utf8_lossy(&page).contains("\n\nExit codes:"), "the page of run");
    // It names a guide: it says where that is.
    assert!(String::from_utf8_lossy(&page).contains(".SH FILES\n.TP\ndocs/\n"), "the page of run");
    for (words, said) in [(&["man"][..], 1), (&["man", "run"], 1), (&["man", "apply"], 0)] {
        let page = printed(words);
        assert_eq!(
            String::from_utf8_lossy(&page).matches("/usr/share/doc/keyroll").count(),
            said,
            "{words:?}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll")).args(["man", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
