//! State of another machine or of different times, and configuration that others wrote: refused before a key is made or
//! revoked.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::hostile::Case;
use crate::hostile::ran::Ran;
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::Ask;

pub const CASES: &[Case] = &[
    ("a store from a backup", older_store),
    ("a state folder on another machine", other_machine),
    ("a machine without an id", nameless_machine),
    ("a look without the sealing key", sealing_key_lost),
    ("a configuration that others can change", writable),
    ("the files that a command reaches", reached),
    ("an adoption of another user's command", adopted_in_trust),
    ("a value in the configuration", in_the_clear),
    ("a spec that sends credentials elsewhere", grown_reach),
];

/// The store alone, while no command runs: its log has been merged into it.
fn swap_store(scene: &Scene, aside: &str, back: &str) {
    scene.sh(&format!(
        "mkdir -p ../aside; cp -a ../state/secrets.db ../aside/{aside}; \
         if [ -n '{back}' ]; then rm -f ../state/secrets.db*; cp -a ../aside/{back} ../state/secrets.db; fi"
    ));
}

/// The store lacks what the journal recorded: the minted value and the promotion.
fn older_store() {
    let scene = Scene::new();
    swap_store(&scene, "first", "");
    scene.until("quiesce");
    swap_store(&scene, "second", "first");
    let before = scene.snapshot();
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.refused(6, "K0621", &["nothing was revoked", "secrets.db"]);
    assert_eq!((scene.snapshot(), scene.issuer.deletions()), (before, Vec::new()));
    swap_store(&scene, "older", "second");
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    swap_store(&scene, "third", "second");
    let before = scene.snapshot();
    // The replaced version is still there, and is still current.
    swap_store(&scene, "older", "first");
    scene.run(&["plan", "ring"]).refused(6, "K0621", &["older than the journal", "v1"]);
    scene.run(&["doctor"]).says(&["older than the journal", "K0621"]);
    assert_eq!(scene.snapshot(), before);
    swap_store(&scene, "older", "third");
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

fn elsewhere(scene: &Scene, words: &[&str]) -> Ran {
    Ran::run(scene.command(words).env("KEYROLL_MACHINE", "elsewhere"))
}

fn other_machine() {
    let scene = Scene::new();
    scene.until("quiesce");
    let before = scene.snapshot();
    for words in [&["status"][..], &["resume", "--confirm", "ring"]] {
        elsewhere(&scene, words).refused(6, "K0861", &["nothing was revoked", "keyroll doctor --moved-here"]);
    }
    // Nobody confirmed it at a terminal.
    elsewhere(&scene, &["doctor", "--moved-here"]).refused(6, "K0861", &["by hand"]);
    assert_eq!((scene.snapshot(), scene.issuer.deletions()), (before, Vec::new()));
    by_hand(&scene, &["doctor", "--moved-here"], "moved");
    scene.run(&["status"]).refused(6, "K0861", &[]);
    elsewhere(&scene, &["resume", "--confirm", "ring"]).exits(0).ended("done");
    assert_eq!(scene.issuer.keys().len(), 1);
}

/// Runs it at a terminal of its own, by script(1), and answers when it asks.
fn by_hand(scene: &Scene, words: &[&str], answer: &str) {
    let program = env!("CARGO_BIN_EXE_keyroll");
    let line = format!("KEYROLL_MACHINE=elsewhere {program} {} --state ../state", words.join(" "));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(scene.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut shown) = (child.stdout.take().unwrap(), Vec::new());
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains(answer) {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{answer}\n").as_bytes()).unwrap();
    // The output is a pipe: if nobody read it, the terminal would block.
    out.read_to_end(&mut shown).unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&shown));
    drop(input);
}

/// An operator who has lost the key first asks what is open, and no value is needed to answer that.
fn sealing_key_lost() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let before = scene.snapshot();
    // The key alone, its whole folder, and the key of another installation in its place.
    for (lose, code) in [
        ("mv ../state.keys/sealing.key ../kept", "K0826"),
        ("mv ../state.keys ../away", "K0826"),
        (
            "mkdir -p -m 700 ../state.keys; (umask 077; head -c 32 /dev/urandom > ../state.keys/sealing.key)",
            "K0603",
        ),
    ] {
        scene.sh(lose);
        let status = scene.run(&["status"]);
        status.refused(6, code, &["journal alone"]);
        assert_eq!(status.of("status")[0]["id"], id.as_str(), "{}", status.text);
        let past = scene.run(&["history"]);
        past.refused(6, code, &[]);
        assert_eq!(past.of("past")[0]["id"], id.as_str(), "{}", past.text);
        // Every command that changes something is still refused.
        scene.run(&["resume", "--confirm", "ring"]).says(&[code]);
    }
    scene.sh("rm -rf ../state.keys; mv ../away ../state.keys; mv ../kept ../state.keys/sealing.key");
    assert_eq!((scene.snapshot(), scene.issuer.deletions()), (before, Vec::new()));
    scene.run(&["status"]).exits(4);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

fn nameless_machine() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root may mount (a machine without an id)");
        return;
    }
    let scene = Scene::new();
    scene.until("mint");
    let before = scene.snapshot();
    let hide = "for file in /etc/machine-id /var/lib/dbus/machine-id; do \
                if [ -e $file ]; then mount --bind /dev/null $file; fi; done; exec \"$@\"";
    let hidden = |name: Option<&str>| {
        let command = scene.command(&["status"]);
        let mut all = Command::new("unshare");
        all.args(["--mount", "--propagation", "private", "sh", "-euc", hide, "sh"]);
        all.arg(command.get_program()).args(command.get_args()).current_dir(scene.dir());
        all.envs(name.map(|name| ("KEYROLL_MACHINE", name)));
        Ran::run(&mut all)
    };
    hidden(None).refused(6, "K0861", &["KEYROLL_MACHINE=NAME"]);
    // A machine's name identifies another machine than its id.
    hidden(Some("box")).refused(6, "K0861", &[]);
    assert_eq!(scene.snapshot(), before);
}

/// Each refusal names the command that fixes it.
fn writable() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can give files away (a configuration that others can change)");
        return;
    }
    let scene = Scene::new();
    let dir = scene.dir().display().to_string();
    let plan = scene.plan();
    let before = scene.issuer.asked(Ask::List);
    let wrongs = [
        ("chmod g+w keyroll.toml", format!("chmod g-w {dir}/keyroll.toml"), ""),
        ("chmod o+w acme.toml", format!("chmod go-w {dir}/acme.toml"), ""),
        ("chmod 0777 restart.sh", format!("chmod go-w {dir}/restart.sh"), ""),
        ("chown 65534 restart.sh", format!("chown 0 {dir}/restart.sh"), ""),
        ("setfacl -m u:65534:rw restart.sh", format!("setfacl -b {dir}/restart.sh"), ""),
        ("chmod g+w .", format!("chmod g-w {dir}"), ""),
        // The folder may be somebody's home.
        ("chown 65534 .", format!("move what keyroll uses out of {dir}"), "chown 0 ."),
    ];
    for (wrong, says, mends) in &wrongs {
        scene.sh(wrong);
        scene.run(&["plan", "ring"]).refused(1, "K0860", &[says]);
        scene.run(&["apply", &plan, "--confirm", "ring"]).refused(1, "K0860", &[says]);
        scene.sh(if mends.is_empty() { says } else { mends });
    }
    assert_eq!((scene.issuer.asked(Ask::List), scene.issuer.asked(Ask::Mint)), (before, 0));
    // The script's mode was changed after the worker was started. That cannot be distinguished from an edit, and is
    // accepted by name.
    let plan = scene.plan();
    let accept = ["--accept", "api/restart:restart.sh"];
    let until = ["--until", "quiesce"];
    scene.run(&[&["apply", &plan, "--confirm", "ring"], &accept[..], &until[..]].concat()).exits(4).paused();
    // An open rotation runs the same commands, which somebody may have changed meanwhile.
    scene.sh("chmod o+w restart.sh");
    scene.run(&["resume", &plan, "--confirm", "ring"]).refused(
        1,
        "K0860",
        &[&format!("chmod go-w {dir}/restart.sh")],
    );
    scene.sh("chmod go-w restart.sh");
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Whatever the program, and wherever in the command the file is named.
fn reached() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root distrusts the group (the files that a command reaches)");
        return;
    }
    let lines = [
        r#"["./w/run.sh"]"#,
        r#"["env", "-i", "sh", "./w/run.sh"]"#,
        r#"["nice", "./w/run.sh"]"#,
        r#"["timeout", "9", "python3.11", "w/run.sh"]"#,
        r#"["make", "-C", "./w"]"#,
        r#"["make", "--file=w/run.sh"]"#,
        r#"["sh", "-c", "set -e; . ./w/run.sh"]"#,
        r#"["sh", "-c", "exec env A=1 ./w/run.sh"]"#,
        r#"["sh", "-c", "cd w && . ./run.sh"]"#,
        r#"["make", "-fw/run.sh"]"#,
    ];
    for line in lines {
        let restart = "[\"./restart.sh\", \"api\", \"api/api.env\"]";
        let scene = Scene::made(|config, _| *config = config.replace(restart, line));
        scene.sh("mkdir w; cp restart.sh w/run.sh");
        let dir = scene.dir().display().to_string();
        let what = if line.contains("-C") { "w" } else { "w/run.sh" };
        scene.sh(&format!("chmod g-w w/run.sh; chmod g+w {what}"));
        scene.run(&["plan", "ring"]).refused(1, "K0860", &[&format!("chmod g-w {dir}/{what}")]);
    }
    // A copy of the secret is not run: another user may own it.
    let scene = Scene::new();
    scene.sh("chown 65534 api/api.env");
    scene.run(&["plan", "ring"]).exits(0);
}

/// A consumer whose commands nobody else may change is adopted; any other would only hold the rotation up.
fn adopted_in_trust() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root distrusts other users' folders (an adoption)");
        return;
    }
    let scene = Scene::new();
    // Its own copy: the new value was never in it.
    scene.sh("mkdir w own; cp restart.sh w/; cp -p api/api.env own/two.env");
    let pid = scene.start_by_hand("two", &scene.path("own/two.env"), "").to_string();
    scene.sh("cp run/two.ready run/two.pid");
    let id = scene.until("quiesce");
    let config = || std::fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let before = config();
    let adopt = |scene: &Scene| {
        let words =
            ["consumer", "adopt", &pid, "--name", "two", "--restart", "./w/restart.sh two own/two.env"];
        let copy = ["--pid-file", "run/two.pid", "--env-file", "own/two.env", "--variable", "KEY"];
        scene.run(&[&words[..], &copy].concat())
    };
    scene.sh("chown 65534 w");
    adopt(&scene).refused(1, "K0860", &["move what keyroll uses out of"]);
    assert_eq!(config(), before);
    scene.sh("chown 0 w");
    adopt(&scene).exits(0);
    // It was not moved yet: what another user can change of it does not hold up the way back of the others.
    scene.sh("chown 65534 w");
    scene.run(&["resume", &id, "--confirm", "ring"]).refused(1, "K0860", &["move what keyroll uses out of"]);
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.sh("chown 0 w");
    scene.end(pid.parse().unwrap());
}

/// The plan stores the configuration's text, so it is refused before the text is written anywhere.
fn in_the_clear() {
    let value = "$(sed -n s/^KEY=//p api/api.env)";
    let encoded = "$(sed -n s/^KEY=//p api/api.env | tr -d '\\n' | base64 -w0)";
    for (file, form) in [("keyroll.toml", value), ("keyroll.toml", encoded), ("acme.toml", value)] {
        let scene = Scene::new();
        scene.sh(&format!("cp {file} clean; printf '\\n# %s\\n' \"{form}\" >> {file}"));
        let before = scene.issuer.asked(Ask::List);
        scene.run(&["plan", "ring"]).refused(1, "K0850", &[file]);
        assert_eq!(scene.issuer.asked(Ask::List), before);
        scene.sh(&format!("if grep -rq \"{form}\" ../state; then exit 1; fi; cat clean > {file}; rm clean"));
        scene.plan();
    }
}

/// The named host would get both keys and the admin credential. Nothing listens there, and nothing is sent.
fn grown_reach() {
    let scene = Scene::new();
    let grow = "cp acme.toml kept; sed -i '0,/^hosts  = \\[/s//hosts  = [\"127.0.0.1:9\", /' acme.toml";
    let plan = scene.plan();
    let listed = scene.issuer.asked(Ask::List);
    scene.sh(grow);
    let words = ["127.0.0.1:9 (admin)", "keyroll plan ring"];
    scene.run(&["apply", &plan, "--confirm", "ring"]).refused(1, "K0866", &words);
    assert_eq!(scene.issuer.asked(Ask::List), listed);
    scene.sh("cat kept > acme.toml");
    let id = plan;
    scene.run(&["apply", &id, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    scene.sh(grow);
    let (before, listed) = (scene.snapshot(), scene.issuer.asked(Ask::List));
    for words in [&["resume", "--confirm", "ring"][..], &["abort", &id]] {
        scene.run(words).refused(6, "K0866", &["127.0.0.1:9 (admin)", "restore the spec"]);
    }
    assert_eq!((scene.snapshot(), scene.issuer.asked(Ask::List)), (before, listed));
    scene.sh("cat kept > acme.toml");
    // The next driver first removes a wrong copy that a killed driver left.
    scene.sh("mkdir -p ../state/work; echo left > ../state/work/control-00-ff");
    scene.run(&["resume", "--confirm", "ring", "--until", "disable"]).exits(4);
    assert!(!scene.state().join("work/control-00-ff").exists());
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}
