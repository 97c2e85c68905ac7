//! The hosts behind ssh let the key in, each is a machine of its own, and what is wished is so.

use std::process::{Command, Output};

use keyroll_testkit::{SshHostWish, SshHosts, Sudoers, free_port};

fn wish(name: &str, sudo: Sudoers) -> SshHostWish<'_> {
    SshHostWish { name, sudo, same_machine_as: None, noexec_home: false, home_kib: None }
}

fn ssh(hosts: &SshHosts, host: &str, command: &str) -> Output {
    let mut ssh = Command::new(hosts.path().join("ssh"));
    ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "--", host, command]);
    ssh.output().unwrap()
}

/// What a command said that must not fail.
fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Why ssh itself failed.
fn refused(output: Output) -> String {
    assert_eq!(output.status.code(), Some(255), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn hosts_are_reached_by_ssh_and_are_what_was_wished() {
    let wishes = [
        wish("web-1", Sudoers::All),
        SshHostWish { noexec_home: true, ..wish("web-2", Sudoers::Only("/usr/bin/id -u".to_owned())) },
        SshHostWish { same_machine_as: Some("web-1"), home_kib: Some(64), ..wish("web-3", Sudoers::None) },
    ];
    let Some(mut hosts) = SshHosts::start_or_skip("hosts behind ssh", &wishes, &[]) else { return };
    let ids: Vec<String> =
        ["web-1", "web-2", "web-3"].map(|host| told(ssh(&hosts, host, "cat /etc/machine-id"))).into();
    assert_eq!((ids[0].len(), &ids[0]), (32, &ids[2]));
    assert_ne!(ids[0], ids[1]);
    assert_eq!(told(ssh(&hosts, "web-1", "id -un; hostname; sudo -n id -un")), "deploy\nweb-1\nroot");
    assert_eq!(told(ssh(&hosts, "web-2", "sudo -n id -u")), "0");
    assert!(!ssh(&hosts, "web-2", "sudo -n id").status.success());
    assert!(!ssh(&hosts, "web-3", "sudo -n id -u").status.success());
    // The home of web-1 takes and runs a program, that of web-2 does not run it, that of web-3 is too small.
    let copy = "cp /bin/true . && ./true";
    assert!(ssh(&hosts, "web-1", copy).status.success());
    assert_eq!(ssh(&hosts, "web-2", copy).status.code(), Some(126));
    assert!(!ssh(&hosts, "web-3", "head -c 100000 /dev/zero >file").status.success());
    // One value, made in a host, on two of them, and in a process.
    hosts.make_value("web-1", "API_KEY", "/root/worker.env");
    hosts.copy("web-1", "web-2", "/root/worker.env");
    let digest = |host| told(hosts.run(host, "sha256sum /root/worker.env; wc -c </root/worker.env"));
    assert_eq!(digest("web-1"), digest("web-2"));
    assert!(digest("web-1").ends_with("\n49"), "{}", digest("web-1"));
    hosts.start_worker("web-2", "worker", "/root/worker.env");
    let held = "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID worker)/environ \
                | grep ^API_KEY= | cmp - /root/worker.env";
    told(hosts.run("web-2", held));
    // A host whose processes stand still, and go on as they were.
    hosts.pause("web-2");
    assert!(!hosts.run("web-2", held).status.success(), "it still runs");
    hosts.unpause("web-2");
    told(hosts.run("web-2", held));
    // Keys of hosts, and a host that is not there.
    hosts.change_host_key("web-1");
    let why = refused(ssh(&hosts, "web-1", "true"));
    assert!(why.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "{why}");
    hosts.forget_host_key("web-2");
    let why = refused(ssh(&hosts, "web-2", "true"));
    assert!(why.contains("host key is known for web-2"), "{why}");
    let port = hosts.port("web-3");
    hosts.reach_through("web-3", free_port().unwrap());
    let why = refused(ssh(&hosts, "web-3", "true"));
    assert!(why.contains("Connection refused"), "{why}");
    hosts.reach_through("web-3", port);
    told(ssh(&hosts, "web-3", "true"));
    hosts.kill("web-3");
    let why = refused(ssh(&hosts, "web-3", "true"));
    assert!(why.contains("Connection refused"), "{why}");
}
