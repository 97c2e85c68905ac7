//! The one command that ssh is given. The login shell of a host reads it first, whichever shell that is.

use crate::program::Program;
use crate::verb::Verb;

/// The boot script, as it is read by people.
const BOOT: &str = include_str!("boot.sh");

/// `exec sh -c '<boot script>' keyroll '<programs>' <sudo> '<installed program>' <verb>`.
///
/// The script is in the command and not at the beginning of the input: the input then holds nothing but the program and
/// the frames, so it does not matter how far a shell reads ahead, or that a profile reads from it.
pub(crate) fn command_line(programs: &[Program], sudo: bool, installed: Option<&str>, verb: Verb) -> String {
    let offered: Vec<String> =
        programs.iter().map(|one| format!("{}:{}:{}", one.machine, one.sha256, one.bytes)).collect();
    format!(
        "exec sh -c {} keyroll {} {} {} {}",
        quoted(&script()),
        quoted(&offered.join(" ")),
        u8::from(sudo && verb.may_be_root()),
        quoted(installed.unwrap_or_default()),
        verb.word()
    )
}

/// The script in one line: csh takes no line end inside quotes.
fn script() -> String {
    let lines = BOOT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

/// One word for any login shell: POSIX shells, fish and csh.
///
/// Single quotes mean the same to all of them but for three characters, which stand outside: `\` is special to fish there,
/// `!` to csh. Control characters are left out: csh takes no line end, and none of the words has one.
fn quoted(word: &str) -> String {
    let mut text = String::from("'");
    for one in word.chars().filter(|one| !one.is_control()) {
        if matches!(one, '\'' | '\\' | '!') {
            text.extend(['\'', '\\', one, '\'']);
        } else {
            text.push(one);
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    const SHELLS: [&[&str]; 8] =
        [&["sh"], &["bash"], &["dash"], &["zsh"], &["ksh"], &["busybox", "sh"], &["fish"], &["tcsh"]];

    /// What a shell makes of a command line; `None` where it is not installed.
    fn read_by(shell: &[&str], line: &str) -> Option<String> {
        let (program, more) = shell.split_first()?;
        let output = Command::new(program).args(more).args(["-c", line]).output().ok()?;
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn each_login_shell_passes_a_word_on_as_it_is() {
        let words = [
            "",
            "a b",
            "it's",
            "back\\slash",
            "\\\\two",
            "end\\",
            "!! !$ a!b",
            "$HOME `id` $(id) %d {a,b} ~ * ?",
            "\"q\" ; & | < > # (x)",
        ];
        let mut seen = 0;
        for shell in SHELLS {
            for word in words {
                let line = format!("exec printf %s {}", quoted(word));
                let Some(said) = read_by(shell, &line) else { continue };
                assert_eq!(said, word, "{shell:?}");
                seen += 1;
            }
        }
        assert!(seen >= words.len(), "no shell is here");
    }

    #[test]
    fn control_characters_are_left_out() {
        assert_eq!(quoted("a\nb\u{1b}c"), "'abc'");
    }

    #[test]
    fn the_script_is_one_line_that_needs_no_care_in_quotes() {
        let script = script();
        assert!(!script.contains(['\n', '\'', '!', '\\']), "{script}");
        assert!(script.ends_with("exec $g \"$f\" \"$4\""), "{script}");
        for shell in ["sh", "bash", "dash"] {
            let Ok(output) = Command::new(shell).args(["-n", "-c", &script]).output() else { continue };
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }

    #[test]
    fn each_line_of_the_script_ends_its_command() {
        for line in BOOT.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let ended = [";", "then", "else", "\"$4\""].iter().any(|end| line.ends_with(end));
            assert!(ended, "{line}");
        }
    }

    #[test]
    fn the_programs_and_the_wishes_are_named() {
        let one = |machine, sum: &str, bytes| Program {
            path: PathBuf::new(),
            machine,
            sha256: sum.to_owned(),
            bytes,
        };
        let programs = [one("x86_64", "aa", 12), one("aarch64", "bb", 34)];
        let line = command_line(&programs, true, None, Verb::Serve);
        assert!(line.starts_with("exec sh -c 'umask 077; "), "{line}");
        assert!(line.ends_with("' keyroll 'x86_64:aa:12 aarch64:bb:34' 1 '' serve"), "{line}");
        let line = command_line(&[], false, Some("/usr/local/bin/keyroll-host"), Verb::Serve);
        assert!(line.ends_with("' keyroll '' 0 '/usr/local/bin/keyroll-host' serve"), "{line}");
        // Whatever the operator declared, a connection needs no root.
        let line = command_line(&programs, true, None, Verb::Reach);
        assert!(line.ends_with("' keyroll 'x86_64:aa:12 aarch64:bb:34' 0 '' reach"), "{line}");
    }
}
