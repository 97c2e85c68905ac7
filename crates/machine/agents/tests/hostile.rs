//! Databases of agents with a hostile author: explaining them ends, in bounded memory, and unread parts are reported.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_agents::{AgentLinkRole, Explained, OpenClawHome, explained};
use keyroll_testkit::limited;
use rusqlite::Connection;

const N8N: &str = ".n8n/database.sqlite";
const OPEN_WEBUI: &str = ".open-webui/webui.db";
const STATE: &str = ".openclaw/state/openclaw.sqlite";
const AGENT: &str = ".openclaw/agents/main/agent/openclaw-agent.sqlite";

/// Each database with its table and the columns that are read.
const READ: [(&str, &str, [&str; 3]); 4] = [
    (N8N, "credentials_entity", ["id", "name", "type"]),
    (OPEN_WEBUI, "config", ["id", "data", "more"]),
    (STATE, "config_machine_state", ["state_key", "value_json", "more"]),
    (AGENT, "auth_profile_state", ["state_key", "state_json", "more"]),
];

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (path, _, _) in READ {
        fs::create_dir_all(home.path().join(path).parent().unwrap()).unwrap();
    }
    let settings =
        "{\"models\":{\"providers\":{\"p\":{\"baseUrl\":\"http://127.0.0.1:1\",\"apiKey\":\"${P_KEY}\"}}}}";
    fs::write(home.path().join(".openclaw/openclaw.json"), settings).unwrap();
    home
}

/// The explained keys of n8n and of Open WebUI; OpenClaw's databases must be refused.
fn unseen(home: &Path) -> Vec<Explained> {
    let claw = OpenClawHome::at(home.join(".openclaw"));
    assert!(claw.cool_downs("p", 0).is_err());
    let bound = claw.bound("p", None).unwrap();
    assert!(bound.chain.iter().any(|link| matches!(link.role, AgentLinkRole::NotVisible(_))), "{bound:?}");
    explained(home, None, &|_| None, &|_| false)
}

#[test]
fn endless_views_and_computed_columns_end() {
    limited("hostile::look_at_views_and_computed_columns");
}

#[test]
#[ignore = "run by endless_views_and_computed_columns_end"]
fn look_at_views_and_computed_columns() {
    let views = home();
    for (path, table, [one, two, three]) in READ {
        let sql = format!(
            "CREATE VIEW {table} ({one}, {two}, {three}) AS WITH RECURSIVE n(a) AS
             (SELECT 'primary' UNION ALL SELECT a FROM n) SELECT a, a, a FROM n WHERE a = '';"
        );
        Connection::open(views.path().join(path)).unwrap().execute_batch(&sql).unwrap();
    }
    let found = unseen(views.path());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| matches!(one.links.as_slice(), [link] if link.role ==
        AgentLinkRole::NotVisible("its database has another form than its documentation describes"))));
    let grown = home();
    for (path, table, [one, two, three]) in READ {
        let sql = format!(
            "CREATE TABLE {table} ({one} TEXT, {three} TEXT);
             INSERT INTO {table} ({one}) VALUES ('primary'), ('authProfiles.store');
             ALTER TABLE {table} ADD COLUMN {two} AS (hex(zeroblob(400000000)));"
        );
        Connection::open(grown.path().join(path)).unwrap().execute_batch(&sql).unwrap();
    }
    assert_eq!(
        unseen(grown.path()),
        found.iter().map(|one| at(one, views.path(), grown.path())).collect::<Vec<_>>()
    );
}

/// The same key in another home.
fn at(one: &Explained, here: &Path, there: &Path) -> Explained {
    let mut one = one.clone();
    for link in &mut one.links {
        link.what = link.what.replace(here.to_str().unwrap(), there.to_str().unwrap());
        link.file = link.file.as_ref().map(|file| there.join(file.strip_prefix(here).unwrap()));
    }
    one
}

#[test]
fn pipes_keep_nobody_waiting() {
    limited("hostile::look_at_pipes");
}

#[test]
#[ignore = "run by pipes_keep_nobody_waiting"]
fn look_at_pipes() {
    let pipes = home();
    for (path, _, _) in READ {
        assert!(Command::new("mkfifo").arg(pipes.path().join(path)).status().unwrap().success());
    }
    // For n8n and Open WebUI there is no database at all.
    assert_eq!(unseen(pipes.path()), []);
    let beside = home();
    for (path, table, [one, two, three]) in READ {
        let path = beside.path().join(path);
        let sql = format!(
            "CREATE TABLE {table} ({one}, {two}, {three}); INSERT INTO {table} VALUES ('a', 'b', 'c');"
        );
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        for end in ["-wal", "-journal"] {
            let pipe = format!("{}{end}", path.display());
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
    }
    assert_eq!(unseen(beside.path()).len(), 2);
}

#[test]
fn what_only_the_log_has_is_seen_and_nothing_is_made_beside_it() {
    let home = home();
    let path = home.path().join(AGENT);
    let open = Connection::open(&path).unwrap();
    open.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE auth_profile_state (state_key TEXT PRIMARY KEY, state_json TEXT);",
    )
    .unwrap();
    let json = "{\"usageStats\":{\"inline-api-key:p\":{\"cooldownUntil\":2000,\"cooldownReason\":\"auth\"}}}";
    open.execute("INSERT INTO auth_profile_state VALUES ('primary', ?1)", [json]).unwrap();
    let claw = OpenClawHome::at(home.path().join(".openclaw"));
    assert_eq!(claw.cool_downs("p", 1000).unwrap().len(), 1);
    // A crash leaves a log without its index.
    let copy = home.path().join(".openclaw/agents/other/agent");
    fs::create_dir_all(&copy).unwrap();
    for name in ["openclaw-agent.sqlite", "openclaw-agent.sqlite-wal"] {
        fs::copy(path.with_file_name(name), copy.join(name)).unwrap();
    }
    assert_eq!(claw.cool_downs("p", 1000).unwrap().len(), 2);
    assert_eq!(fs::read_dir(&copy).unwrap().count(), 2);
}
