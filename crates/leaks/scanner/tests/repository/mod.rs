//! Repositories that git made.

use std::path::Path;
use std::process::Command;

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let made = Command::new("git")
        .args(["-c", "user.name=One Person", "-c", "user.email=one@example.org", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// All that stands there. One second after the other, so that their order is known.
pub(crate) fn commit_all(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    let count = git(folder, &["rev-list", "--all", "--count"]).parse::<u32>().unwrap();
    let date = format!("2026-01-02T03:04:{:02}Z", count);
    let committed = Command::new("git")
        .args(["-c", "user.name=One Person", "-c", "user.email=one@example.org"])
        .args(["commit", "--quiet", "--message", "a change"])
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date)
        .status();
    assert!(committed.unwrap().success());
    git(folder, &["rev-parse", "HEAD"])
}
