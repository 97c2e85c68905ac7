//! The throw-away cluster starts, asks for passwords, and leaves nothing behind.

use keyroll_testkit::{Deadline, Postgres, until};
use rustix::process::{Pid, test_kill_process};

#[tokio::test]
async fn starts_asks_for_the_password_and_is_gone_after_drop() {
    let Some(server) = Postgres::start_or_skip("the throw-away cluster") else { return };
    let client = server.connect_admin("postgres").await.unwrap();
    let one: i32 = client.query_one("SELECT 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
    let wrong = server.connect("postgres", "wrong", "postgres").await.err().unwrap();
    assert_eq!(wrong.code().unwrap().code(), "28P01");
    assert!(server.log().unwrap().contains("SELECT 1"));
    let home = server.socket_dir().parent().unwrap().to_owned();
    let pid = Pid::from_raw(server.pid().unwrap()).unwrap();
    drop(server);
    until(Deadline::seconds(20), || async { test_kill_process(pid).is_err().then_some(()) }).await.unwrap();
    assert!(!home.exists());
}
