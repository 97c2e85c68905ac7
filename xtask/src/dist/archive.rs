//! What both the archive and the Debian package have below their prefix, and the archive: `bin` and `share`, which are
//! unpacked anywhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::files::{at, compress, copy, settle, tar, write};
use super::pages;
use super::programs::Programs;
use super::release::Release;
use crate::run::{output, root};

/// The subcommand that has no page.
const HELP: &str = "help";

/// Where the pages are, below a prefix.
pub(super) const DOC: &str = "share/doc/keyroll";

/// Makes the archive; its name.
pub(super) fn make(
    programs: &Programs,
    release: &Release,
    work: &Path,
    out: &Path,
) -> Result<String, String> {
    let above = work.join("archive");
    let folder = above.join(release.name());
    shared(&programs.keyroll, &folder, "share/zsh/site-functions")?;
    // keyroll looks for it beside itself.
    copy(&programs.host, &folder.join("bin/keyroll-host"), 0o755)?;
    copy(&root().join("LICENSE"), &folder.join("LICENSE"), 0o644)?;
    // Its links are those of the page there.
    let readme = folder.join("README.md");
    symlink(Path::new(DOC).join("README.md"), &readme).map_err(at(&readme))?;
    settle(&above, release)?;
    let file = out.join(format!("{}.tar", release.name()));
    tar(&file, &above, (0, release), &["-c", &release.name()])?;
    compress(&file)?;
    fs::remove_dir_all(&above).map_err(at(&above))?;
    Ok(format!("{}.tar.gz", release.name()))
}

/// The program, its manual pages, its completions and the guides below a prefix.
pub(super) fn shared(keyroll: &Path, prefix: &Path, zsh: &str) -> Result<(), String> {
    copy(keyroll, &prefix.join("bin/keyroll"), 0o755)?;
    let program = keyroll.display().to_string();
    let completions = [
        ("bash", "share/bash-completion/completions/keyroll".to_owned()),
        ("zsh", format!("{zsh}/_keyroll")),
        ("fish", "share/fish/vendor_completions.d/keyroll.fish".to_owned()),
    ];
    for (shell, place) in completions {
        let text = output(&program, &["completion", shell])?;
        write(&prefix.join(place), text.as_bytes(), 0o644)?;
    }
    pages::copy_all(&root(), &prefix.join(DOC))?;
    let manual = prefix.join("share/man/man1");
    // One page names the next ones.
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = ["man"].into_iter().chain(command.iter().map(String::as_str)).collect();
        let text = output(&program, &words)?;
        let name = [&["keyroll".to_owned()][..], &command[..]].concat().join("-");
        let page = manual.join(format!("{name}.1"));
        write(&page, text.as_bytes(), 0o644)?;
        compress(&page)?;
        open.extend(subcommands(&text, &name).map(|last| [&command[..], &[last]].concat()));
    }
    Ok(())
}

/// The subcommands that a page names, as `keyroll\-secret\-add(1)`.
fn subcommands<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let named = page.lines().filter_map(move |line| {
        let plain = line.strip_suffix("(1)")?.replace("\\-", "-");
        plain.strip_prefix(name)?.strip_prefix('-').map(str::to_owned)
    });
    named.filter(|last| last != HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_pages_below_it() {
        let page = ".TH keyroll-consumer 1\n.SH SUBCOMMANDS\n.TP\nkeyroll\\-consumer\\-accept\\-file(1)\nAccept a \
                    file\n.TP\nkeyroll\\-consumer\\-help(1)\n.TP\nkeyroll\\-run(1)\n";
        let named: Vec<String> = subcommands(page, "keyroll-consumer").collect();
        assert_eq!(named, ["accept-file"]);
    }
}
