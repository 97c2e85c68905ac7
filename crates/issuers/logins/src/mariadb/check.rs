use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::link::{Link, MariaDbError};
use super::server::MariaDb;

/// The server must accept at least this many wrong passwords before it blocks an account: every check of a credential
/// also tries wrong ones.
const PASSWORD_ERRORS_MIN: u64 = 1_000;

/// Rights over accounts, and to see and end sessions.
const RIGHTS: [&str; 3] = ["CREATE USER", "PROCESS", "CONNECTION ADMIN"];

/// Checks the server and the admin's rights, and changes nothing.
pub(super) async fn run(server: &MariaDb) -> Result<Vec<String>, Failure> {
    let mut link = server.admin().await?;
    check_server(server, &mut link).await?;
    check_rights(server, &mut link).await?;
    let logged = "SELECT CAST(@@general_log AS INT), CAST(@@skip_name_resolve AS INT)";
    let rows: Vec<(u8, u8)> =
        link.rows(logged).await.map_err(|fault| server.failed(&fault, "read its settings"))?;
    link.close().await;
    let mut notes = vec![
        "CURRENT_USER() will be the new account's name in views, triggers and functions that ask for it"
            .to_owned(),
    ];
    if rows.iter().any(|(general, _)| *general != 0) {
        notes.push("the server logs statements: the hash of the new password (never the password) will be in its log".to_owned());
    }
    if rows.iter().any(|(_, addresses)| *addresses == 0) {
        notes.push("the server shows names instead of addresses of clients (skip_name_resolve is off): a session with another name than localhost cannot be matched with its process".to_owned());
    }
    Ok(notes)
}

async fn check_server(server: &MariaDb, link: &mut Link) -> Result<(), Failure> {
    let refuse = |why: String, help: &str| {
        Err(Failure::new(Class::Permanent, Code::ServerUnsuitable, server.attempted("rotate an account"))
            .because(why)
            .help(help))
    };
    let settings = "SELECT VERSION(), CAST(@@read_only AS INT), @@max_password_errors";
    let read = |fault: MariaDbError| server.failed(&fault, "read its settings");
    let rows: Vec<(String, u8, u64)> = link.rows(settings).await.map_err(read)?;
    let Some((version, read_only, errors)) = rows.into_iter().next() else {
        return refuse("it did not return its settings".to_owned(), "look at SHOW VARIABLES");
    };
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if !version.contains("MariaDB") || number < (10, 5) {
        return refuse(format!("its version is {version}"), "MariaDB from 10.5 on can be rotated");
    }
    if read_only != 0 {
        return refuse(
            "it is read-only: accounts can be changed on the primary only".to_owned(),
            "set host to the primary",
        );
    }
    if errors < PASSWORD_ERRORS_MIN {
        let why = format!(
            "it blocks an account after {errors} wrong passwords, and the negative control shows such"
        );
        return refuse(why, "SET GLOBAL max_password_errors = 4294967295");
    }
    Ok(())
}

async fn check_rights(server: &MariaDb, link: &mut Link) -> Result<(), Failure> {
    let admin = &server.options.admin.user;
    let held = "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES
                 WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";
    let held: Vec<String> =
        link.rows(held).await.map_err(|fault| server.failed(&fault, "read the admin's rights"))?;
    let missing: Vec<&str> = RIGHTS.into_iter().filter(|right| !held.iter().any(|it| it == right)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Class::Permanent,
        Code::AdminRefused,
        server.attempted(&format!("use {admin:?} as the admin")),
    )
    .because("it lacks rights that the rotation will need")
    .help(format!("GRANT {} ON *.* TO {admin}", missing.join(", "))))
}
