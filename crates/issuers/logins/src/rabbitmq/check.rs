use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde::Deserialize;

use super::change::find;
use super::link::Link;
use super::rights::{self, Right};
use super::server::RabbitMq;
use super::users::{self, Tags};
use super::{limits, nodes};

/// The oldest supported server: from this version on, a user's connections are listed as they are now, not as they were
/// at the last statistics.
const VERSION_MIN: [u32; 3] = [3, 10, 8];
/// The tag that may change users.
const ADMINISTRATOR: &str = "administrator";
/// By default the server lets this user in from its own machine only.
const LOCAL_USER: &str = "guest";

#[derive(Deserialize)]
struct Whoami {
    tags: Tags,
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
    #[serde(default)]
    disable_stats: bool,
}

/// Checks the server, the admin's rights, and what the slot shall copy. Changes nothing.
pub(super) async fn run(server: &RabbitMq, current: &str, slot: &str) -> Result<Vec<String>, Failure> {
    let link = server.admin();
    check_rights(server, &link).await?;
    let overview: Overview =
        link.get("/api/overview").await.map_err(|fault| server.failed(&fault, "read its version"))?;
    check_version(server, &overview.rabbitmq_version)?;
    nodes::whole(server, &link, "look at the nodes of its cluster").await?;
    let mut notes = vec![
        "if the server loads a definitions file at its start, a restart brings back the users in that file: remove the old user from it".to_owned(),
    ];
    if overview.disable_stats {
        notes.push(
            "its statistics are off: a connection is not known to be idle, so none is ended".to_owned(),
        );
    }
    if current == LOCAL_USER {
        notes.push(format!(
            "by default {current:?} can log in only from the server's machine, but {slot:?} from everywhere"
        ));
    }
    notes.extend(check_copied(server, &link, current, slot).await?);
    Ok(notes)
}

async fn check_rights(server: &RabbitMq, link: &Link<'_>) -> Result<(), Failure> {
    let admin = &server.options.admin.user;
    let attempted = || format!("log in as {admin:?} at the management API");
    let whoami: Whoami =
        link.get("/api/whoami").await.map_err(|fault| server.failed(&fault, &attempted()))?;
    if whoami.tags.list().iter().any(|tag| tag == ADMINISTRATOR) {
        return Ok(());
    }
    let attempted = server.attempted(&format!("use {admin:?} as the admin"));
    Err(Failure::new(Class::Permanent, Code::AdminRefused, attempted)
        .because("it may not change users")
        .help(format!("rabbitmqctl set_user_tags {admin} {ADMINISTRATOR}")))
}

fn check_version(server: &RabbitMq, version: &str) -> Result<(), Failure> {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let number = [(); 3].map(|()| numbers.next().unwrap_or(0));
    if number >= VERSION_MIN {
        return Ok(());
    }
    Err(Failure::new(Class::Permanent, Code::ServerUnsuitable, server.attempted("rotate a user"))
        .because(format!("its version is {version}"))
        .help("RabbitMQ from 3.10.8 on can be rotated"))
}

/// Checks what the slot will get, and what it has now.
async fn check_copied(
    server: &RabbitMq,
    link: &Link<'_>,
    current: &str,
    slot: &str,
) -> Result<Vec<String>, Failure> {
    let what = "read what the users may do";
    let users = users::read(link).await.map_err(|fault| server.failed(&fault, what))?;
    // The rules for all servers refuse a user that does not exist.
    let Some(user) = find(&users, current) else { return Ok(Vec::new()) };
    let wanted = rights::read(link, user).await.map_err(|fault| server.failed(&fault, what))?;
    let vhost = &server.broker.vhost;
    if !wanted.iter().any(|right| right.opens(vhost)) {
        let attempted = server.attempted(&format!("rotate the user {current:?}"));
        return Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
            .because(format!("it may not open the virtual host {vhost:?}"))
            .help("set `vhost` to one that its consumers open"));
    }
    let mut notes =
        limits::read(link, user, vhost).await.map_err(|fault| server.failed(&fault, "read its limits"))?;
    if wanted.iter().any(Right::names_its_user) {
        notes.push(
            "topic permissions with {username} stand for a different name with each of the two users"
                .to_owned(),
        );
    }
    if let Some(there) = find(&users, slot) {
        let has = rights::read(link, there).await.map_err(|fault| server.failed(&fault, what))?;
        if there.tags != user.tags || has != wanted {
            notes.push(format!(
                "{slot:?} has other permissions than {current:?} now: the rotation replaces them with those of {current:?}"
            ));
        }
    }
    Ok(notes)
}
