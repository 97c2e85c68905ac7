use std::path::PathBuf;

use keyroll_app::env;
use keyroll_app::leaks::Source;
use keyroll_scanner::Tree;

use crate::args::LeaksArgs;

/// The source that the arguments of `leaks` name.
pub(crate) fn source(args: &LeaksArgs) -> Source {
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths.clone() };
    if args.git {
        return Source::Histories(paths);
    }
    if args.staged {
        return Source::Staged { paths, index: env::GIT_INDEX_FILE.get().map(PathBuf::from) };
    }
    match (args.stdin, args.pid, &args.image, &args.container, &args.journal) {
        (true, ..) => Source::Stdin,
        (_, Some(pid), ..) => Source::Process(pid),
        (_, _, Some(image), ..) => Source::Image(image.clone()),
        (_, _, _, Some(name), _) => Source::Container(name.clone()),
        (_, _, _, _, Some(since)) => Source::Journal(since.clone()),
        (false, None, None, None, None) => Source::Tree(Tree { paths, ignored_left_out: !args.no_ignore }),
    }
}
