//! Commands, and whether another user could decide what they do.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use keyroll_config::Config;
use tempfile::TempDir;

use super::*;

/// `w` and all in it is another user's, `s` is not; so are `justfile`, `module.py`, `api` and the copy `app.env`.
struct Scene {
    folder: TempDir,
    _socket: UnixListener,
}

const OTHERS: [&str; 12] = [
    "w",
    "w/r.sh",
    "w/chk.py",
    "w/Makefile",
    "w/compose.yml",
    "w/with blank.sh",
    "w/app.pid",
    "w/bin",
    "justfile",
    "module.py",
    "api",
    "app.env",
];

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Scene {
    /// By their modes, or, for root, by their owner.
    fn new(by_owner: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["w", "w/bin", "s", "api", "sticky"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let files = ["r.sh", "chk.py", "Makefile", "compose.yml", "with blank.sh", "app.pid", "bin/tool"];
        let files = files.map(|name| format!("w/{name}"));
        let own = ["restart.sh", "s/r.sh", "sticky/chk.py", "justfile", "module.py", "app.env"];
        for name in files.iter().map(String::as_str).chain(own) {
            std::fs::write(at(name), "").unwrap();
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        symlink("../w/r.sh", at("s/link")).unwrap();
        // Both ends are safe, and the middle of the way is not.
        symlink("../w/back", at("s/through")).unwrap();
        symlink("../s", at("w/back")).unwrap();
        let socket = UnixListener::bind(at("w/socket")).unwrap();
        for name in OTHERS {
            match by_owner {
                true => chown(at(name), Some(65_534), None).unwrap(),
                false => std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o777)).unwrap(),
            }
        }
        std::fs::set_permissions(at("sticky"), PermissionsExt::from_mode(0o1777)).unwrap();
        Self { folder, _socket: socket }
    }

    fn consumer(&self, runs: &str) -> Consumer {
        let text = format!(
            "version = 1\n[secrets.ring]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
             [[secrets.ring.consumers]]\nname = \"api\"\nruns = {{ {runs} }}\n\
             reads = {{ env_file = \"./app.env\", variable = \"KEY\" }}\n"
        );
        let file = self.folder.path().join("keyroll.toml").display().to_string();
        let config = Config::parse(&text, &file).unwrap_or_else(|error| panic!("{runs}: {error}"));
        config.secrets.values().next().unwrap().consumers.first().unwrap().clone()
    }

    /// What is wrong with a restart command, by the names in this folder.
    fn wrong(&self, command: &str) -> Vec<String> {
        self.wrong_with(&format!("restart = {command}, pid_file = \"./run/api.pid\""))
    }

    fn wrong_with(&self, runs: &str) -> Vec<String> {
        self.shown(&run_by(self.folder.path(), &self.consumer(runs)), me())
    }

    fn shown(&self, all: &[Reached], user: u32) -> Vec<String> {
        let root = self.folder.path().canonicalize().unwrap();
        let name = |fault: &UnsafePath| {
            let path = fault.path.strip_prefix(&root).unwrap_or(&fault.path);
            path.display().to_string()
        };
        faults(all, user).iter().map(name).collect()
    }

    fn reached(&self, words: &[&str], search: &OsStr) -> Vec<Reached> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        reached(&words, &Surroundings { folder: self.folder.path(), copies: &[], search })
    }
}

/// By their modes, and by their owner where this user may give files away.
fn scenes() -> Vec<Scene> {
    [false, true].into_iter().filter(|by_owner| !by_owner || me() == 0).map(Scene::new).collect()
}

/// The command, and what another user can change of what it does.
const REFUSED: &[(&str, &str)] = &[
    (r#"["./w/r.sh"]"#, "w/r.sh"),
    (r#"["python3.11", "./w/chk.py"]"#, "w/chk.py"),
    (r#"["env", "-i", "sh", "./w/r.sh"]"#, "w/r.sh"),
    (r#"["nice", "./w/r.sh"]"#, "w/r.sh"),
    (r#"["timeout", "9", "w/r.sh"]"#, "w/r.sh"),
    (r#"["make", "-f", "w/Makefile"]"#, "w/Makefile"),
    (r#"["make", "-fw/Makefile"]"#, "w/Makefile"),
    (r#"["make", "--file=w/Makefile"]"#, "w/Makefile"),
    (r#"["make", "-C", "w"]"#, "w/Makefile"),
    (r#"["make", "-Cw"]"#, "w/Makefile"),
    (r#"["make", "--directory=w"]"#, "w/Makefile"),
    (r#"["nice", "just", "restart"]"#, "justfile"),
    (r#"["docker", "compose", "--project-directory", "w", "up"]"#, "w/compose.yml"),
    (r#"["env", "-C", "w", "sh", "r.sh"]"#, "w/r.sh"),
    (r#"["tool", "@w/r.sh"]"#, "w/r.sh"),
    (r#"["tool", "CONF=s/r.sh,w/r.sh"]"#, "w/r.sh"),
    (r#"["env", "PATH=/usr/bin:./w/bin", "tool"]"#, "w/bin"),
    (r#"["sh", "-c", ". ./w/r.sh"]"#, "w/r.sh"),
    (r#"["sh", "-c", "set -e;. w/r.sh"]"#, "w/r.sh"),
    (r#"["sh", "-c", "cd w && . ./r.sh"]"#, "w/r.sh"),
    (r#"["sh", "-c", "D=w; . $D/r.sh"]"#, "w/r.sh"),
    (r#"["sh", "-c", "exec \"${{PWD}}/w/r.sh\""]"#, "w/r.sh"),
    (r#"["sh", "-c", "'./w/with blank.sh'"]"#, "w/with blank.sh"),
    (r#"["sh", "-c", "sh ./w/*.sh"]"#, "w"),
    (r#"["sh", "-c", ". ./w/none.sh"]"#, "w"),
    (r#"["sh", "-c", "kill -HUP $(cat w/app.pid)"]"#, "w/app.pid"),
    (r#"["./s/link"]"#, "w/r.sh"),
    (r#"["./s/through/r.sh"]"#, "w"),
    (r#"["python3", "-m", "module"]"#, "module.py"),
    (r#"["python3", "sticky/chk.py"]"#, "sticky"),
    // A copy of the secret may be another user's as long as it is not run.
    (r#"["sh", "app.env"]"#, "app.env"),
    (r#"["sh", "-c", ". ./app.env; true"]"#, "app.env"),
    (r#"["sudo", "-u", "root", "./w/r.sh"]"#, "w/r.sh"),
    // A group, and root as the user.
    (r#"["su", "-g", "nobody", "-c", "./w/r.sh"]"#, "w/r.sh"),
    (r#"["sudo", "./s/r.sh", "-u", "nobody", "./w/r.sh"]"#, "w/r.sh"),
];

const ACCEPTED: &[&str] = &[
    r#"["./restart.sh", "api", "app.env"]"#,
    r#"["sh", "./restart.sh", "./app.env"]"#,
    r#"["sh", "sticky/chk.py"]"#,
    r#"["systemctl", "restart", "api"]"#,
    r#"["docker", "run", "-v", "./w", "--volume=./w", "--mount", "type=bind,source=./w,target=/data", "image"]"#,
    r#"["grep", "-q", "ready", "w/r.sh"]"#,
    r#"["test", "-d", "./w"]"#,
    r#"["redis-cli", "-s", "w/socket", "ping"]"#,
    r#"["psql", "-h", "./w", "-c", "select pg_reload_conf()"]"#,
    r#"["sh", "-c", "true </dev/null >/dev/null 2>&1; test -d /tmp"]"#,
    r#"["sh", "-c", "exec \"$@\"", "sh", "./restart.sh"]"#,
    r#"["sh", "-c", "sed s/./x/ <s/r.sh"]"#,
];

#[test]
fn whatever_the_program_no_other_user_decides_what_it_does() {
    for scene in scenes() {
        let missed: Vec<_> = REFUSED
            .iter()
            .filter(|(command, what)| !scene.wrong(command).iter().any(|wrong| wrong == what))
            .collect();
        assert!(missed.is_empty(), "accepted: {missed:#?}");
        let refused: Vec<_> = ACCEPTED
            .iter()
            .map(|command| (command, scene.wrong(command)))
            .filter(|(_, wrong)| !wrong.is_empty())
            .collect();
        assert!(refused.is_empty(), "refused: {refused:#?}");
    }
}

#[test]
fn the_command_of_each_instance_counts() {
    let runs = |words: &str| {
        format!("restart = {words}, instances = [\"s\", \"w\"], pid_file = \"./run/{{instance}}.pid\"")
    };
    for scene in scenes() {
        let wrong = scene.wrong_with(&runs(r#"["sh", "./{instance}/r.sh"]"#));
        assert!(wrong.contains(&"w/r.sh".to_owned()), "{wrong:?}");
        assert_eq!(scene.wrong_with(&runs(r#"["./restart.sh", "{instance}"]"#)), Vec::<String>::new());
    }
}

#[test]
fn a_folder_of_path_counts_up_to_the_one_with_the_program() {
    for scene in scenes() {
        let at = |name: &str| scene.folder.path().join(name);
        std::fs::copy(at("s/r.sh"), at("s/other")).unwrap();
        let wrong = |folders: [&str; 2], word| {
            let search = std::env::join_paths(folders.map(at)).unwrap();
            scene.shown(&scene.reached(&["env", word], &search), me())
        };
        assert!(wrong(["w/bin", "s"], "other").contains(&"w/bin".to_owned()));
        assert_eq!(wrong(["s", "w/bin"], "other"), Vec::<String>::new());
        // Another program's argument.
        assert_eq!(wrong(["w/bin", "s"], "none"), Vec::<String>::new());
    }
}

/// For a user who is not root the files of root and own files count as safe, own files also with a group that may write.
#[test]
fn each_user_trusts_root_and_itself_alone() {
    if me() != 0 {
        eprintln!("left out: only root can give files away (whom each user trusts)");
        return;
    }
    let scene = Scene::new(false);
    let file = scene.folder.path().join("s/r.sh");
    let list = |words: &[&str]| {
        let status = std::process::Command::new("setfacl").args(words).arg(&file).status();
        assert!(status.unwrap().success());
    };
    let set = |owner, mode| {
        chown(&file, Some(owner), None).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    };
    let safe = |user, as_user| {
        let reached = [Reached { as_user, ..Reached::file(file.clone()) }];
        !scene.shown(&reached, user).contains(&"s/r.sh".to_owned())
    };
    // owner, mode · for root, for 1000, for root that goes on as 1000, for 1001
    let table = [
        ((0, 0o755), [true, true, true, true]),
        ((0, 0o775), [false, false, false, false]),
        ((1000, 0o755), [false, true, true, false]),
        ((1000, 0o775), [false, true, true, false]),
        ((1000, 0o757), [false, false, false, false]),
    ];
    for ((owner, mode), wanted) in table {
        set(owner, mode);
        let seen = [safe(0, None), safe(1000, None), safe(0, Some(1000)), safe(1001, None)];
        assert_eq!(seen, wanted, "of {owner}, mode {mode:04o}");
    }
    // The mode of a file with an access list does not show whom the list names.
    set(1000, 0o644);
    for (entry, wanted) in [
        ("u:65534:rw", false),
        ("g:65534:rw", false),
        ("u:65534:r", true),
        ("u:0:rw", true),
        ("u:1000:rw", true),
    ] {
        list(&["-m", entry]);
        assert_eq!(safe(1000, None), wanted, "{entry}");
        list(&["-m", "mask::r"]);
        assert!(safe(1000, None), "{entry}: the mask takes the permission away");
        list(&["-b"]);
    }
    // A link in a sticky folder leads where its owner likes.
    let link = scene.folder.path().join("sticky/link");
    symlink("../s/r.sh", &link).unwrap();
    set(0, 0o755);
    let by_link = || scene.shown(&[Reached::file(link.clone())], 0);
    assert_eq!(by_link(), Vec::<String>::new());
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    assert_eq!(by_link(), ["sticky/link"]);
}

#[test]
fn a_command_that_goes_on_as_a_user_may_run_the_files_of_that_user() {
    if me() != 0 {
        eprintln!("left out: only root can give files away (a command of another user)");
        return;
    }
    let scene = Scene::new(true);
    std::fs::write(scene.folder.path().join("w/own.sh"), "").unwrap();
    for command in [
        r#"["runuser", "-u", "nobody", "--", "./w/r.sh"]"#,
        r#"["sudo", "-n", "--user=nobody", "sh", "-c", "cd w && . ./r.sh"]"#,
        r#"["su", "-", "nobody", "-c", "./w/r.sh"]"#,
        r#"["gosu", "65534:65534", "./w/r.sh"]"#,
        r#"["gosu", "nobody", "./w/own.sh"]"#,
    ] {
        assert_eq!(scene.wrong(command), Vec::<String>::new(), "{command}");
    }
    for command in [
        r#"["runuser", "-u", "daemon", "--", "./w/r.sh"]"#,
        r#"["./s/r.sh", "-u", "nobody", "./w/r.sh"]"#,
        r#"["sh", "-c", "runuser -u nobody -- ./w/r.sh"]"#,
    ] {
        assert!(scene.wrong(command).contains(&"w/r.sh".to_owned()), "{command}");
    }
}

#[test]
fn what_only_a_shell_can_find_is_said() {
    let scene = Scene::new(false);
    for (line, wanted) in [
        (r#"$CONF/r.sh now"#, vec!["$CONF/r.sh"]),
        (r#"for it in s/*.sh; do sh "$it"; done"#, vec!["s/*.sh"]),
        (r#". "$FILE""#, vec!["$FILE"]),
        (r#"$(pwd)/r.sh"#, vec!["$(pwd)/r.sh"]),
        (r#""$(dirname "$0")/r.sh""#, vec![")/r.sh"]),
        (r#"D=s; sh $D/r.sh; sh $PWD/r.sh"#, vec![]),
        (r#"curl -H "Authorization: Bearer $KEY" https://api.example/$VERSION/x"#, vec![]),
        (r#"exec "$@""#, vec![]),
    ] {
        let words = ["sh", "-c", line].map(str::to_owned);
        assert_eq!(unseen(&words, scene.folder.path()), wanted, "{line}");
    }
    // Without a shell a pattern is an ordinary word.
    assert_eq!(unseen(&["find".to_owned(), "s/*.sh".to_owned()], Path::new("/")), Vec::<String>::new());
}

#[test]
fn no_advice_takes_a_folder_from_its_owner() {
    if me() != 0 {
        eprintln!("left out: only root can give files away (the advice)");
        return;
    }
    let scene = Scene::new(true);
    let way = |reached: Vec<Reached>, name: &str| {
        let wrong = faults(&reached, 0);
        let fault = wrong.iter().find(|fault| fault.path.ends_with(name)).unwrap();
        fault.way.split(' ').next().unwrap().to_owned()
    };
    let word = |name: &str| vec![Reached::file(scene.folder.path().join(name))];
    assert_eq!(way(word("w/r.sh"), "w"), "move");
    assert_eq!(way(word("w/r.sh"), "r.sh"), "chown");
    assert_eq!(way(word("w/app.pid"), "app.pid"), "use");
    let search = scene.folder.path().join("w/bin");
    assert_eq!(way(scene.reached(&["tool"], search.as_os_str()), "w/bin"), "take");
    let consumer = scene.consumer(r#"restart = ["sh", "app.env"], pid_file = "./run/api.pid""#);
    assert_eq!(way(run_by(scene.folder.path(), &consumer), "app.env"), "read");
}

#[test]
fn a_refusal_names_every_file_as_a_cause_of_its_own() {
    let scene = Scene::new(false);
    let folder = scene.folder.path();
    assert!(trusted_files(vec![folder.join("s/r.sh")]).is_ok());
    let failure = trusted_files(["w/r.sh", "justfile"].map(|name| folder.join(name)).to_vec()).unwrap_err();
    assert_eq!(failure.code, Code::OpenToOtherUsers);
    let mut next = std::error::Error::source(&failure);
    let mut named = Vec::new();
    while let Some(cause) = next {
        named.push(cause.to_string().split(": ").next().unwrap_or_default().to_owned());
        next = cause.source();
    }
    let root = folder.canonicalize().unwrap();
    let all = ["justfile", "w", "w/r.sh"].map(|name| root.join(name).display().to_string());
    assert_eq!(named, all);
    assert_eq!(failure.attempted, format!("trust {}", all[0]));
}
