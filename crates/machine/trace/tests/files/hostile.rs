use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use keyroll_database::rusqlite::Connection;
use keyroll_trace::{Options, Place, survey};

use super::{Home, generated, key, of, why};

#[test]
fn a_database_that_computes_endlessly_is_read_and_costs_nothing() {
    let home = Home::new();
    let value = generated();
    for (name, filled) in [("small.db", 1), ("large.db", 17 << 20)] {
        let open = Connection::open(home.at(name)).unwrap();
        open.execute_batch("CREATE TABLE settings (key TEXT, value TEXT);").unwrap();
        open.execute("INSERT INTO settings VALUES ('api_key', ?1)", [&value]).unwrap();
        open.execute("INSERT INTO settings VALUES ('fills', ?1)", ["x".repeat(filled)]).unwrap();
        open.execute_batch(
            "ALTER TABLE settings ADD COLUMN grows AS (hex(zeroblob(400000000)));
             CREATE VIEW endless AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT a FROM n;",
        )
        .unwrap();
    }
    // With this limit of memory and of processor time.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000; ulimit -t 300; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "files::hostile::look_at_what_computes_endlessly", "--ignored", "--nocapture"]);
    let told =
        command.env("KEYROLL_TEST_HOME", home.at("")).env("KEYROLL_TEST_VALUE", &value).output().unwrap();
    assert!(told.status.success(), "{}: {}", told.status, String::from_utf8_lossy(&told.stderr));
    assert!(String::from_utf8_lossy(&told.stdout).contains("1 passed"));
}

#[test]
#[ignore = "run by a_database_that_computes_endlessly_is_read_and_costs_nothing"]
fn look_at_what_computes_endlessly() {
    let home = PathBuf::from(std::env::var_os("KEYROLL_TEST_HOME").unwrap());
    let value = std::env::var("KEYROLL_TEST_VALUE").unwrap();
    let survey =
        survey(&Options { roots: vec![home.clone()], wait: Duration::from_secs(300) }, key()).unwrap();
    for name in ["small.db", "large.db"] {
        let path = home.join(name);
        let row = Place::Row {
            path: path.clone(),
            table: "settings".to_owned(),
            column: "value".to_owned(),
            row: 1,
        };
        assert!(of(&survey, &value).into_iter().any(|one| one.place == row), "{name}: {:?}", survey.unseen);
        assert_eq!(why(&survey, &path), "");
    }
}
