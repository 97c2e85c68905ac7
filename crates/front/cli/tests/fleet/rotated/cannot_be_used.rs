//! A host that cannot be used refuses a plan, by its name and with what mends it. Nothing is changed before that is done.

use std::path::Path;

use super::{ASKS, DESK, PLAIN, Roll, SSH};
use crate::fleet::scene::KEYROLL;

/// Puts another file system in the place of the home of the login, which keyroll-host is sent to.
const HOME: &str = "mount -t tmpfs -o @,uid=1000,gid=1000,mode=700 none /home/deploy";

/// A host of another architecture, as the boot script names it.
const OTHER: &str = "case \" $* \" in *\" -- web-2 \"*) \
    echo 'KEYROLL-HOST 1 state=other-machine machine=aarch64 sudo=asked free=1000';; *) exec REAL;; esac";

/// Where keyroll-host keeps who changes the host.
const FENCE: &str = "/var/lib/keyroll-host";

/// Installs keyroll-host as the help says, and names it.
const INSTALLED: &str = "/usr/local/bin/keyroll-host";

impl Roll {
    /// No plan is made: web-2 is named with this code, and the help has these words.
    #[track_caller]
    fn refuses_the_plan(&self, code: &str, help: &[&str]) {
        let before = self.snapshot();
        let planned = self.keyroll(&["plan", "orders"]);
        planned.refused(1, code, &["web-2"]);
        let error = planned.of("error").pop().unwrap();
        for words in help {
            assert!(
                error["help"].as_str().unwrap().contains(words),
                "'{words}' is no help: {}",
                planned.text
            );
        }
        assert!(planned.of("plan").is_empty(), "{}", planned.text);
        assert_eq!(self.snapshot(), before, "{}", planned.text);
        assert_eq!(self.issuer.made(), 1, "{}", planned.text);
        self.both_work();
    }

    /// Takes the right to become root from the login of web-2, or gives it back.
    fn sudo(&self, may: bool) {
        let (from, to) = ("/etc/sudoers.d/deploy", "/root/deploy");
        let (from, to) = if may { (to, from) } else { (from, to) };
        self.fleet.run("web-2", &format!("mv {from} {to}"));
    }

    /// The login of web-2 has another home while this is done.
    fn with_home(&self, options: &str, done: impl FnOnce()) {
        self.fleet.run("web-2", &HOME.replace('@', options));
        done();
        self.fleet.run("web-2", "umount -l /home/deploy");
    }

    /// The folder of the fence on web-2 is such a file system while the plan is refused.
    fn with_fence(&self, options: &str, more: &str) {
        let mount =
            format!("mkdir -p -m 700 {FENCE}; mount -t tmpfs -o {options},mode=700 none {FENCE}; {more}");
        self.fleet.run("web-2", &mount);
        self.refuses_the_plan("K0803", &["on web-2: ", &format!("df -h {FENCE}"), "findmnt -T"]);
        self.fleet.run("web-2", &format!("umount -l {FENCE}"));
    }
}

#[test]
fn a_host_that_cannot_be_used_refuses_the_plan_by_its_name_and_with_what_mends_it() {
    let Some(roll) = Roll::raise("plans with a host that cannot be used", ASKS) else { return };
    roll.fleet.hosts.change_host_key("web-2");
    roll.refuses_the_plan("K0960", &["ssh-keygen -R web-2", "ssh deploy@web-2 true"]);
    let key = roll.fleet.run("web-2", "cat /etc/ssh/keyroll/host_key.pub");
    let known = format!("{SSH}/known_hosts");
    let mend = format!("ssh-keygen -R web-2 -f {known} >/dev/null 2>&1; echo 'web-2 {key}' >>{known}");
    roll.fleet.run("desk", &mend);

    roll.sudo(false);
    let rule = format!("deploy ALL=(root) NOPASSWD: {INSTALLED} serve");
    roll.refuses_the_plan("K0961", &[&rule, "keyroll hosts check web-2"]);
    roll.sudo(true);

    let program = format!("program = \"{INSTALLED}\"");
    let names_it = ["[hosts.web-2]", program.as_str()];
    roll.with_home("size=256k", || roll.refuses_the_plan("K0961", &names_it));
    roll.with_home("noexec", || {
        roll.refuses_the_plan("K0961", &names_it);
        let built = Path::new(KEYROLL).with_file_name("keyroll-host").display().to_string();
        roll.fleet.run("web-2", &format!("install -m 755 {built} {INSTALLED}"));
        roll.fleet.run("desk", &format!("sed -i '/^.hosts.web-2.$/a {program}' {DESK}/keyroll.toml"));
        roll.plan();
        roll.fleet.run("desk", &format!("sed -i '/^program = /d' {DESK}/keyroll.toml"));
    });

    roll.ssh(OTHER);
    roll.refuses_the_plan("K0961", &["[hosts.web-2]", &program]);
    roll.ssh(PLAIN);

    roll.with_fence("ro", "");
    roll.with_fence("size=16k", &format!("head -c 100000 /dev/zero >{FENCE}/filler 2>/dev/null || true"));

    // All of it is mended. The same in the middle of a rotation: nobody but root changes web-2, and no key is lost.
    let (id, new) = roll.web_1_first();
    roll.sudo(false);
    let refused = roll.resume(&id);
    assert!(matches!(refused.code, Some(1 | 4 | 6)), "{}", refused.text);
    refused.says(&["as root on web-2 (K0961)", &rule]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
    roll.has("web-1", &new);
    roll.has("web-2", &roll.old);
    assert_eq!(
        roll.fleet.run("web-2", "ls -A /home/deploy/.local 2>/dev/null || true"),
        "",
        "it ran as deploy"
    );
    roll.sudo(true);
    let ended = roll.to_the_end(&id);
    roll.settled(if ended.code == Some(0) { &new } else { &roll.old });
}
