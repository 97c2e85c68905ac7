//! Which archive this machine's apt takes Debian from, and how it checks that archive.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::output;

/// Where apt reads its sources.
const SOURCES: &str = "/etc/apt";

/// The options of a source that another release of the same archive needs too: in a one-line entry, in a stanza.
const CHECKS: [(&str, &str); 2] = [("signed-by", "Signed-By"), ("trusted", "Trusted")];

/// One archive that apt is configured with.
#[derive(Debug, PartialEq)]
struct Source {
    uris: Vec<String>,
    /// The fields that say how its signatures are checked, each as a line of a stanza.
    checks: Vec<String>,
}

/// A stanza for one release of Debian, from the archive and with the keyring that this machine is configured with.
///
/// # Errors
/// Where apt has no package list of Debian's archive, or its configuration cannot be read.
pub(crate) fn stanza(release: &str) -> Result<String, String> {
    let filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main"];
    let uris = output("apt-get", &[&["indextargets", "--format", "$(REPO_URI)"], &filters[..]].concat())?;
    let sources = sources(Path::new(SOURCES))?;
    let from_debian = |uri: &&String| uris.lines().any(|known| same_address(known, uri));
    let found = sources.iter().find_map(|source| Some((source.uris.iter().find(from_debian)?, source)));
    let (uri, source) = found.ok_or("apt has no source whose origin is Debian")?;
    Ok(write_stanza(uri, release, &source.checks))
}

fn same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn write_stanza(uri: &str, release: &str, checks: &[String]) -> String {
    let mut lines = format!("Types: deb\nURIs: {uri}\nSuites: {release}\nComponents: main\n");
    for check in checks {
        lines.push_str(check);
        lines.push('\n');
    }
    lines
}

/// Every source in `sources.list` and in the files of `sources.list.d`, in the order in which apt reads them.
fn sources(folder: &Path) -> Result<Vec<Source>, String> {
    let mut files = vec![folder.join("sources.list")];
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    parts.sort();
    files.extend(parts);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let read = || fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()));
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(read()?.lines().filter_map(one_line)),
            Some("sources") => found.extend(stanzas(&read()?).iter().filter_map(|lines| deb822(lines))),
            Some(_) | None => {}
        }
    }
    Ok(found)
}

/// `deb [signed-by=/a.gpg arch=amd64] http://mirror/debian bookworm main`.
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let line = line.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match line.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", line),
    };
    let options = options.split_whitespace().filter_map(|option| option.split_once('='));
    let checks = options.filter_map(|(name, value)| {
        let (_, field) = CHECKS.iter().find(|(option, _)| name.eq_ignore_ascii_case(option))?;
        Some(format!("{field}: {}", value.replace(',', " ")))
    });
    Some(Source { uris: vec![rest.split_whitespace().next()?.to_owned()], checks: checks.collect() })
}

/// The stanzas of a file: lines between empty lines, without comments.
fn stanzas(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).map(<[&str]>::to_vec).collect()
}

/// One stanza; a key inside it spans lines that begin with a space.
fn deb822(lines: &[&str]) -> Option<Source> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name, value.trim().to_owned()));
        }
    }
    let field = |wanted: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let words = |wanted: &str| {
        field(wanted).into_iter().flat_map(|(_, value)| value.split_whitespace()).map(str::to_owned)
    };
    let enabled = !words("Enabled").any(|word| word.eq_ignore_ascii_case("no"));
    let checks = CHECKS.iter().filter_map(|(_, name)| Some(format!("{name}: {}", field(name)?.1)));
    let source = Source { uris: words("URIs").collect(), checks: checks.collect() };
    (enabled && words("Types").any(|kind| kind == "deb")).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_line_entry_says_its_address_and_its_keyring() {
        let line =
            "deb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://mirror.test/debian/ bookworm main # ours";
        let source = one_line(line).unwrap();
        assert_eq!(source.uris, ["http://mirror.test/debian/"]);
        assert_eq!(source.checks, ["Signed-By: /k/a.gpg /k/b.gpg"]);
        let plain = one_line("deb\tfile:/srv/debian bookworm main").unwrap();
        assert_eq!(plain, Source { uris: vec!["file:/srv/debian".into()], checks: vec![] });
        for other in
            ["", "# deb http://mirror.test/debian bookworm main", "deb-src http://mirror.test/debian b m"]
        {
            assert_eq!(one_line(other), None, "{other}");
        }
    }

    #[test]
    fn a_stanza_says_its_addresses_and_its_key_on_several_lines() {
        let text = "# written by hand\nTypes: deb deb-src\nURIs: http://one.test/debian http://two.test/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nsigned-by:\n -----BEGIN\n .\n abc\n\n\n\
                    Types: deb\nURIs: http://off.test\nSuites: bookworm\nEnabled: no\n\n\
                    Types: deb-src\nURIs: http://source.test\nSuites: bookworm\n";
        let sources: Vec<Source> = stanzas(text).iter().filter_map(|lines| deb822(lines)).collect();
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].uris, ["http://one.test/debian", "http://two.test/debian"]);
        assert_eq!(sources[0].checks, ["Signed-By: \n -----BEGIN\n .\n abc"]);
        assert_eq!(
            write_stanza("http://one.test/debian", "trixie", &["Signed-By: /k.gpg".to_owned()]),
            "Types: deb\nURIs: http://one.test/debian\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\n"
        );
    }
}
