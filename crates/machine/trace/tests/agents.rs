//! Programs whose own files say where their keys are, with files made to their documented formats: which copy wins,
//! which is a decoy, and which cannot be read.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyroll_observe::process;
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_testkit::{TempDir, alphanumeric, copy_program};
use keyroll_trace::{Chain, LinkRole, ManagedBy, Managers, Options, Service, Survey, survey_with};
use rusqlite::Connection;

use crate::chains::scene::{Running, TIME_MAX, until};

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn survey(&self) -> Survey {
        self.survey_of(&[""])
    }

    fn survey_of(&self, roots: &[&str]) -> Survey {
        let roots = roots.iter().map(|name| self.path(name).components().collect()).collect();
        let options = Options { roots, wait: TIME_MAX };
        survey_with(&options, &Managers::default(), FingerprintKey::new(&[7; 32]), Vec::new()).unwrap()
    }

    /// A program that keeps running, under the name of a known one.
    fn start(&self, name: &str, words: &[&str], with: &[(&str, &str)]) -> Running {
        let program = format!("bin/{name}");
        self.put(&program, "import time\nopen('started', 'w').close()\ntime.sleep(100000)\n");
        let mut command = Command::new("python3");
        command.arg(self.path(&program)).args(words).current_dir(self.path(""));
        command.envs(with.iter().copied()).env("HOME", self.path(""));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        until(name, || self.path("started").exists().then_some(()));
        Running(child)
    }
}

fn value() -> String {
    format!("sk-{}", alphanumeric(40))
}

fn service<'a>(survey: &'a Survey, name: &str) -> &'a Service {
    let names: Vec<&String> = survey.services.iter().map(|one| &one.name).collect();
    survey
        .services
        .iter()
        .find(|one| one.name.starts_with(name))
        .unwrap_or_else(|| panic!("{name}: {names:?}"))
}

/// The role of each link, and whether it holds this value.
fn told(survey: &Survey, chain: &Chain, value: &str) -> Vec<(LinkRole, bool)> {
    let known = survey.values.of(&SecretBytes::from(value.to_owned()));
    chain.links.iter().map(|link| (link.role, link.value.is_some() && link.value == known)).collect()
}

#[test]
fn what_agents_keep_is_found_where_they_keep_it() {
    let home = Home::new();
    let (anthropic, token, openai, hermes, sealed, web) =
        (value(), value(), value(), value(), value(), value());
    home.put(
        ".claude/settings.json",
        &format!(
            "{{\"env\": {{\n\"ANTHROPIC_API_KEY\": \"{anthropic}\", \"ANTHROPIC_AUTH_TOKEN\": \"{token}\"}}}}"
        ),
    );
    home.put(".codex/auth.json", &format!("{{\"OPENAI_API_KEY\": \"{openai}\", \"tokens\": null}}"));
    home.put(".hermes/.env", &format!("OPENROUTER_API_KEY={hermes}\n"));
    fs::create_dir_all(home.path(".n8n")).unwrap();
    let database = Connection::open(home.path(".n8n/database.sqlite")).unwrap();
    let table = "CREATE TABLE credentials_entity (id varchar(36) PRIMARY KEY, name varchar(128), data text, type varchar(128));";
    database.execute_batch(table).unwrap();
    database
        .execute("INSERT INTO credentials_entity VALUES ('a', 'mine', ?1, 'openAiApi')", [&sealed])
        .unwrap();
    drop(database);
    fs::create_dir_all(home.path(".open-webui")).unwrap();
    let database = Connection::open(home.path(".open-webui/webui.db")).unwrap();
    database.execute_batch("CREATE TABLE config (id INTEGER PRIMARY KEY, data JSON NOT NULL)").unwrap();
    let data = format!("{{\"openai\": {{\"api_base_urls\": [\"x\"], \"api_keys\": [\"{web}\"]}}}}");
    database.execute("INSERT INTO config VALUES (1, ?1)", [&data]).unwrap();
    drop(database);
    let survey = home.survey();
    for (name, key, held) in [
        ("Claude Code", "ANTHROPIC_AUTH_TOKEN", &token),
        ("Codex", "OPENAI_API_KEY", &openai),
        ("Hermes", "OPENROUTER_API_KEY", &hermes),
        ("Open WebUI", "openai.api_keys.0", &web),
    ] {
        let found = service(&survey, &format!("{name} of "));
        assert_eq!(found.managed_by, ManagedBy::Agent);
        let names: Vec<&String> = found.chains.iter().map(|chain| &chain.name).collect();
        let chain = found.chain(key).unwrap_or_else(|| panic!("{name}: {names:?}"));
        assert_eq!(told(&survey, chain, held), [(LinkRole::Wins, true)], "{chain:?}");
    }
    // A bearer token wins over a key, wherever each of them is.
    let shadowed = service(&survey, "Claude Code of ").chain("ANTHROPIC_API_KEY").unwrap();
    assert_eq!(told(&survey, shadowed, &anthropic), [(LinkRole::Shadowed, true)], "{shadowed:?}");
    // An encrypted value is named.
    let named = survey.unseen.iter().find(|one| one.what.contains("database.sqlite, of n8n"));
    assert_eq!(named.map(|one| one.reason.as_str()), Some("it is encrypted"), "{:?}", survey.unseen);
}

#[test]
fn a_session_that_runs_takes_its_settings_before_what_it_was_started_with() {
    let home = Home::new();
    let (exported, set) = (value(), value());
    home.put(".claude/settings.json", &format!("{{\"env\": {{\"ANTHROPIC_API_KEY\": \"{set}\"}}}}"));
    let session = home.start("claude", &[], &[("ANTHROPIC_API_KEY", &exported)]);
    let survey = home.survey();
    let found = service(&survey, &format!("Claude Code {}", session.0.id()));
    assert_eq!(found.managed_by, ManagedBy::Agent);
    assert!(found.processes.iter().any(|one| one.pid == session.0.id()));
    let chain = found.chain("ANTHROPIC_API_KEY").unwrap();
    assert_eq!(told(&survey, chain, &set)[0], (LinkRole::Wins, true), "{chain:?}");
    let decoy = chain.links.iter().find(|link| link.what.contains("was started with")).expect("its start");
    assert_eq!(decoy.role, LinkRole::Shadowed, "{chain:?}");
    assert!(survey.services.iter().all(|one| !one.name.starts_with("Claude Code of")), "told once");
}

/// The key in `.env` is new, and the proxy was started with the old one: the file is a decoy.
#[test]
fn the_overridden_key_of_a_proxy_is_named() {
    let home = Home::new();
    let (old, new, literal, set) = (value(), value(), value(), value());
    let models = format!(
        "model_list:\n- {{model_name: a, litellm_params: {{model: openai/x, api_key: os.environ/ONE_API_KEY}}}}\n\
         - {{model_name: b, litellm_params: {{model: openai/x, api_key: {literal}}}}}\n\
         - {{model_name: c, litellm_params: {{model: openai/x, api_key: os.environ/TWO_API_KEY}}}}\n\
         environment_variables:\n  TWO_API_KEY: {set}\n"
    );
    home.put("config.yaml", &models);
    home.put(".env", &format!("ONE_API_KEY={new}\nTWO_API_KEY={new}\n"));
    let proxy = home.start("litellm", &["--config", "config.yaml", "--port", "1"], &[("ONE_API_KEY", &old)]);
    let survey = home.survey();
    let its = |one: &&Service| one.processes.iter().any(|process| process.pid == proxy.0.id());
    let found = survey.services.iter().find(its).expect("the proxy");
    let chain = found.chain("ONE_API_KEY").unwrap();
    // Nobody knows what starts it, nor whether the next start brings the old key again.
    let [(LinkRole::NotVisible(_), false), (file, true)] = told(&survey, chain, &new)[..] else {
        panic!("{chain:?}");
    };
    assert!(matches!(file, LinkRole::Shadowed | LinkRole::Wins), "{chain:?}");
    assert!(told(&survey, chain, &old)[0].1);
    assert_eq!(chain.next(), None);
    assert!(chain.links[1].seems.as_deref().is_some_and(|seems| seems.contains("SIGHUP")), "{chain:?}");
    let chain = found.chain("TWO_API_KEY").unwrap();
    // Its models took the variables of the environment before the configuration sets its own.
    assert_eq!(told(&survey, chain, &new)[0], (LinkRole::Wins, true), "{chain:?}");
    let late = told(&survey, chain, &set).into_iter().find(|link| link.1).expect("a link");
    assert_eq!(late.0, LinkRole::NotRead, "{chain:?}");
    let chain = found.chain("model_list.1.litellm_params.api_key").unwrap();
    assert_eq!(told(&survey, chain, &literal), [(LinkRole::Wins, true)], "{chain:?}");
    drop(proxy);
    // Without the variable in its environment the file wins.
    fs::remove_file(home.path("started")).unwrap();
    let proxy = home.start("litellm", &["--config=config.yaml"], &[]);
    let survey = home.survey();
    let its = |one: &&Service| one.processes.iter().any(|process| process.pid == proxy.0.id());
    let chain = survey.services.iter().find(its).expect("the proxy").chain("ONE_API_KEY").unwrap();
    assert_eq!(told(&survey, chain, &new), [(LinkRole::Wins, true)], "{chain:?}");
}

/// Two users, one of whom made links to files of the other and of root.
#[test]
fn a_link_in_a_home_leads_root_nowhere_that_its_user_cannot_go() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("left out: only root can give files to other users");
    }
    let all = Home::new();
    fs::set_permissions(all.path(""), Permissions::from_mode(0o755)).unwrap();
    let (own, others, roots) = (value(), value(), value());
    all.put("ada/dotfiles/hermes/.env", &format!("OPENROUTER_API_KEY={own}\n"));
    symlink(all.path("ada/dotfiles/hermes"), all.path("ada/.hermes")).unwrap();
    all.put("bob/.codex/auth.json", &format!("{{\"OPENAI_API_KEY\": \"{others}\", \"tokens\": null}}"));
    symlink(all.path("bob/.codex"), all.path("ada/.codex")).unwrap();
    let settings = |key: &str| {
        format!(
            "{{\"models\": {{\"providers\": {{\"acme\": {{\"baseUrl\": \"http://localhost/v1\", \"apiKey\": \"{key}\", \"models\": []}}}}}}}}"
        )
    };
    all.put("root/claw/openclaw.json", &settings(&roots));
    symlink(all.path("root/claw"), all.path("ada/.openclaw")).unwrap();
    all.put("bob/.openclaw/openclaw.json", &settings(&others));
    owned(&all.path("ada"), 21_001);
    owned(&all.path("bob"), 21_002);
    owned(&all.path("root"), 0);
    let survey = all.survey_of(&["ada", "bob"]);
    let names: Vec<&str> = survey.services.iter().map(|one| one.name.as_str()).collect();
    let there = |name: &str| names.contains(&name);
    let (ada, bob) = (all.path("ada").display().to_string(), all.path("bob").display().to_string());
    assert!(!there(&format!("Codex of {ada}")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("root/claw")), "{names:?}");
    // The user's own files are found behind a link, too.
    let hermes = service(&survey, &format!("Hermes of {ada}")).chain("OPENROUTER_API_KEY").unwrap();
    assert_eq!(told(&survey, hermes, &own), [(LinkRole::Wins, true)], "{hermes:?}");
    let codex = service(&survey, &format!("Codex of {bob}")).chain("OPENAI_API_KEY").unwrap();
    assert_eq!(told(&survey, codex, &others), [(LinkRole::Wins, true)], "{codex:?}");
    let claw = service(&survey, &format!("openclaw in {bob}")).chain("acme.apiKey").unwrap();
    assert!(told(&survey, claw, &others).contains(&(LinkRole::Wins, true)), "{claw:?}");
}

/// A user's lock names another user's process, or a process that is not a gateway: the user's own files are no source
/// of that process.
#[test]
fn a_lock_names_a_gateway_of_its_own_user_alone() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("left out: only root can become another user");
    }
    for (program, user, is_it) in
        [("openclaw", 21_001, true), ("openclaw", 21_002, false), ("worker", 21_001, false)]
    {
        let all = Home::new();
        fs::set_permissions(all.path(""), Permissions::from_mode(0o755)).unwrap();
        let key = value();
        all.put(
            "eve/.openclaw/openclaw.json",
            "{\"models\": {\"providers\": {\"acme\": {\"apiKey\": \"${EVE_API_KEY}\"}}}}",
        );
        all.put("eve/.openclaw/.env", &format!("EVE_API_KEY={key}\n"));
        let path = all.path(program);
        copy_program(Path::new("/bin/sleep"), &path);
        let mut command = Command::new(&path);
        command.arg("100000").current_dir("/").env_clear().env("PATH", "/bin").uid(user).gid(user);
        let running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let pid = running.pid();
        let one = until(program, || process(pid).ok().filter(|one| one.name == program));
        let lock = format!("{{\"pid\":{pid},\"role\":\"gateway\",\"startTime\":{}}}", one.id.start_ticks);
        all.put("eve/.openclaw/tmp/openclaw-0/gateway.state.lock", &lock);
        owned(&all.path("eve"), 21_001);
        let survey = all.survey_of(&["eve"]);
        let found: Vec<&Service> =
            survey.services.iter().filter(|one| one.chain("EVE_API_KEY").is_some()).collect();
        let [found] = found[..] else { panic!("{program} {user}: {found:?}") };
        assert_eq!(found.processes.iter().any(|one| one.pid == pid), is_it, "{program} {user}: {found:?}");
        let named = format!("the gateway {pid} that ");
        let told = survey.unseen.iter().any(|one| one.what.starts_with(&named));
        assert_eq!(told, user == 21_002, "{:?}", survey.unseen);
    }
}

/// A user's script names two files behind links, and a library reads a third one: one of the three belongs to the user.
#[test]
fn what_a_users_program_reads_is_read_as_that_user() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("left out: only root can become another user");
    }
    let all = Home::new();
    fs::set_permissions(all.path(""), Permissions::from_mode(0o755)).unwrap();
    let (own, roots) = (value(), [value(), value()]);
    all.put("ada/kept/own.env", &format!("OWN_API_KEY={own}\n"));
    for (name, value) in ["app.env", "library.env"].iter().zip(&roots) {
        all.put(&format!("root/{name}"), &format!("ROOTS_API_KEY={value}\n"));
    }
    let app = "import os, time\nparent = os.getppid()\nopen('started', 'w').close()\n\
               while os.getppid() == parent:\n    time.sleep(0.1)\n";
    all.put("ada/w/app.py", app);
    // The command after the program is named, and never run.
    let script = ". ./own.env\nexport OWN_API_KEY\npython3 ./app.py\n. ./roots.env\n";
    all.put("ada/w/run.sh", script);
    symlink(all.path("ada/kept/own.env"), all.path("ada/w/own.env")).unwrap();
    symlink(all.path("root/app.env"), all.path("ada/w/roots.env")).unwrap();
    symlink(all.path("root/library.env"), all.path("ada/w/.env")).unwrap();
    owned(&all.path("ada"), 21_001);
    owned(&all.path("root"), 0);
    let mut command = Command::new("sh");
    command.arg("./run.sh").current_dir(all.path("ada/w")).uid(21_001).gid(21_001);
    let child = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    until("run.sh", || all.path("ada/w/started").exists().then_some(()));
    // A process without a visible starter gets every file of variables in its folder as a possible source.
    let mut command = Command::new("cat");
    command.env("OWN_API_KEY", &own).env("ROOTS_API_KEY", &own).current_dir(all.path("ada/w"));
    let alone = Running(command.uid(21_001).gid(21_001).stdin(Stdio::piped()).spawn().unwrap());
    let survey = all.survey_of(&["ada"]);
    let of_alone = survey.services.iter().find(|one| one.processes.iter().any(|id| id.pid == alone.0.id()));
    let beside = of_alone.and_then(|one| one.chain("OWN_API_KEY")).unwrap();
    assert!(beside.links.iter().any(|link| link.what.contains("own.env")), "{beside:?}");
    drop((child, alone));
    let links = || survey.services.iter().flat_map(|one| &one.chains).flat_map(|chain| &chain.links);
    let known = survey.values.of(&SecretBytes::from(own));
    let sourced = links().filter(|link| link.what.contains("own.env")).collect::<Vec<_>>();
    assert!(known.is_some() && sourced.iter().any(|link| link.value == known), "{sourced:?}");
    let hidden = roots.map(|value| survey.values.of(&SecretBytes::from(value)));
    let led = hidden.map(|hidden| links().filter(|link| hidden.is_some() && link.value == hidden).count());
    assert_eq!(led, [0; 2], "root followed a link of a user's");
}

/// Gives everything below to a user, closed to others.
fn owned(path: &Path, user: u32) {
    let meta = path.symlink_metadata().unwrap();
    lchown(path, Some(user), Some(user)).unwrap();
    if meta.is_symlink() {
        return;
    }
    let mode = if meta.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if meta.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| owned(&entry.unwrap().path(), user));
    }
}
