//! The page docs/reference/cli.md: flags, exit codes and environment variables, generated from the program's own types.

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::args::Cli;
    use keyroll_app::env;
    use keyroll_app::exit::Exit;

    fn page() -> String {
        let mut page = "# The command\n\nGenerated from the program; do not edit by hand.\n".to_owned();
        let mut command = Cli::command().term_width(80);
        command.build();
        describe(&mut page, &mut command, "keyroll");
        page.push_str("\n## Exit codes\n\n| exit | meaning |\n|---|---|\n");
        for (_, number, meaning) in Exit::ALL {
            page.push_str(&format!("| {number} | {meaning} |\n"));
        }
        page.push_str("\n## Environment\n\n| variable | meaning |\n|---|---|\n");
        for variable in env::ALL {
            page.push_str(&format!("| `{}` | {} |\n", variable.name, variable.meaning));
        }
        page.push_str(
            "\n## Files\n\nThe state folder (mode 0700) holds `journal.db` and the sealed values; the keys folder \
             (mode 0700) holds `sealing.key` (mode 0600, made on first use), `witness`, and \
             `witness.checked` once the journal is long. For root they are \
             `/var/lib/keyroll` and `/etc/keyroll`; for anyone else `$XDG_STATE_HOME/keyroll` \
             (`~/.local/state/keyroll`) and `$XDG_CONFIG_HOME/keyroll` (`~/.config/keyroll`). `--state DIR` puts the \
             state into DIR and the keys into `DIR.keys`, unless `--keys` names another folder. Back up the two \
             folders separately.\n",
        );
        page
    }

    fn describe(page: &mut String, command: &mut clap::Command, path: &str) {
        let help = command.render_long_help().to_string();
        // The flags of every command are listed once, at the top.
        let help = match path {
            "keyroll" => help.as_str(),
            _ => help.split("\n\nGlobal options:").next().unwrap_or_default(),
        };
        let after = command.get_after_help().filter(|_| path != "keyroll");
        let after = after.map(|text| format!("\n\n{text}")).unwrap_or_default();
        page.push_str(&format!("\n## {path}\n\n```text\n{}{after}\n```\n", help.trim_end()));
        let subcommands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        for mut subcommand in subcommands {
            if !subcommand.is_hide_set() {
                let path = format!("{path} {}", subcommand.get_name());
                describe(page, &mut subcommand, &path);
            }
        }
    }

    /// Every command shows its usage and its exit codes, and no line is wider than a plain terminal.
    #[test]
    fn each_help_has_an_example_and_its_exit_codes() {
        fn look(command: &mut clap::Command, path: &str) {
            for text in [command.render_help(), command.render_long_help()] {
                let text = text.to_string();
                let wide = text.lines().find(|line| line.chars().count() > 80);
                assert_eq!(wide, None, "{path}");
                let leaf = command.get_subcommands().next().is_none();
                assert!(!leaf || text.contains(&format!("Example: {path}")), "{path}: {text}");
                assert!(!leaf || text.contains("Exit codes: "), "{path}: {text}");
            }
            let subcommands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
            for mut subcommand in subcommands.into_iter().filter(|one| !one.is_hide_set()) {
                let path = format!("{path} {}", subcommand.get_name());
                look(&mut subcommand, &path);
            }
        }
        let mut command = Cli::command();
        command.build();
        look(&mut command, "keyroll");
    }

    /// The packages have these folders of docs/: `cargo xtask dist`.
    #[test]
    fn each_page_that_a_help_names_is_in_the_packages() {
        let page = page();
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs");
        let named: Vec<&str> = page
            .split("docs/")
            .skip(1)
            .filter_map(|rest| rest.split_once(".md").map(|(path, _)| path))
            .filter(|path| !path.contains(char::is_whitespace))
            .collect();
        assert!(named.contains(&"guides/values-for-programs"), "{named:?}");
        for path in named {
            let packed =
                ["concepts/", "errors/", "guides/", "reference/"].iter().any(|one| path.starts_with(one));
            assert!(packed && docs.join(format!("{path}.md")).is_file(), "docs/{path}.md");
        }
    }

    #[test]
    fn the_page_is_current() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/cli.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, page()).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == page(), "docs/reference/cli.md is not current: cargo xtask codegen");
    }
}
