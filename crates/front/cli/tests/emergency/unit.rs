//! The unit file in a real systemd: ready when it listens, started again when it is killed or does not answer the
//! watchdog, and ended by `systemctl stop`.

use std::fs;
use std::path::Path;

use keyroll_testkit::command::wait;
use keyroll_testkit::{SystemdHost, TempDir, free_port};

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

const CONFIG: &str = r#"version = 1
[server]
listen = "127.0.0.1:@PORT@"
[server.emergency]
admin_token = "file:./admin-token"
"#;

/// The host has no curl.
const HEALTH: &str = r#"timeout 5 bash -euc 'exec 3<>/dev/tcp/127.0.0.1/@PORT@
printf "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3; cat <&3'"#;

#[test]
fn the_unit_is_ready_watched_and_started_again() {
    let home = TempDir::new().unwrap();
    let programs = Path::new(KEYROLL).parent().unwrap();
    let Some(host) = SystemdHost::start_or_skip("the unit of keyroll serve", &[home.path(), programs]) else {
        return;
    };
    let port = free_port().unwrap().to_string();
    let health = HEALTH.replace("@PORT@", &port);
    fs::write(home.path().join("keyroll.toml"), CONFIG.replace("@PORT@", &port)).unwrap();
    let dir = home.path().display().to_string();
    let sh = |text: &str| {
        let output = host.command(&["env", "-C", &dir, "sh", "-euc", text]).output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    let done = |text: &str| {
        let (success, said) = sh(text);
        assert!(success, "{text}: {said}");
        said
    };
    let keyroll = format!("{KEYROLL} --state state");
    done(&format!("{keyroll} token new ada --out ada.token"));
    done(&format!("{keyroll} serve --unit > /etc/systemd/system/keyroll.service"));
    done(
        "mkdir -p /etc/systemd/system/keyroll.service.d; \
         printf '[Service]\\nWatchdogSec=2\\nRestartSec=0.1\\n' > /etc/systemd/system/keyroll.service.d/fast.conf; \
         systemctl daemon-reload",
    );
    // Returns when the server has told that it is ready: it listens by then.
    done("systemctl start keyroll");
    assert!(done(&health).ends_with("ok\n"));
    let pid = || done("systemctl show -P MainPID keyroll").trim().to_owned();
    let again = |before: &str| {
        wait("it was started again", || {
            let now = pid();
            now != "0" && now != before && sh(&health).0
        });
    };
    let first = pid();
    done(&format!("kill -KILL {first}"));
    again(&first);
    let second = pid();
    // It hangs: only the watchdog can see that.
    done(&format!("kill -STOP {second}"));
    again(&second);
    // What a restart command has started is in the unit's group, and outlives the server.
    done(
        "sleep 1000 >/dev/null 2>&1 & echo $! > consumer.pid; \
         find /sys/fs/cgroup -path '*/keyroll.service/cgroup.procs' > groups; grep -q . groups; \
         for group in $(cat groups); do cat consumer.pid > $group; done; \
         grep -q keyroll.service /proc/$(cat consumer.pid)/cgroup",
    );
    done("systemctl restart keyroll; kill -0 $(cat consumer.pid)");
    done("systemctl stop keyroll; kill -0 $(cat consumer.pid); kill $(cat consumer.pid)");
    assert_eq!(done("systemctl show -P Result keyroll").trim(), "success");
    assert!(done("journalctl -u keyroll --no-pager -o cat || true").contains("listening on"));
}
