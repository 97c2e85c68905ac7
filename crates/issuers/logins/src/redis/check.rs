use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::change::kept;
use super::link::{Link, RedisError};
use super::server::Redis;
use super::users;

/// The oldest supported server: the first with selectors, which carry a credential's mark, and with `ACL DRYRUN`.
const VERSION_MIN: u32 = 7;

/// Checks the server and the admin's rights. Changes nothing: `ACL DRYRUN` tells whether a command is allowed without
/// running it.
pub(super) async fn run(redis: &Redis) -> Result<Vec<String>, Failure> {
    let mut link = redis.admin().await?;
    check_server(redis, &mut link).await?;
    let keep = kept(redis, &mut link).await?.command();
    check_rights(redis, &mut link, keep).await?;
    let users = users::read(&mut link).await.map_err(|fault| redis.failed(&fault, "read the users"))?;
    let open = users.iter().filter(|user| user.login.open && user.login.on);
    Ok(open
        .map(|user| {
            let name = &user.login.name;
            format!("the user {name:?} is let in with any password: a client that falls back to it goes on working")
        })
        .collect())
}

async fn check_server(redis: &Redis, link: &mut Link) -> Result<(), Failure> {
    let refuse = |why: String, help: &str| {
        Err(Failure::new(Class::Permanent, Code::ServerUnsuitable, redis.attempted("rotate a login"))
            .because(why)
            .help(help))
    };
    let major = link.hello.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < VERSION_MIN {
        return refuse(format!("its version is {}", link.hello.version), "upgrade it to Redis 7 or later");
    }
    if link.hello.mode != "standalone" {
        let why = format!("it runs as {}: each node has its own users", link.hello.mode);
        return refuse(why, "only a single server can be rotated");
    }
    if link.hello.role != "master" {
        return refuse("it is a replica".to_owned(), "set host to the primary");
    }
    let info = link.ask_text(&["INFO", "replication"]).await;
    let info = info.map_err(|fault| redis.failed(&fault, "read its replicas"))?;
    match info.lines().find_map(|line| line.strip_prefix("connected_slaves:")) {
        Some("0") => Ok(()),
        Some(count) => refuse(
            format!(
                "it has {count} replicas, which do not learn of changed users: the new login would fail after a failover"
            ),
            "only a server without replicas can be rotated",
        ),
        None => refuse("it did not say whether it has replicas".to_owned(), "look at INFO replication"),
    }
}

async fn check_rights(redis: &Redis, link: &mut Link, keep: [&str; 2]) -> Result<(), Failure> {
    let admin = &redis.options.admin.user;
    let needed: [&[&str]; 5] = [
        &["ACL", "LIST"],
        &["ACL", "SETUSER", "keyroll"],
        &["CLIENT", "LIST"],
        &["CLIENT", "KILL", "ID", "1"],
        &keep,
    ];
    let mut missing = Vec::new();
    for command in needed {
        let words: Vec<&str> = ["ACL", "DRYRUN", admin].into_iter().chain(command.iter().copied()).collect();
        match link.ask_text(&words).await {
            Ok(answer) if answer == "OK" => {}
            Ok(_) => missing.push(command),
            Err(RedisError::Refused(why)) if why.starts_with("NOPERM ") => missing.push(&["ACL", "DRYRUN"]),
            Err(fault) => return Err(redis.failed(&fault, "ask for the admin's rights")),
        }
    }
    let mut missing: Vec<String> = missing
        .iter()
        .map(|command| {
            format!("+{}", command.iter().take(2).copied().collect::<Vec<_>>().join("|").to_lowercase())
        })
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Class::Permanent,
        Code::AdminRefused,
        redis.attempted(&format!("use {admin:?} as the admin")),
    )
    .because("it may not send commands that the rotation will need")
    .help(format!("ACL SETUSER {admin} {}", missing.join(" "))))
}
