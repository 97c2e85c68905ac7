use std::path::PathBuf;

use keyroll_app::leaks::Source;
use keyroll_scanner::Tree;

use crate::args::LeaksArgs;

/// The source that the arguments of `leaks` name.
pub(crate) fn source(args: &LeaksArgs) -> Source {
    let program = |name: String, words: &[&str]| {
        Source::Program(name, words.iter().map(|word| (*word).to_owned()).collect())
    };
    let here = || vec![PathBuf::from(".")];
    let paths = if args.paths.is_empty() { here() } else { args.paths.clone() };
    if args.git {
        return Source::Histories(paths);
    }
    if args.staged {
        return Source::Staged(paths);
    }
    match (args.stdin, args.pid, &args.image, &args.container, &args.journal) {
        (true, ..) => Source::Stdin,
        (_, Some(pid), ..) => Source::Process(pid),
        (_, _, Some(image), ..) => program(format!("image {image}"), &["docker", "save", "--", image]),
        (_, _, _, Some(name), _) => program(format!("container {name}"), &["docker", "logs", "--", name]),
        (_, _, _, _, Some(since)) => {
            let since = format!("--since={since}");
            program(
                "the journal".to_owned(),
                &["journalctl", "--no-pager", "--quiet", "-a", "-o", "short-iso", &since],
            )
        }
        (false, None, None, None, None) => Source::Tree(Tree { paths, ignored_left_out: !args.no_ignore }),
    }
}
