//! Installations of OpenClaw, made as release 2026.9.6 was seen to keep them; a program with the gateway's name takes
//! its place. crates/front/cli/tests/openclaw.rs asks the program itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_database::rusqlite::Connection;
use keyroll_observe::process;
use keyroll_testkit::copy_program;

use crate::chains::scene::{NamedChain, Running, Scene, until};

const KEY: &str = "ACME_API_KEY";

/// A gateway's folder, with these providers, their keys, and more settings.
fn home(scene: &Scene, providers: &str, more: &str) {
    scene.write(
        ".openclaw/openclaw.json",
        &format!("{{ // by hand\n  \"models\": {{\"providers\": {{{providers}}}}},\n  {more}\"gateway\": {{}},\n}}\n"),
    );
}

fn database(scene: &Scene, profiles: &str, store: &str) {
    fs::create_dir_all(scene.path(".openclaw/state")).unwrap();
    let database = Connection::open(scene.path(".openclaw/state/openclaw.sqlite")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;\
             CREATE TABLE config_machine_state (state_key TEXT NOT NULL PRIMARY KEY, value_json TEXT NOT NULL, \
             updated_at_ms INTEGER NOT NULL) STRICT;\
             CREATE TABLE secret_store_entries (scope_kind TEXT NOT NULL, scope_id TEXT NOT NULL, name TEXT NOT NULL, \
             value TEXT NOT NULL, PRIMARY KEY (scope_kind, scope_id, name)) STRICT;",
        )
        .unwrap();
    let row = "INSERT INTO config_machine_state VALUES ('authProfiles.store', ?1, 1)";
    database.execute(row, [scene.filled(profiles)]).unwrap();
    let row = "INSERT INTO secret_store_entries VALUES ('team', '', 'STO_KEY', ?1)";
    database.execute(row, [scene.filled(store)]).unwrap();
    // The last write is only in the log.
    std::mem::forget(database);
}

/// A process with the gateway's name, and a lock that names it as the gateway.
fn gateway(scene: &Scene, change: impl FnOnce(&mut Command)) -> Running {
    let program = scene.path("openclaw-gateway");
    if !program.exists() {
        copy_program(Path::new("/bin/sleep"), &program);
    }
    let mut command = Command::new(program);
    command.arg("1000").current_dir(scene.path("work"));
    command.env_clear().env("OPENCLAW_STATE_DIR", scene.path(".openclaw"));
    change(&mut command);
    let running = Running::start(&mut command);
    let id = until("it runs", || process(running.pid()).ok()).id;
    scene.write(
        ".openclaw/tmp/openclaw-0/gateway.state.lock",
        &format!("{{\"pid\":{},\"role\":\"gateway\",\"startTime\":{}}}", id.pid, id.start_ticks),
    );
    running
}

fn of(all: &[NamedChain], name: &str) -> NamedChain {
    let found: Vec<&NamedChain> = all.iter().filter(|one| one.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {all:#?}");
    found[0].clone()
}

/// After an edit of the first one OpenClaw prints `config hot reload applied`.
#[test]
fn a_profile_wins_over_the_key_that_stands_in_the_settings() {
    let scene = Scene::new();
    home(&scene, "\"acme\": {\"apiKey\": \"{second}\"}", "");
    let chain = of(&scene.look(), "acme.apiKey");
    assert_eq!(chain.next, "second", "{chain:#?}");
    let profile =
        "{\"profiles\":{\"acme:default\":{\"type\":\"api_key\",\"provider\":\"acme\",\"key\":\"{first}\"}}}";
    database(&scene, profile, "{third}");
    let before = names(&scene);
    let chain = of(&scene.look(), "acme.apiKey");
    assert_eq!(chain.next, "first", "{chain:#?}");
    assert_eq!(
        chain.links,
        [
            "wins first OpenClaw: the profile acme:default",
            "shadowed second OpenClaw: apiKey of acme in openclaw.json"
        ]
    );
    assert_eq!(names(&scene), before, "nothing is written beside its database");
}

fn names(scene: &Scene) -> Vec<String> {
    let all = fs::read_dir(scene.path(".openclaw/state")).unwrap().flatten();
    let mut all: Vec<String> = all.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

#[test]
fn settings_of_which_parts_stand_in_other_files_are_named() {
    let scene = Scene::new();
    home(&scene, "\"acme\": {\"apiKey\": \"{first}\"}", "\"$include\": \"./more.json5\",");
    let survey = scene.survey();
    let named = survey.unseen.iter().find(|one| one.what.ends_with(".openclaw/openclaw.json"));
    assert!(named.is_some_and(|one| one.reason.contains("other files")), "{:?}", survey.unseen);
}

#[test]
fn references_lead_to_files_and_to_its_store_and_a_program_is_not_visible() {
    let scene = Scene::new();
    let by = |name: &str, source: &str, provider: &str, id: &str| {
        format!(
            "\"{name}\": {{\"apiKey\": {{\"source\":\"{source}\",\"provider\":\"{provider}\",\"id\":\"{id}\"}}}}"
        )
    };
    let providers = [
        by("one", "file", "whole", "value"),
        by("two", "file", "table", "/two/key"),
        by("three", "store", "default", "STO_KEY"),
        by("four", "exec", "run", "four"),
    ];
    let resolvers = "\"secrets\": {\"providers\": {\"whole\": {\"source\":\"file\",\"path\":\"@/one.key\",\"mode\":\"singleValue\"},\
                     \"table\": {\"source\":\"file\",\"path\":\"@/two.json\"},\"run\": {\"source\":\"exec\",\"command\":\"@/run\"}}},";
    home(&scene, &providers.join(", "), resolvers);
    scene.write("one.key", "{first}\n");
    scene.write("two.json", "{\"two\": {\"key\": \"{second}\"}}");
    database(&scene, "{\"profiles\":{}}", "{third}");
    let all = scene.look();
    for (name, next, link) in [
        ("one.apiKey", "first", "wins first OpenClaw: whole in @/one.key"),
        ("two.apiKey", "second", "wins second OpenClaw: table in @/two.json"),
        ("three.apiKey", "third", "wins third OpenClaw: STO_KEY in its store"),
    ] {
        let chain = of(&all, name);
        assert_eq!((chain.next.as_str(), &chain.links[..]), (next, &[link.to_owned()][..]), "{chain:#?}");
    }
    let survey = scene.survey();
    let chain = survey.services.iter().find_map(|one| one.chain("four.apiKey")).unwrap();
    assert!(chain.next().is_none() && chain.links.len() == 1, "{chain:?}");
    // No copy shows that it exists: it is named, so that nobody believes that there is none.
    let of_program = survey.unseen.iter().filter(|one| one.reason.contains("a program prints it"));
    let named: Vec<&str> = of_program.map(|one| one.what.as_str()).collect();
    assert!(matches!(named[..], [one] if one.starts_with("the key of four in ")), "{named:?}");
}

/// The export of the shell that started the gateway wins over `.env`, whatever is restarted inside the gateway.
#[test]
fn what_a_gateway_was_started_with_wins_over_its_dotenv() {
    let scene = Scene::new();
    home(&scene, &format!("\"acme\": {{\"apiKey\": \"${{{KEY}}}\"}}"), "");
    scene.write(".openclaw/.env", &format!("{KEY}={{second}}\n"));
    fs::create_dir_all(scene.path("work")).unwrap();
    let running = gateway(&scene, |_| {});
    let chain = scene.chain_of(running.pid(), KEY);
    assert_eq!(chain.next, "second", "{chain:#?}");
    let live = format!("live sessions and sub-agents of OpenClaw's gateway {} (its agent)", running.pid());
    assert!(scene.survey().unseen.iter().any(|one| one.what == live), "they are named");
    drop(running);
    // It does not run: its next start environment is not visible.
    let chain = of(&scene.look(), KEY);
    assert_eq!(chain.next, "-", "{chain:#?}");
    let first = scene.value("first").to_owned();
    let running = gateway(&scene, |command| {
        command.env(KEY, first);
    });
    let chain = scene.chain_of(running.pid(), KEY);
    let start = format!("not visible first what OpenClaw's gateway {} was started with", running.pid());
    assert!(chain.next == "-" && chain.links[0] == start, "{chain:#?}");
    assert_eq!(chain.links[1], format!("wins second OpenClaw: {KEY} in @/.openclaw/.env"), "{chain:#?}");
    drop(running);
    // `.env` of its working folder is read before its own.
    scene.write("work/.env", &format!("{KEY}={{third}}\n"));
    let running = gateway(&scene, |_| {});
    let chain = scene.chain_of(running.pid(), KEY);
    assert!(chain.next == "-", "{chain:#?}");
    assert_eq!(chain.links[0], format!("not visible third OpenClaw: {KEY} in @/work/.env"), "{chain:#?}");
}
