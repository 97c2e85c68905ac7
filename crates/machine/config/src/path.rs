use std::path::{Component, Path, PathBuf};

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;

/// The longest path, in bytes (Linux `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4_096;

/// Resolves a path of the file against the file's folder.
///
/// `.` is dropped. `..` is allowed only at the start of a relative path. After a name it is refused, because the name
/// may be a link, and the path would mean another folder than it seems to.
pub(crate) fn resolve(folder: &Path, key: &str, text: &At<String>) -> Result<PathBuf, Mistake> {
    let fault = |why: &str| Mistake::new(Kind::BadPath, format!("`{key}` {why}")).at(&text.span);
    let written = text.value.as_str();
    if written.is_empty() {
        return Err(fault("is empty").help("write a path: `./NAME` is in the folder of keyroll.toml"));
    }
    if written.len() > PATH_BYTES_MAX {
        return Err(fault("is longer than a path can be"));
    }
    if written.chars().any(char::is_control) {
        return Err(fault("holds a control character"));
    }
    let path = Path::new(written);
    let mut resolved = if path.is_absolute() { PathBuf::from("/") } else { folder.to_path_buf() };
    let mut leading = !path.is_absolute();
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
            Component::ParentDir if leading => {
                resolved.pop();
            }
            Component::ParentDir => {
                return Err(fault(
                    "has `..` after a name, which leads to another folder if that name is a link",
                )
                .help("write the path without it"));
            }
            Component::Normal(name) => {
                leading = false;
                resolved.push(name);
            }
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Option<String> {
        let at = At { value: text.to_owned(), span: 0..0 };
        resolve(Path::new("/srv/app"), "file", &at).ok().map(|path| path.display().to_string())
    }

    #[test]
    fn relative_paths_stand_on_the_folder() {
        assert_eq!(resolved("./api.env").as_deref(), Some("/srv/app/api.env"));
        assert_eq!(resolved("a//./b/").as_deref(), Some("/srv/app/a/b"));
        assert_eq!(resolved("../x").as_deref(), Some("/srv/x"));
        assert_eq!(resolved("/etc/./x").as_deref(), Some("/etc/x"));
        for bad in ["", "a/../b", "/a/../b", "a\nb", "a\0b"] {
            assert_eq!(resolved(bad), None, "{bad:?}");
        }
    }
}
