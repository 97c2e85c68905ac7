//! Completions and manual pages, read by the programs that they are for.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// The program's stdout; it must print nothing else.
fn printed(words: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll")).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}");
    output.stdout
}

/// The output of `program` for a text on stdin; `None` if it is not installed.
fn read_by(program: &str, words: &[&str], text: &[u8]) -> Option<(bool, String)> {
    let spawned = Command::new(program)
        .args(words)
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

#[test]
fn bash_completes_commands_and_flags() {
    let mut script = printed(&["completion", "bash"]);
    script.extend_from_slice(
        b"\nCOMP_WORDS=(keyroll re); COMP_CWORD=1; _keyroll keyroll re keyroll; echo \"${COMPREPLY[@]}\"\
          \nCOMP_WORDS=(keyroll apply --em); COMP_CWORD=2; _keyroll keyroll --em apply; echo \"${COMPREPLY[@]}\"\n",
    );
    let Some((good, text)) = read_by("bash", &["-s"], &script) else { return };
    assert!(good && text.contains("resume retry revoke") && text.contains("--emergency"), "{text}");
    assert!(!text.contains("demo-part"), "{text}");
}

#[test]
fn a_completion_offers_no_option_that_the_help_does_not_list() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(printed(&["completion", shell])).unwrap();
        for listed in ["no-input", "emergency", "on-failure", "waivers"] {
            assert!(script.contains(listed), "{shell}: {listed}");
        }
        for other in ["asked-by", "asked-id", "cost this process"] {
            assert!(!script.contains(other), "{shell}: {other}");
        }
    }
    let mut script = printed(&["completion", "bash"]);
    let ask = b"\nCOMP_WORDS=(keyroll status --co); COMP_CWORD=2; _keyroll keyroll --co status; echo \"${COMPREPLY[@]}\"\n";
    script.extend_from_slice(ask);
    let Some((good, text)) = read_by("bash", &["-s"], &script) else { return };
    assert!(good && text.contains("--config") && !text.contains("--cost"), "{text}");
}

#[test]
fn other_shells_take_their_scripts() {
    for (shell, words) in [("zsh", &["-n", "/dev/stdin"][..]), ("fish", &["--no-execute", "/dev/stdin"])] {
        let script = printed(&["completion", shell]);
        assert!(script.len() > 1_000);
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
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll")).args(["man", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
