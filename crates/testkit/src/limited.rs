use std::process::Command;

/// Runs an ignored test of the calling test's own program: with 700 MB of addresses, two minutes of a processor, and five
/// minutes of the clock for what only waits.
///
/// # Panics
/// If it did not pass, or is not there.
#[track_caller]
#[allow(clippy::expect_used, reason = "a test that cannot be run has failed")]
pub fn limited(test: &str) {
    let mut command = Command::new("timeout");
    command.args(["300", "sh", "-c", "ulimit -v 700000; ulimit -t 120; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().expect("the test's own program"));
    let told = command.args(["--exact", test, "--ignored", "--nocapture"]).output().expect("timeout");
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{}: {said}{}", told.status, String::from_utf8_lossy(&told.stderr));
    assert!(said.contains("1 passed"), "{said}");
}
