//! The server's own log: rotation, lost lines, and the rights that reading it needs.

use std::os::unix::fs::MetadataExt as _;

use crate::postgres::stage::{Names, Stage, field, id};
use keyroll_logins::postgres::{Options, Postgres};
use keyroll_port::{Class, Issuer, RefusalLog};
use keyroll_testkit::{Deadline, alphanumeric, until};

const CSV: [&str; 3] =
    ["logging_collector=on", "log_destination=csvlog", "log_filename=server-%Y-%m-%d_%H%M%S"];

async fn stage(settings: &[&str]) -> Option<Stage> {
    Stage::with(Names::default(), "the server's own log", settings).await
}

/// A refused login as the present role, by somebody else.
async fn use_it(stage: &Stage) {
    let (user, password) = (field(&stage.current, "user"), field(&stage.current, "password"));
    let refused = stage.server.connect(&user, &password, "orders").await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28000");
    stage.recorded().await;
}

/// The server begins another file of its log.
async fn rotate(stage: &Stage) {
    let current = "SELECT pg_current_logfile('csvlog')";
    let before = stage.text(current).await;
    let another = || async {
        stage.sql("SELECT pg_rotate_logfile()").await;
        (stage.text(current).await != before).then_some(())
    };
    until(Deadline::seconds(60), another).await.unwrap();
}

async fn count(stage: &Stage, mark: &str) -> Result<usize, &'static str> {
    stage.issuer.refusals(&stage.current, mark).await.map(|found| found.len()).map_err(|failure| {
        assert_eq!(failure.class, Class::Retryable, "{failure:?}");
        failure.code.as_str()
    })
}

#[tokio::test]
async fn the_log_is_followed_through_its_rotations() {
    let Some(stage) = stage(&CSV).await else { return };
    let mark = stage.issuer.mark_refusals(&stage.current).await.unwrap();
    stage.issuer.disable(id(&stage.current)).await.unwrap();
    assert_eq!(count(&stage, &mark).await, Ok(0));
    use_it(&stage).await;
    rotate(&stage).await;
    use_it(&stage).await;
    rotate(&stage).await;
    use_it(&stage).await;
    assert_eq!(count(&stage, &mark).await, Ok(3));
    // Another driver, which has read nothing yet.
    let later = stage.issuer_as("postgres", stage.server.password());
    assert_eq!(later.refusals(&stage.current, &mark).await.unwrap().len(), 3);
    // A wrong password is no use of the disabled credential.
    assert!(stage.server.connect("orders", "wrong", "orders").await.is_err());
    stage.recorded().await;
    assert_eq!(count(&stage, &mark).await, Ok(3));
}

#[tokio::test]
async fn lines_that_are_lost_are_not_none() {
    let Some(stage) = stage(&CSV).await else { return };
    let mark = stage.issuer.mark_refusals(&stage.current).await.unwrap();
    stage.issuer.disable(id(&stage.current)).await.unwrap();
    let file = stage.text("SELECT pg_current_logfile('csvlog')").await.unwrap();
    let path = stage.server.log_folder().join(file.rsplit('/').next().unwrap());
    let before = std::fs::metadata(&path).unwrap().size();
    rotate(&stage).await;
    // At least as long as before, with other lines: the file's name was reused.
    std::fs::write(&path, "x".repeat(usize::try_from(before).unwrap() + 100)).unwrap();
    assert_eq!(count(&stage, &mark).await, Err("K0116"));
    std::fs::write(&path, "").unwrap();
    assert_eq!(count(&stage, &mark).await, Err("K0116"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(count(&stage, &mark).await, Err("K0116"));
}

/// As on Debian: the server's stderr goes to a file that the server does not know.
#[tokio::test]
async fn a_log_that_the_server_does_not_collect_is_read_where_the_configuration_names_it() {
    let Some(stage) = stage(&[]).await else { return };
    let RefusalLog::NotVisible { help, .. } = stage.issuer.sees_refusals(&stage.current).await else {
        panic!("it is not named")
    };
    assert!(help.contains("name its file with `log`"), "{help}");
    let path = stage.server.log_file().display().to_string();
    let named = |log: &str, user: &str, password: &str| {
        let options = crate::postgres::stage::options(stage.server.port(), &stage.names, user, password);
        Postgres::new(Options { log: Some(log.to_owned()), ..options }).unwrap()
    };
    let issuer = named(&path, "postgres", stage.server.password());
    let read = RefusalLog::Read { place: format!("PostgreSQL's log {path}"), lag_ms: 0 };
    assert_eq!(issuer.sees_refusals(&stage.current).await, read);
    let other = named("/nothing/there.log", "postgres", stage.server.password());
    assert!(matches!(other.sees_refusals(&stage.current).await, RefusalLog::NotVisible { .. }));

    // A log that exists and can be read, but belongs to another server.
    let stale = format!("{path}.1");
    std::fs::write(&stale, std::fs::read(&path).unwrap()).unwrap();
    let other = named(&stale, "postgres", stage.server.password());
    let RefusalLog::NotVisible { why, .. } = other.sees_refusals(&stage.current).await else {
        panic!("no refused login appears there")
    };
    assert!(why.contains("does not appear"), "{why}");
    assert_eq!(other.mark_refusals(&stage.current).await.unwrap_err().code, "K0116");

    let mark = issuer.mark_refusals(&stage.current).await.unwrap();
    issuer.disable(id(&stage.current)).await.unwrap();
    let found = async || issuer.refusals(&stage.current, &mark).await.map(|found| found.len());
    assert_eq!(found().await.unwrap(), 0);
    use_it(&stage).await;
    assert_eq!(found().await.unwrap(), 1);
    // The effect of logrotate's `copytruncate`: lines since the last reading are lost.
    std::fs::File::options().write(true).truncate(true).open(&path).unwrap();
    assert_eq!(found().await.unwrap_err().code, "K0116");

    let password = alphanumeric(20);
    stage.sql(&format!("CREATE ROLE keyroll_admin LOGIN CREATEROLE PASSWORD '{password}'")).await;
    let admin = named(&path, "keyroll_admin", &password);
    let RefusalLog::NotVisible { why, help } = admin.sees_refusals(&stage.current).await else {
        panic!("it may not")
    };
    assert!(why.contains("permission denied") && help.contains("pg_read_server_files"), "{why} · {help}");
    stage
        .sql(
            "GRANT pg_monitor, pg_read_server_files TO keyroll_admin; GRANT EXECUTE ON FUNCTION \
             pg_stat_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO keyroll_admin",
        )
        .await;
    assert_eq!(admin.sees_refusals(&stage.current).await, read);
}

#[tokio::test]
async fn what_an_admin_may_not_read_is_not_visible_until_it_is_granted() {
    let Some(stage) = stage(&CSV).await else { return };
    let password = alphanumeric(20);
    stage.sql(&format!("CREATE ROLE keyroll_admin LOGIN CREATEROLE PASSWORD '{password}'")).await;
    let admin = stage.issuer_as("keyroll_admin", &password);
    let RefusalLog::NotVisible { why, help } = admin.sees_refusals(&stage.current).await else { panic!() };
    assert!(why.contains("permission denied") && help.contains("pg_monitor"), "{why} · {help}");
    assert_eq!(admin.mark_refusals(&stage.current).await.unwrap_err().class, Class::Permanent);
    stage.sql("GRANT pg_monitor TO keyroll_admin").await;
    assert!(matches!(admin.sees_refusals(&stage.current).await, RefusalLog::NotVisible { .. }));
    stage
        .sql(
            "GRANT EXECUTE ON FUNCTION pg_current_logfile(text), \
             pg_read_binary_file(text, bigint, bigint, boolean) TO keyroll_admin",
        )
        .await;
    let read = RefusalLog::Read { place: "PostgreSQL's log (csvlog)".to_owned(), lag_ms: 0 };
    // A right on a function counts only in the database where it was granted.
    assert_eq!(admin.sees_refusals(&stage.current).await, read);
}

#[tokio::test]
async fn a_log_that_says_nothing_is_not_visible() {
    for (settings, why) in [
        (&["log_destination=csvlog"][..], "not collected"),
        (&["logging_collector=on", "log_destination=csvlog", "log_min_messages=panic"], "log_min_messages"),
        (&["logging_collector=on", "log_destination=syslog"], "no form"),
    ] {
        let Some(stage) = stage(settings).await else { return };
        let RefusalLog::NotVisible { why: said, .. } = stage.issuer.sees_refusals(&stage.current).await
        else {
            panic!("{settings:?}")
        };
        assert!(said.contains(why), "{said}");
    }
}
