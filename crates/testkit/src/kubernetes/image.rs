//! Images of what is on this machine, for the pods of a cluster.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Kubernetes, done};

/// What makes an image of a folder, and gives it to a node.
pub(super) const SCRIPT: &str = include_str!("image.sh");

/// Where the script is in the folder of a cluster.
pub(super) const FILE: &str = "image.sh";

impl Kubernetes {
    /// Gives the node the image `test.local/NAME:1` (`imagePullPolicy: Never`) with this entry point: files of this machine,
    /// each at its path in the image. Of a folder the image has an empty one. Each has the mode that it has here, everybody
    /// may read it, and it belongs to root.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn import_image(&self, name: &str, files: &[(&Path, &str)], entry: &[&str]) {
        if let Err(error) = self.imported(name, files, entry) {
            panic!("the image {name}: {error}");
        }
    }

    fn imported(&self, name: &str, files: &[(&Path, &str)], entry: &[&str]) -> io::Result<()> {
        let folder = self.at(&format!("image-{name}"));
        let root = folder.join("root");
        fs::create_dir_all(&root)?;
        for (from, place) in files {
            let to = root.join(place.trim_start_matches('/'));
            if from.is_dir() {
                fs::create_dir_all(&to)?;
                fs::set_permissions(&to, fs::metadata(from)?.permissions())?;
                continue;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(from, &to)?;
        }
        let mut command = Command::new("sh");
        command.arg(self.at(FILE)).args([name, &json!(entry).to_string()]);
        command.arg(self.at("node").join("containerd.sock")).current_dir(&folder);
        done(command.stdin(Stdio::null()).output()?)?;
        fs::remove_dir_all(folder)
    }
}
