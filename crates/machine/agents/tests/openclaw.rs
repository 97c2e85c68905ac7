//! Which of several sources a gateway takes a key from, and what applies a new one. The files have the form that
//! OpenClaw 2026.9.6 reads and writes.

use std::collections::BTreeSet;
use std::fs;

use keyroll_agents::{AgentLinkRole, AgentSlot, Bound, KeySource, OpenClawHome, Started, Takes};
use rusqlite::Connection;
use tempfile::TempDir;

/// A value of this run.
fn value(name: &str) -> String {
    format!("sk-{name}-{:016x}", std::process::id())
}

/// A state folder, with the key of `p` in this form.
fn home(api_key: &str, more: &str) -> (TempDir, OpenClawHome) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "// of a person\n{{\"gateway\":{{\"port\":18801,\"auth\":{{\"token\":\"{}\"}},}},{more}\n\
         \"models\":{{\"providers\":{{\"p\":{{\"baseUrl\":\"http://127.0.0.1:1\",\"apiKey\":{api_key}}}}}}},}}\n",
        value("gateway")
    );
    fs::write(folder.path().join("openclaw.json"), text).unwrap();
    let home = OpenClawHome::at(folder.path());
    (folder, home)
}

fn profiles(home: &OpenClawHome, json: &str) {
    fs::create_dir_all(home.state.join("state")).unwrap();
    let database = Connection::open(home.state.join("state/openclaw.sqlite")).unwrap();
    let table = "CREATE TABLE config_machine_state (state_key TEXT NOT NULL PRIMARY KEY, value_json TEXT NOT NULL, \
                 updated_at_ms INTEGER NOT NULL) STRICT";
    database.execute(table, []).unwrap();
    let row = "INSERT INTO config_machine_state VALUES ('authProfiles.store', ?1, 1)";
    database.execute(row, [json]).unwrap();
}

fn bound(home: &OpenClawHome, started_with: &[&str]) -> Bound {
    let names: BTreeSet<String> = started_with.iter().map(|name| (*name).to_owned()).collect();
    home.bound("p", Some(&Started { names: Some(names), folder: None })).unwrap()
}

#[test]
fn a_literal_key_is_read_by_itself_unless_a_profile_wins_over_it() {
    let (_folder, home) = home(&format!("\"{}\"", value("p")), "");
    let found = bound(&home, &[]);
    assert_eq!((&found.source, &found.takes), (&KeySource::Literal, &Takes::Itself));
    assert_eq!(found.slot, Some(AgentSlot::Pointer("/models/providers/p/apiKey".to_owned())));
    let key = value("profile");
    profiles(
        &home,
        &format!(
            "{{\"version\":1,\"profiles\":{{\"p:default\":{{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"{key}\"}}}}}}"
        ),
    );
    let found = bound(&home, &[]);
    assert_eq!(found.takes, Takes::Profile("p:default".to_owned()));
    assert_eq!(found.chain.last().map(|link| link.role), Some(AgentLinkRole::Shadowed));
    assert!(!format!("{found:?}").contains(&key), "no key is held");
}

#[test]
fn a_profile_of_another_provider_wins_over_nothing_and_one_of_another_form_is_not_visible() {
    let (_folder, home) = home(&format!("\"{}\"", value("p")), "");
    profiles(&home, "{\"profiles\":{\"q:default\":{\"provider\":\"q\"}}}");
    assert_eq!(bound(&home, &[]).source, KeySource::Literal);
    let (_folder, home) = self::home(&format!("\"{}\"", value("p")), "");
    profiles(&home, "[]");
    let found = bound(&home, &[]);
    assert!(matches!(found.chain.first().unwrap().role, AgentLinkRole::NotVisible(_)), "{found:?}");
}

/// Each profile may belong to another account: none of them is chosen by its name.
#[test]
fn several_profiles_of_a_provider_are_told_unless_the_settings_name_one() {
    let two = "{\"profiles\":{\"p:default\":{\"provider\":\"p\"},\"p:manual\":{\"provider\":\"p\"}}}";
    for form in [format!("\"{}\"", value("p")), "\"\"".to_owned()] {
        let (_folder, home) = home(&form, "");
        profiles(&home, two);
        let error = home.bound("p", None).unwrap_err().to_string();
        assert!(error.contains("p:default, p:manual") && !error.contains(&value("p")), "{error}");
    }
    let (_folder, home) = self::home("\"p:manual\"", "");
    profiles(&home, two);
    assert_eq!(bound(&home, &[]).takes, Takes::Profile("p:manual".to_owned()));
}

#[test]
fn a_variable_is_taken_from_the_start_then_from_dotenv_then_from_the_settings() {
    let more = format!(
        "\"env\":{{\"vars\":{{\"P_KEY\":\"{}\"}},\"shellEnv\":{{\"enabled\":false}}}},",
        value("vars")
    );
    let forms =
        ["\"${P_KEY}\"", "\"$P_KEY\"", "{\"source\":\"env\",\"provider\":\"default\",\"id\":\"P_KEY\"}"];
    for form in forms {
        let (_folder, home) = home(form, &more);
        let found = bound(&home, &[]);
        assert_eq!((&found.takes, found.chain.len()), (&Takes::InPlace, 1), "{form}");
        assert_eq!(found.slot, Some(AgentSlot::Pointer("/env/vars/P_KEY".to_owned())));
        fs::write(home.dotenv(), format!("# P_KEY=no\nexport P_KEY={}\n", value("dotenv"))).unwrap();
        let found = bound(&home, &["PATH"]);
        assert_eq!((&found.takes, &found.file), (&Takes::Restart, &Some(home.dotenv())), "{form}");
        let found = bound(&home, &["PATH", "P_KEY"]);
        assert_eq!((&found.takes, &found.file), (&Takes::Restart, &None), "{form}");
        let role: Vec<AgentLinkRole> = found.chain.iter().map(|link| link.role).collect();
        assert_eq!(role, [AgentLinkRole::Wins, AgentLinkRole::Shadowed, AgentLinkRole::Shadowed], "{form}");
        // It does not run: its future start environment is not visible, and may win.
        let found = home.bound("p", None).unwrap();
        assert!(matches!(found.chain.first().unwrap().role, AgentLinkRole::NotVisible(_)), "{found:?}");
    }
}

/// The release's own documentation describes each of these: the folder that the gateway works in, and the file of a
/// service that OpenClaw installed, may win over OpenClaw's own file.
#[test]
fn what_may_win_over_its_own_file_is_named_before_it() {
    let (_folder, home) = home("\"${P_KEY}\"", "");
    fs::write(home.dotenv(), format!("P_KEY={}\n", value("dotenv"))).unwrap();
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join(".env"), "OTHER=1\n").unwrap();
    let bound = |names: &[&str]| {
        let names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        home.bound("p", Some(&Started { names, folder: Some(work.path().to_owned()) })).unwrap()
    };
    assert_eq!(bound(&[]).chain.len(), 1, "the file beside it says nothing of the variable");
    fs::write(work.path().join(".env"), format!("P_KEY={}\n", value("beside"))).unwrap();
    let found = bound(&[]);
    assert_eq!(found.chain[0].file, Some(work.path().join(".env")));
    assert!(matches!(found.chain[0].role, AgentLinkRole::NotVisible(_)), "{found:?}");
    assert_eq!((found.chain[1].role, &found.file), (AgentLinkRole::Wins, &Some(home.dotenv())));
    fs::write(work.path().join(".env"), "").unwrap();
    let found = bound(&["P_KEY", "OPENCLAW_SERVICE_MANAGED_ENV_KEYS"]);
    assert!(matches!(found.chain[0].role, AgentLinkRole::NotVisible(_)), "{found:?}");
    assert_eq!(found.file, Some(home.dotenv()));
}

/// A user may put a pipe, or an endless device, where another user's keyroll looks for variables.
#[test]
fn a_file_of_variables_that_is_none_is_not_visible_and_nobody_waits_for_it() {
    let (_folder, home) = home("\"${P_KEY}\"", "");
    let work = tempfile::tempdir().unwrap();
    let pipe = work.path().join(".env");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", home.dotenv()).unwrap();
    let (told, says) = std::sync::mpsc::channel();
    let folder = Some(work.path().to_owned());
    std::thread::spawn(move || {
        let started = Started { names: Some(BTreeSet::new()), folder };
        drop(told.send(home.bound("p", Some(&started)).map_err(|error| error.to_string())));
    });
    let found = says.recv_timeout(std::time::Duration::from_secs(120)).expect("an answer").unwrap();
    assert_eq!(found.chain.len(), 2, "{found:?}");
    assert!(found.chain.iter().all(|link| matches!(link.role, AgentLinkRole::NotVisible(_))), "{found:?}");
}

#[test]
fn references_say_where_they_lead_and_by_which_verb() {
    let more = "\"secrets\":{\"providers\":{\"one\":{\"source\":\"file\",\"path\":\"/k/one.key\",\"mode\":\"singleValue\"},\
                \"all\":{\"source\":\"file\",\"path\":\"/k/all.json\"},\"run\":{\"source\":\"exec\",\"command\":\"/k/run\"}}},";
    let of = |source: &str, resolver: &str, id: &str| {
        let form = format!("{{\"source\":\"{source}\",\"provider\":\"{resolver}\",\"id\":\"{id}\"}}");
        let (folder, home) = home(&form, more);
        let found = home.bound("p", None).map_err(|error| error.to_string());
        drop(folder);
        found
    };
    let one = of("file", "one", "value").unwrap();
    assert_eq!((one.takes, one.slot), (Takes::Reload, Some(AgentSlot::Whole)));
    let all = of("file", "all", "/p/key").unwrap();
    assert_eq!((all.takes, all.slot), (Takes::Reload, Some(AgentSlot::Pointer("/p/key".to_owned()))));
    assert_eq!(of("exec", "run", "p/key").unwrap().takes, Takes::Reload);
    assert_eq!(of("store", "default", "P_KEY").unwrap().takes, Takes::Store("P_KEY".to_owned()));
    assert!(of("file", "none", "value").unwrap_err().contains("names no file"));
    assert!(of("vault", "one", "value").unwrap_err().contains("does not know"));
}

#[test]
fn settings_of_another_form_are_an_error_without_a_word_of_them() {
    let secret = value("torn");
    let (_folder, home) = home(&format!("\"{secret}\", \"apiKey\": [\"{secret}\"]"), "");
    let error = home.bound("p", None).unwrap_err().to_string();
    assert!(error.contains("line") && !error.contains(&secret), "{error}");
    let (_folder, home) = self::home(&format!("\"{secret}\""), "");
    let error = home.bound("q", None).unwrap_err().to_string();
    assert!(error.contains("it has p") && !error.contains(&secret), "{error}");
}

#[test]
fn cool_downs_of_a_provider_are_seen_per_agent_and_only_while_they_last() {
    let (_folder, home) = home(&format!("\"{}\"", value("p")), "");
    for agent in ["main", "other"] {
        let folder = home.state.join("agents").join(agent).join("agent");
        fs::create_dir_all(&folder).unwrap();
        let database = Connection::open(folder.join("openclaw-agent.sqlite")).unwrap();
        let table = "CREATE TABLE auth_profile_state (state_key TEXT NOT NULL PRIMARY KEY, state_json TEXT NOT NULL, \
                     updated_at INTEGER NOT NULL) STRICT";
        database.execute(table, []).unwrap();
        let json = "{\"version\":1,\"usageStats\":{\"inline-api-key:p\":{\"errorCount\":1,\"cooldownUntil\":2000,\
                    \"cooldownReason\":\"auth\"},\"p:manual\":{\"disabledUntil\":900,\"disabledReason\":\"billing\"},\
                    \"inline-api-key:q\":{\"cooldownUntil\":9000}}}";
        database.execute("INSERT INTO auth_profile_state VALUES ('primary', ?1, 1)", [json]).unwrap();
    }
    let found = home.cool_downs("p", 1000).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found
            .iter()
            .all(|one| one.id == "inline-api-key:p" && one.until_unix_ms == 2000 && one.reason == "auth")
    );
    assert_eq!(home.cool_downs("p", 2000).unwrap(), []);
    assert_eq!(home.cool_downs("p", 800).unwrap().len(), 4);
}

/// A process that counts as a helper may keep an old key: only scripts of the package itself are helpers.
#[test]
fn a_helper_is_a_script_of_the_package_of_the_program_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let package = folder.join("openclaw");
    for script in ["openclaw/dist/process/worker.js", "openclaw/dist/entry.js", "other/openclaw/worker.js"] {
        let path = folder.join(script);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let program = package.join("openclaw.mjs");
    let is = |script: &str| {
        let script = folder.join(script);
        OpenClawHome::is_helper(&program, script.to_str().unwrap().as_bytes())
    };
    assert!(!is("openclaw/dist/process/worker.js"), "where the package ends is not known");
    fs::write(package.join("package.json"), "{}").unwrap();
    assert!(is("openclaw/dist/process/worker.js"));
    assert!(!is("openclaw/dist/entry.js") && !is("openclaw/dist/none/worker.js"));
    assert!(!is("other/openclaw/worker.js") && !is("openclaw/dist/../../other/openclaw/worker.js"));
    std::os::unix::fs::symlink(folder.join("other/openclaw/worker.js"), package.join("dist/worker.js"))
        .unwrap();
    assert!(!is("openclaw/dist/worker.js"), "it leads out of the package");
}
