//! The throw-away host comes up with systemd, sees what it is given, and is gone with its engine afterwards.

use keyroll_testkit::{SystemdHost, TempDir};

#[test]
fn a_host_runs_units_and_leaves_nothing() {
    let shared = TempDir::new().unwrap();
    std::fs::write(shared.path().join("given"), "seen").unwrap();
    let Some(host) = SystemdHost::start_or_skip("the throw-away host", &[shared.path()]) else { return };
    let given = shared.path().join("given").display().to_string();
    let script = format!("cat {given} > {}/out", shared.path().display());
    let ran = host.command(&["systemd-run", "--wait", "--quiet", "sh", "-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(std::fs::read_to_string(shared.path().join("out")).unwrap(), "seen");
    let engine = host.engine().unwrap();
    drop(host);
    assert!(!std::path::Path::new(&format!("/proc/{engine}")).exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("/keyroll-host-"), "{mounts}");
}
