//! The pages below `share/doc/keyroll`, at their paths in the checkout: so the links among them lead to files, and so do the
//! pages that help, manual pages and messages name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use super::files::{at, copy};

/// What is packed whole: what keyroll names, and the manifests that the guides apply. What their pages link to is packed too.
const WHOLE: [&str; 6] =
    ["README.md", "deploy/kubernetes", "docs/concepts", "docs/errors", "docs/guides", "docs/reference"];

/// Copies all pages into a folder.
pub(super) fn copy_all(checkout: &Path, folder: &Path) -> Result<(), String> {
    for path in packed(checkout)? {
        let from = checkout.join(&path);
        let mode = fs::metadata(&from).map_err(at(&from))?.permissions().mode();
        copy(&from, &folder.join(path), if mode & 0o100 == 0 { 0o644 } else { 0o755 })?;
    }
    Ok(())
}

/// The paths of all packed files, below the checkout.
fn packed(checkout: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut packed = BTreeSet::new();
    let mut open: Vec<PathBuf> = WHOLE.iter().map(PathBuf::from).collect();
    while let Some(path) = open.pop() {
        let there = checkout.join(&path);
        if there.is_dir() {
            for entry in fs::read_dir(&there).map_err(at(&there))? {
                let name = entry.map_err(at(&there))?.file_name();
                // What editors and interpreters leave behind.
                if !name.to_string_lossy().starts_with(['.', '_']) {
                    open.push(path.join(name));
                }
            }
        } else if packed.insert(path.clone()) && path.extension().is_some_and(|ending| ending == "md") {
            let text = fs::read_to_string(&there).map_err(at(&there))?;
            open.extend(links(&text).filter_map(|link| target(&path, link)));
        } else {
            fs::metadata(&there).map_err(at(&there))?;
        }
    }
    Ok(packed)
}

/// The links of a page, as `[text](link)` has them.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let behind = text.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

/// The path that a link of a page leads to, below the checkout; none if it leads into the page itself, or to another site.
fn target(page: &Path, link: &str) -> Option<PathBuf> {
    let link = link.split('#').next().filter(|link| !link.is_empty() && !link.contains(':'))?;
    let mut path = page.parent().map(PathBuf::from).unwrap_or_default();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    #[test]
    fn every_link_of_a_packed_page_leads_to_a_packed_file() {
        let packed = packed(&root()).unwrap();
        let mut count = 0;
        for page in packed.iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
            let text = fs::read_to_string(root().join(page)).unwrap();
            for path in links(&text).filter_map(|link| target(page, link)) {
                count += 1;
                let is_there = packed.iter().any(|file| file.starts_with(&path));
                assert!(is_there, "{} links to {}", page.display(), path.display());
            }
        }
        assert!(count > 300, "only {count} links were found");
        let has = |path: &str| packed.contains(Path::new(path));
        assert!(has("docs/guides/values-for-programs.md") && has("docs/reference/cli.md"));
        assert!(has("examples/stores/pass") && has("deploy/kubernetes/base/crd.yaml"));
        let crates: Vec<_> = packed.iter().filter(|path| path.starts_with("crates")).collect();
        assert!(crates.is_empty(), "pages link to {crates:?}");
    }

    #[test]
    fn a_link_is_read_from_the_folder_of_its_page() {
        let page = Path::new("docs/guides/vault.md");
        let path = |link: &str| target(page, link).map(|path| path.display().to_string());
        assert_eq!(path("../errors/K0001.md#why").as_deref(), Some("docs/errors/K0001.md"));
        assert_eq!(path("./systemd.md").as_deref(), Some("docs/guides/systemd.md"));
        assert_eq!(path("../../README.md").as_deref(), Some("README.md"));
        assert_eq!((path("#here"), path("https://example.org/x.md")), (None, None));
        assert_eq!(links("[a](b) and [c](d#e)\n[f] (g)").collect::<Vec<_>>(), ["b", "d#e"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused() {
        let checkout = tempfile::tempdir().unwrap();
        for folder in &WHOLE[1..] {
            fs::create_dir_all(checkout.path().join(folder)).unwrap();
        }
        fs::write(checkout.path().join("README.md"), "[a guide](docs/guides/lost.md)").unwrap();
        assert!(packed(checkout.path()).unwrap_err().contains("docs/guides/lost.md"));
    }
}
