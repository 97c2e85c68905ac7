//! A file that the operator has edited: new parts are added, and every existing byte stays.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use keyroll_testkit::{TempDir, alphanumeric};
use rustix::process::{Pid, Signal, kill_process};

use crate::hostile::ran::wait;

/// Programs that no manager keeps, each in a folder with an env file.
pub(crate) struct Scene {
    dir: TempDir,
    /// What its secrets are called: other scenes run beside this one.
    pub(crate) word: String,
    pub(crate) value: String,
    pub(crate) token: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let word = alphanumeric(200).chars().filter(char::is_ascii_lowercase).take(8).collect();
        Self { dir, word, value: alphanumeric(32), token: keyroll_testkit::github_token() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// The variable of the secret.
    pub(crate) fn variable(&self) -> String {
        format!("{}_API_KEY", self.word.to_uppercase())
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Starts a program in a folder with the value of its file; its parent has ended.
    pub(crate) fn start(&self, name: &str) {
        let begin = "set -a; for file in ./*.env ./.env; do if [ -e $file ]; then . $file; fi; done; ";
        self.run(name, begin, "exec sleep 100000", "sleep");
    }

    /// Starts a program of this name in a folder, after the given commands.
    pub(crate) fn run(&self, name: &str, before: &str, then: &str, program: &str) -> u32 {
        let folder = self.path(name);
        fs::create_dir_all(folder.join("run")).unwrap();
        let begin = format!("{before}echo $$ >run/new; mv run/new run/app.pid; {then}");
        let line = format!("setsid sh -c '{begin}' </dev/null >/dev/null 2>&1 &");
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(&folder).env_clear();
        assert!(command.env("PATH", "/usr/local/bin:/usr/bin:/bin").status().unwrap().success());
        let number = || fs::read_to_string(folder.join("run/app.pid")).ok()?.trim().parse::<u32>().ok();
        wait("a program", || number().is_some());
        wait("its own program", || {
            let exe = number().and_then(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok());
            let name = exe.as_deref().and_then(std::path::Path::file_name).unwrap_or_default();
            let name = name.to_string_lossy();
            name.starts_with(program) || name == "coreutils"
        });
        number().unwrap()
    }

    pub(crate) fn end(&self, name: &str) {
        let file = self.path(name).join("run/app.pid");
        if let Ok(pid) = fs::read_to_string(&file) {
            let pid = pid.trim();
            // Considers only processes that work in this scene's folder.
            if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.path(name)) {
                let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL);
                wait("its end", || fs::read_link(format!("/proc/{pid}/cwd")).is_err());
            }
            fs::remove_file(file).unwrap();
        }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words).args(["--state", "s", "--no-input", "--plain"]).current_dir(self.path(""));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.path(""));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it, and checks that its output and files contain no value in any encoding.
    #[track_caller]
    pub(crate) fn init(&self, words: &[&str], code: i32) -> String {
        let output = self.command(&[&["init", "--memory", "0"], words].concat()).output().unwrap();
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        let mut all = text.clone();
        all += &fs::read_to_string(self.path("keyroll.toml")).unwrap_or_default();
        let values = [&self.value, &self.token];
        let needles = (0u32..).zip(values).fold(Needles::builder(), |all, (id, value)| {
            all.add(NeedleId(id), &SecretBytes::from(value.clone()))
        });
        let mut leaks = Vec::new();
        needles.build().unwrap().find(all.as_bytes(), &mut |hit| leaks.push((hit.id.0, hit.encoding)));
        assert_eq!(leaks, [], "a value: {all}");
        text
    }

    pub(crate) fn written(&self) -> String {
        fs::read_to_string(self.path("keyroll.toml")).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in ["one", "two", "three"] {
            self.end(name);
        }
    }
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The text that was inserted, if it is one piece and nothing else changed.
#[track_caller]
fn added(old: &str, new: &str) -> String {
    let before = old.bytes().zip(new.bytes()).take_while(|(one, other)| one == other).count();
    let length = new.len().checked_sub(old.len()).expect("nothing is taken out");
    assert_eq!(old[before..], new[before + length..], "more than an addition:\n{new}");
    new[before..before + length].to_owned()
}

#[test]
fn a_file_that_somebody_edited_stays_byte_for_byte_but_for_what_is_new() {
    let scene = Scene::new();
    let (word, variable) = (&scene.word, scene.variable());
    let line = format!("{variable}={}\n", scene.value);
    scene.file("one/app.env", &format!("LOG=info\n{line}"));
    scene.file("one/app.env.bak", &line);
    scene.start("one");
    let dry = scene.init(&["one", "--dry-run"], 0);
    assert!(dry.contains(&format!("[secrets.{word}]")) && !scene.path("keyroll.toml").exists(), "{dry}");
    let said = scene.init(&["one"], 0);
    let first = scene.written();
    for part in [
        format!("[secrets.{word}]\nissuer = \"file:./FILL-IN-{word}-issuer.toml\"\n"),
        format!("[[secrets.{word}.consumers]]\nname  = \"sleep\"\n"),
        "runs  = { restart = [\"./FILL-IN-restart-sleep.sh\"], pid_file = \"./one/run/app.pid\" }\n"
            .to_owned(),
        format!("reads = {{ env_file = \"./one/app.env\", variable = \"{variable}\" }}\n"),
        "one/app.env:2: its other names agree with the environment of the process".to_owned(),
        "app.env.bak:1: leftover".to_owned(),
    ] {
        assert!(first.contains(&part), "{part} is not in\n{first}");
    }
    // Every line was checked, and both `init` and `doctor` name what must be filled in.
    for part in ["fill in", "FILL-IN-restart-sleep.sh must still be filled in", "keyroll doctor"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // The operator's own text and spacing, with a consumer that `init` would write differently.
    let edited = first
        .replace("\"./FILL-IN-restart-sleep.sh\"", "\"./restart.sh\" , \"now\"   ")
        .replace("name  = \"sleep\"", "name='the app'   # ours")
        .replace("'the app'", "\"the-app\"")
        + "# the end, without a line end";
    fs::write(scene.path("keyroll.toml"), &edited).unwrap();
    let inode = || fs::metadata(scene.path("keyroll.toml")).unwrap().ino();
    let before = inode();
    assert!(scene.init(&["."], 0).contains("nothing was changed"));
    assert_eq!((scene.written(), inode()), (edited.clone(), before));

    // Another one uses the same value, and a key of a known form.
    scene.file("two/app.env", &format!("{line}{}_GITHUB_TOKEN={}\n", word.to_uppercase(), scene.token));
    scene.start("two");
    let said = scene.init(&["."], 0);
    assert!(said.contains("consumer sleep") && said.contains(&format!(" of {word}")), "{said}");
    let second = scene.written();
    let [consumer, secret] = ["\n[[secrets.", "\n[secrets."].map(|head| second.matches(head).count());
    assert_eq!((consumer, secret), (3, 2), "{second}");
    for part in ["pid_file = \"./two/run/app.pid\"", "issuer = \"github-classic\"", "the-app\"   # ours"] {
        assert!(second.contains(part), "{part} is not in\n{second}");
    }
    // Apart from the new secret at the end, there is one addition.
    let own = second.find("\n# used only by sleep\n# it has the form of").expect("the new secret");
    let block = added(&edited, second[..own].trim_end_matches('\n'));
    // Which of two of one name gets the number is by their processes' numbers.
    assert!(block.contains("name  = \"sleep") && block.contains("./two/app.env"), "{block}");

    // A second file of one that is known.
    scene.file("one/more.env", &format!("{}_TOKEN={}\n", word.to_uppercase(), scene.value));
    scene.end("one");
    scene.start("one");
    let said = scene.init(&["."], 0);
    let third = scene.written();
    let reads = format!(
        "reads = [{{ env_file = \"./one/app.env\", variable = \"{variable}\" }}, {{ env_file = \"./one/more.env\", "
    );
    assert!(third.contains(&reads), "{said}\n{third}");
    let (lines, others): (Vec<_>, Vec<_>) = (second.lines().collect(), third.lines().collect());
    let differ: Vec<_> = lines.iter().zip(&others).filter(|(one, other)| one != other).collect();
    assert!(lines.len() == others.len() && differ.len() == 1, "{differ:?}");

    // A consumer that no longer exists is reported, and stays in the file.
    scene.end("two");
    fs::remove_file(scene.path("two/app.env")).unwrap();
    let said = scene.init(&["."], 0);
    assert!(said.contains("two/app.env does not exist") && said.contains("kept in the file"), "{said}");
    assert_eq!(scene.written(), third);
}

#[test]
fn what_was_left_behind_is_written_nowhere_whatever_it_holds() {
    let scene = Scene::new();
    let variable = scene.variable();
    let line = format!("{variable}={}\n", scene.value);
    scene.file("one/.env", &line);
    scene.file("one/.env.bak", &line);
    scene.start("one");
    scene.init(&["one"], 0);
    let text = scene.written();
    for part in [
        format!("reads = {{ env_file = \"./one/.env\", variable = \"{variable}\" }}\n"),
        "one/.env:1 holds the same value; its start was not seen to read that file\n".to_owned(),
        "one/.env.bak:1: leftover".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
}

#[test]
fn what_several_use_is_one_secret_and_a_list_in_braces_is_added_to() {
    let scene = Scene::new();
    let (word, variable) = (&scene.word, scene.variable());
    for name in ["one", "two"] {
        scene.file(&format!("{name}/app.env"), &format!("{variable}={}\n", scene.value));
        scene.start(name);
    }
    scene.init(&["."], 0);
    let text = scene.written();
    assert!(text.contains("# shared by sleep, sleep-2: one rotation moves all of them"), "{text}");
    assert!(text.matches("[[secrets.").count() == 2 && text.matches("\n[secrets.").count() == 1, "{text}");
    // The same in braces, and in lines that end as another system writes them.
    let braces = format!(
        "version = 1\r\n[secrets.{word}]\r\nissuer = \"openrouter\"\r\nconsumers = [\r\n  {{ name = \"first\", \
         runs = {{ rereads = true, pid_file = \"./one/run/app.pid\" }}, reads = {{ env_file = \"./one/app.env\", variable = \
         \"{variable}\" }} }}, # ours\r\n]\r\n"
    );
    fs::write(scene.path("keyroll.toml"), &braces).unwrap();
    scene.init(&["."], 0);
    let block = added(&braces, &scene.written());
    assert!(block.contains("name = \"sleep") && block.contains("./two/app.env"), "{block}");
}

#[test]
fn a_file_that_cannot_be_added_to_is_left_as_it_is() {
    let scene = Scene::new();
    scene.file("one/app.env", &format!("{}={}\n", scene.variable(), scene.value));
    let text = "version = 1\n[secrets.acme\n";
    fs::write(scene.path("keyroll.toml"), text).unwrap();
    let said = scene.init(&["."], 1);
    assert!(said.contains("K0014") && said.contains("keyroll.toml:2") && said.contains("help:"), "{said}");
    assert_eq!(scene.written(), text);
    fs::remove_file(scene.path("keyroll.toml")).unwrap();
    fs::create_dir(scene.path("keyroll.toml")).unwrap();
    assert!(scene.init(&["."], 1).contains("K0014"));
    fs::remove_dir(scene.path("keyroll.toml")).unwrap();
    assert!(scene.init(&["./none"], 1).contains("K0934"));
    // A secret that no process uses is left out, unless the operator names it.
    let said = scene.init(&["."], 0);
    assert!(said.contains(&format!("omitted: {}: no known service uses it", scene.word)), "{said}");
    assert!(!scene.written().contains("[secrets."));
    let said = scene.init(&["--secret", &scene.word, "."], 0);
    let text = scene.written();
    assert!(text.contains("runs  = { at_rest = true }") && text.contains("./one/app.env"), "{said}\n{text}");
}
