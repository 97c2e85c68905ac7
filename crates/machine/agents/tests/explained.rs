//! Homes made as the programs' documentation describes them: which keys are found, which source wins, and that no value
//! is shown.

use std::fs;
use std::path::Path;

use keyroll_agents::{AgentLink, AgentLinkRole, Explained, explained};
use keyroll_testkit::alphanumeric;
use rusqlite::Connection;
use tempfile::TempDir;

fn value() -> String {
    format!("sk-{}", alphanumeric(40))
}

fn put(home: &Path, path: &str, text: &str) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The explained keys, with programs that were started with these variables.
fn all(home: &TempDir, started: &[&str]) -> Vec<Explained> {
    let folder = home.path().join("project");
    explained(home.path(), Some(&folder), &|_| None, &|name| started.contains(&name))
}

fn roles(one: &Explained) -> Vec<AgentLinkRole> {
    one.links.iter().map(|link| link.role).collect()
}

/// No value is in anything that is shown.
fn shows_none(found: &[Explained], values: &[&str]) {
    let shown = format!("{found:?}");
    assert!(values.iter().all(|value| !shown.contains(value)), "{shown}");
}

fn what(link: &AgentLink) -> &str {
    &link.what
}

use AgentLinkRole::{NotRead, NotVisible, Shadowed, Wins};

#[test]
fn claude_code_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let (key, token, login) = (value(), value(), value());
    put(home.path(), ".claude/settings.json", &format!("{{\"env\": {{\"ANTHROPIC_API_KEY\": \"{key}\"}}}}"));
    put(
        home.path(),
        "project/.claude/settings.local.json",
        &format!(
            "{{\"env\": {{\"ANTHROPIC_AUTH_TOKEN\": \"{token}\"}}, \"apiKeyHelper\": \"/usr/local/bin/key\"}}"
        ),
    );
    let login_file = format!("{{\"claudeAiOauth\": {{\"accessToken\": \"{login}\", \"expiresAt\": 1}}}}");
    put(home.path(), ".claude/.credentials.json", &login_file);
    let found = all(&home, &["ANTHROPIC_API_KEY"]);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(roles(one), [Wins, Shadowed, Shadowed, Shadowed, Shadowed], "{one:?}");
    assert!(what(&one.links[0]).starts_with("env.ANTHROPIC_AUTH_TOKEN of"), "a token wins over a key");
    assert!(what(&one.links[1]).starts_with("env.ANTHROPIC_API_KEY of"), "settings before the environment");
    assert!(what(&one.links[2]).contains("environment that it was started with"));
    assert!(what(&one.links[3]).contains("apiKeyHelper"));
    assert!(what(&one.links[4]).contains(".credentials.json"));
    shows_none(&found, &[&key, &token, &login]);
    put(home.path(), ".claude/.credentials.json", "{\"other\": 1}");
    let found = all(&home, &[]);
    assert!(matches!(found[0].links.last().unwrap().role, NotVisible(_)));
}

#[test]
fn codex_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let (key, token) = (value(), value());
    let stored = format!("{{\"OPENAI_API_KEY\": \"{key}\", \"tokens\": null, \"last_refresh\": null}}");
    put(home.path(), ".codex/auth.json", &stored);
    let provider = format!(
        "[model_providers.own]\nbase_url = \"http://127.0.0.1:1/v1\"\nenv_key = \"OWN_KEY\"\n\
         [model_providers.bare]\nexperimental_bearer_token = \"{token}\"\n"
    );
    put(home.path(), ".codex/config.toml", &provider);
    let found = all(&home, &["CODEX_API_KEY"]);
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["openai", "bare", "own"]);
    assert_eq!(roles(&found[0]), [Wins, Shadowed]);
    assert_eq!(roles(&found[1]), [Wins]);
    assert!(matches!(found[2].links[0].role, NotVisible(_)), "no session has it");
    shows_none(&found, &[&key, &token]);
    let found = all(&home, &["OWN_KEY"]);
    assert_eq!(roles(&found[2]), [Wins]);
    // With the keyring the file is not read, and the keyring's content is not visible.
    put(home.path(), ".codex/config.toml", "cli_auth_credentials_store = \"keyring\"\n");
    let found = all(&home, &[]);
    assert_eq!(roles(&found[0]), [NotRead, NotVisible("it is encrypted")]);
}

#[test]
fn hermes_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let (one, two, three, four) = (value(), value(), value(), value());
    put(
        home.path(),
        ".hermes/.env",
        &format!("OPENROUTER_API_KEY={one}\nTELEGRAM_BOT_TOKEN={two}\nLOG=info\nEMPTY_API_KEY=\n"),
    );
    let pool = format!(
        "{{\"credential_pool\": {{\"openrouter\": [{{\"id\": \"a\", \"api_key\": \"{three}\"}}, {{\"id\": \"b\", \"api_key\": \"{four}\"}}]}}}}"
    );
    put(home.path(), ".hermes/auth.json", &pool);
    put(
        home.path(),
        ".hermes/config.yaml",
        &format!("model:\n  api_key: ${{OTHER}}\ncustom_providers:\n- name: own\n  api_key: {two}\n"),
    );
    let found = all(&home, &["TELEGRAM_BOT_TOKEN"]);
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["OPENROUTER_API_KEY", "TELEGRAM_BOT_TOKEN", "openrouter", "own"]);
    assert_eq!(roles(&found[0]), [Wins]);
    assert!(matches!(roles(&found[1]).as_slice(), [NotVisible(_), Shadowed]), "an export may win");
    assert_eq!(found[2].links.len(), 2);
    assert!(found[2].links.iter().all(|link| matches!(link.role, NotVisible(_))), "they take turns");
    shows_none(&found, &[&one, &two, &three, &four]);
    put(home.path(), ".hermes/auth.json", "{broken");
    let found = all(&home, &[]);
    assert!(found.iter().any(|one| one.name == "auth.json"), "what is not understood is named");
}

#[test]
fn n8n_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let (key, sealed) = (value(), value());
    put(home.path(), ".n8n/config", &format!("{{\"encryptionKey\": \"{key}\"}}"));
    let path = home.path().join(".n8n/database.sqlite");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE credentials_entity (id varchar(36) PRIMARY KEY, name varchar(128), data text, type varchar(128));",
        )
        .unwrap();
    database
        .execute("INSERT INTO credentials_entity VALUES ('Xa1', 'my OpenAI', ?1, 'openAiApi')", [&sealed])
        .unwrap();
    drop(database);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let found = all(&home, &[]);
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["my OpenAI", "encryption key"]);
    assert_eq!(roles(&found[0]), [NotVisible("it is encrypted")]);
    assert!(what(&found[0].links[0]).contains("openAiApi"));
    shows_none(&found, &[&key, &sealed]);
    assert_eq!(all(&home, &["CREDENTIALS_OVERWRITE_DATA"])[0].links.len(), 2);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    let beside: Vec<_> = fs::read_dir(home.path().join(".n8n")).unwrap().flatten().collect();
    assert_eq!(beside.len(), 2, "nothing was made beside it: {beside:?}");
    // A database in another form is named, and nothing is guessed.
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let found = all(&home, &[]);
    assert!(matches!(found[0].links[0].role, NotVisible(why) if why.contains("another form")));
    fs::write(&path, "no database").unwrap();
    assert!(matches!(all(&home, &[])[0].links[0].role, NotVisible(_)));
}

#[test]
fn open_webui_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let key = value();
    let path = home.path().join("project/data/webui.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch("CREATE TABLE config (id INTEGER PRIMARY KEY, data JSON NOT NULL, version INTEGER, created_at, updated_at)")
        .unwrap();
    // Before anything was saved, the environment is read.
    let found = all(&home, &["OPENAI_API_KEY"]);
    assert_eq!(roles(&found[0]), [Wins]);
    let data =
        format!("{{\"version\": 0, \"openai\": {{\"api_base_urls\": [\"x\"], \"api_keys\": [\"{key}\"]}}}}");
    database.execute("INSERT INTO config VALUES (1, ?1, 0, 0, 0)", [&data]).unwrap();
    drop(database);
    let found = all(&home, &["OPENAI_API_KEY"]);
    assert_eq!(roles(&found[0]), [Wins, NotRead], "a decoy: {found:?}");
    assert!(found[0].links[1].seems.is_some_and(|seems| seems.contains("restart")));
    let told = |name: &str| (name == "ENABLE_PERSISTENT_CONFIG").then(|| "False".to_owned());
    let folder = home.path().join("project");
    let found = explained(home.path(), Some(&folder), &told, &|name| name == "OPENAI_API_KEY");
    assert_eq!(roles(&found[0]), [Wins, Shadowed]);
    assert!(what(&found[0].links[0]).contains("environment"));
    shows_none(&found, &[&key]);
}

/// A link that the kernel would follow out of any root, in place of a link that begins at another root than this
/// machine's.
#[test]
fn behind_the_root_of_a_process_no_link_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    put(&path, "other/.codex/auth.json", &format!("{{\"OPENAI_API_KEY\": \"{}\"}}", value()));
    fs::create_dir_all(path.join("other/.n8n")).unwrap();
    let database = Connection::open(path.join("other/.n8n/database.sqlite")).unwrap();
    let rows = "CREATE TABLE credentials_entity (id, name, type); INSERT INTO credentials_entity VALUES (1, 'n', 't');";
    database.execute_batch(rows).unwrap();
    fs::create_dir(path.join("home")).unwrap();
    let below = Path::new("/proc")
        .join(std::process::id().to_string())
        .join("root")
        .join(path.strip_prefix("/").unwrap());
    for name in [".codex", ".n8n"] {
        std::os::unix::fs::symlink(below.join("other").join(name), path.join("home").join(name)).unwrap();
    }
    let read = |home: &Path| -> Vec<&str> {
        let found = explained(home, None, &|_| None, &|_| false);
        let read = |one: &Explained| one.links.iter().any(|link| link.slot.is_some());
        found.iter().filter(|one| read(one)).map(|one| one.agent).collect()
    };
    assert_eq!(read(&below.join("other")), ["Codex", "n8n"]);
    assert_eq!(read(&below.join("home")), [""; 0]);
}
