//! Tests that every command in an error, a message or a page is one that the program accepts.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::error::ErrorKind;
    use clap::{Command, CommandFactory as _};

    use crate::args::Cli;

    /// The value that replaces a placeholder.
    const VALUE: &str = "1";

    fn files(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = path.extension().is_some_and(|it| it == "rs" || it == "md");
            if path.is_dir() && !path.ends_with("target") {
                files(&path, all);
            } else if text {
                all.push(path);
            }
        }
    }

    fn placeholder(word: &str) -> bool {
        let upper = word.bytes().any(|byte| byte.is_ascii_uppercase());
        let id = word.bytes().all(|byte| byte.is_ascii_digit());
        word.contains('{')
            || word.contains('"')
            || id
            || (upper && !word.bytes().any(|byte| byte.is_ascii_lowercase()))
    }

    /// The words of the command that begins here; the rest is prose.
    fn words(text: &str) -> Vec<String> {
        let mut root = Cli::command();
        root.build();
        let (mut words, mut at): (Vec<String>, Command) = (vec!["keyroll".to_owned()], root);
        let mut takes = false;
        let line = text.split('\n').next().unwrap_or_default();
        // A quoted value is one word.
        let quoted =
            line.split('"').enumerate().filter(|(at, _)| at % 2 == 1 && line.starts_with("consumer"));
        let line =
            quoted.fold(line.to_owned(), |line, (_, value)| line.replace(&format!("\"{value}\""), "VALUE"));
        for raw in line.split("\\n").next().unwrap_or_default().split(' ') {
            let end = raw.find(['`', '"', ';', ',', ')', '·']).filter(|_| !raw.contains('{'));
            let word = raw.get(..end.unwrap_or(raw.len())).unwrap_or_default();
            let bare = word.trim_matches(['[', ']', '.', ':', '\\', '\'']);
            let sub = at.find_subcommand(bare).cloned();
            if takes {
                words.push(if placeholder(bare) { VALUE.to_owned() } else { bare.to_owned() });
                takes = false;
            } else if let Some(sub) = sub {
                words.push(bare.to_owned());
                at = sub;
            } else if bare.starts_with("--") {
                let (flag, value) =
                    bare.split_once('=').map_or((bare, None), |(flag, value)| (flag, Some(value)));
                let known = at.get_arguments().find(|one| one.get_long() == flag.strip_prefix("--"));
                takes = value.is_none() && known.is_some_and(|one| one.get_action().takes_values());
                words.push(value.map_or(flag.to_owned(), |_| format!("{flag}={VALUE}")));
            } else if bare == "COMMAND" && at.has_subcommands() {
                // `COMMAND` stands for any of them.
                break;
            } else if !bare.is_empty() && placeholder(bare) {
                words.push(VALUE.to_owned());
            } else {
                // The first word, and the one after `secret` and `consumer`, must be a command.
                if at.has_subcommands() && !bare.is_empty() {
                    words.push(bare.to_owned());
                }
                break;
            }
            if end.is_some() || word.ends_with(['.', ':']) {
                break;
            }
        }
        words
    }

    /// What a text names behind the program's name. In backquotes and behind a prompt it is a command; in a
    /// sentence it may be about the program itself.
    fn named(text: &str) -> Vec<(bool, &str)> {
        let surely = ["`", "$ ", "help: "];
        let found = text.match_indices("keyroll ").filter_map(|(at, name)| {
            let before = text.get(..at)?;
            let ends = |all: &[&str]| all.iter().any(|start| before.ends_with(start));
            let sure = ends(&surely);
            (sure || ends(&["\"", ": ", "or ", "then "])).then_some((sure, text.get(at + name.len()..)?))
        });
        found.collect()
    }

    /// The words of a whole command, as a shell splits them; a placeholder has a value.
    fn whole(command: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for one in command.chars() {
            match (quote, one) {
                (None, '"' | '\'') => quote = Some(one),
                (Some(open), _) if open == one => quote = None,
                (None, ' ') => words.push(String::new()),
                (None | Some(_), _) => words.last_mut().unwrap().push(one),
            }
        }
        words.into_iter().map(|word| if placeholder(&word) { VALUE.to_owned() } else { word }).collect()
    }

    /// The page is made from what the program says in each wait: nothing is missing from these commands.
    #[test]
    fn every_command_on_the_page_of_waits_is_taken() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/waiting.md");
        let page = std::fs::read_to_string(file).unwrap();
        let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| waits for |");
        let (mut wrong, mut count) = (Vec::new(), 0);
        for row in page.lines().filter(is_row) {
            count += 1;
            let quoted = row.split('`').skip(1).step_by(2);
            let commands: Vec<&str> = quoted.filter(|text| text.starts_with("keyroll ")).collect();
            if commands.is_empty() {
                wrong.push(format!("no command: {row}"));
            }
            for command in commands {
                let parsed = <Cli as clap::Parser>::try_parse_from(whole(command));
                wrong.extend(parsed.err().map(|error| format!("{command}: {error}")));
            }
        }
        assert!(count > 80, "only {count} waits are on the page");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_command_that_is_named_is_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let mut all = vec![folder.join("README.md")];
        files(&folder.join("crates"), &mut all);
        // What tests say is not what people read.
        all.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
        for pages in ["docs/errors", "docs/guides", "docs/concepts"] {
            files(&folder.join(pages), &mut all);
        }
        let root = Cli::command();
        let (mut wrong, mut count) = (Vec::new(), 0);
        for path in all {
            if path.ends_with("named_commands.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (sure, rest) in named(&text) {
                let words = words(rest);
                let Some(first) = words.get(1).filter(|word| *word != VALUE) else { continue };
                if !sure && root.find_subcommand(first).is_none() {
                    continue;
                }
                count += 1;
                let bad = match <Cli as clap::Parser>::try_parse_from(&words) {
                    Ok(_) => false,
                    Err(error) => !matches!(
                        error.kind(),
                        // A command without its required arguments is still a valid name.
                        ErrorKind::MissingRequiredArgument
                            | ErrorKind::MissingSubcommand
                            | ErrorKind::DisplayHelp
                            | ErrorKind::DisplayVersion
                            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    ),
                };
                if bad {
                    wrong.push(format!("{}: {}", path.display(), words.join(" ")));
                }
            }
        }
        assert!(count > 150, "only {count} were found");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
