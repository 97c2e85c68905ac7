//! How a consumer takes a value, in the words of a plan.

use crate::CommandLine;
use crate::shell_word::{shell_word, shell_words};

/// How keyroll makes a consumer take a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliedBy {
    /// A command, as an operator types it in any folder.
    Command(String),
    /// A request that no such command makes, a clause: `sends SIGHUP to process ID in /run/app.pid`.
    Request(String),
    /// Nothing, and why.
    Nothing(&'static str),
}

impl AppliedBy {
    /// A command of the configuration.
    pub(crate) fn line(line: &CommandLine) -> Self {
        Self::Command(line.typed())
    }

    /// What keyroll does, a clause.
    pub fn text(&self) -> String {
        match self {
            Self::Command(line) => format!("runs {line}"),
            Self::Request(clause) => clause.clone(),
            Self::Nothing(why) => format!("runs nothing: {why}"),
        }
    }
}

impl CommandLine {
    /// The command as an operator types it in any folder.
    pub fn typed(&self) -> String {
        let words = shell_words(self.words());
        match &self.folder {
            // keyroll runs it in this folder, where a relative path leads elsewhere than in the operator's.
            Some(folder) if self.arguments.iter().any(|word| may_be_relative(word)) => {
                format!("(cd {} && {words})", shell_word(folder.display().to_string()))
            }
            Some(_) | None => words,
        }
    }
}

/// Whether an argument may be a path below the folder of the command, or a line with one.
fn may_be_relative(word: &str) -> bool {
    let path = match word.starts_with('-') {
        true => word.split_once('=').map_or("", |(_, path)| path),
        false => word,
    };
    let named = path.contains(['/', '.']) && !path.starts_with('/') && !path.contains("://");
    named || word.contains("./")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_the_configuration_is_shown_as_it_is_typed_in_any_folder() {
        for (words, typed) in [
            (&["/srv/r.sh", "api"][..], "/srv/r.sh api"),
            (&["node", "server.js"], "(cd '/srv/my app' && node server.js)"),
            (&["sh", "-c", "./r.sh && echo"], "(cd '/srv/my app' && sh -c './r.sh && echo')"),
            (&["tool", "--file=./x"], "(cd '/srv/my app' && tool --file=./x)"),
            (&["tool", "--file=conf/x"], "(cd '/srv/my app' && tool --file=conf/x)"),
            (&["tool", "--file=/etc/x", "--fast"], "tool --file=/etc/x --fast"),
            (&["tool", "https://[::1]/a", "/etc/x", "a b"], "tool 'https://[::1]/a' /etc/x 'a b'"),
        ] {
            let line = CommandLine::program(words[0], words[1..].iter().copied());
            let folder = Some("/srv/my app".into());
            assert_eq!(CommandLine { folder, ..line }.typed(), typed);
        }
        let nowhere = CommandLine::program("node", ["server.js"]);
        assert_eq!(nowhere.typed(), "node server.js");
    }
}
