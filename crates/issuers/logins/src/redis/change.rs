use crate::id::Mark;
use aws_lc_rs::digest::{SHA256, digest};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use super::link::{Link, RedisError};
use super::server::Redis;
use super::users::{self, User, selector};
use crate::directory::{Filling, Login, Switch};

/// Where the server saves changes of users, so that they survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In the file of users, `aclfile`.
    Users,
    /// In the configuration file.
    Configuration,
}

impl Kept {
    /// The command that saves the users.
    pub(super) fn command(self) -> [&'static str; 2] {
        match self {
            Self::Users => ["ACL", "SAVE"],
            Self::Configuration => ["CONFIG", "REWRITE"],
        }
    }
}

/// Where this server saves its users. A server that keeps them in memory only is refused.
pub(super) async fn kept(redis: &Redis, link: &mut Link) -> Result<Kept, Failure> {
    let read = |fault: RedisError| redis.failed(&fault, "read how users are kept");
    let settings = link.ask(&["CONFIG", "GET", "aclfile"]).await.map_err(read)?;
    if settings.value("aclfile").and_then(|it| it.text()).is_some_and(|file| !file.is_empty()) {
        return Ok(Kept::Users);
    }
    let info = link.ask_text(&["INFO", "server"]).await.map_err(read)?;
    if info.lines().any(|line| line.strip_prefix("config_file:").is_some_and(|file| !file.is_empty())) {
        return Ok(Kept::Configuration);
    }
    Err(Failure::new(Class::Permanent, Code::ServerUnsuitable, redis.attempted("keep a changed user"))
        .because("the server has neither an aclfile nor a configuration file: a restart would bring the old key back")
        .help("start it with `aclfile /etc/redis/users.acl`"))
}

/// Gives the slot the current user's rules and this password, in one command.
pub(super) async fn fill(redis: &Redis, filling: &Filling<'_>) -> Result<(), Failure> {
    let what = format!("mint into the user {:?}", filling.slot);
    let mut link = redis.admin().await?;
    let users = users::read(&mut link).await.map_err(|fault| redis.failed(&fault, "read the users"))?;
    let find = |name: &str| users.iter().find(|user| user.login.name == name);
    let current = find(filling.current).ok_or_else(|| {
        Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, redis.attempted(&what))
            .because(format!("the user {:?} is gone", filling.current))
    })?;
    let hash = hash(filling.password);
    let mark = Mark::Ours(filling.label.to_owned());
    let there = find(filling.slot).is_some_and(|slot| {
        slot.login.on
            && slot.login.mark == mark
            && slot.hashes == [hash.as_str()]
            && slot.rules == current.rules
    });
    let (secret, label) = (format!("#{hash}"), selector(&mark).unwrap_or_default());
    let mut words = vec!["ACL", "SETUSER", filling.slot, "reset"];
    words.extend(current.rules.iter().map(String::as_str));
    words.extend([secret.as_str(), label.as_str(), "on"]);
    change(redis, &mut link, (!there).then_some(&words), &what).await
}

/// Carries out a switch.
pub(super) async fn switch(redis: &Redis, login: &Login, switch: Switch) -> Result<(), Failure> {
    let name = login.name.as_str();
    let what = format!("{} {name:?}", switch.attempt());
    let mut link = redis.admin().await?;
    let users = users::read(&mut link).await.map_err(|fault| redis.failed(&fault, "read the users"))?;
    let Some(user) = users.iter().find(|it| it.login.name == name && it.login.mark == login.mark) else {
        return Err(Failure::new(Class::Retryable, Code::LoginReplaced, redis.attempted(&what))
            .because("somebody changed the user at the same time"));
    };
    let mut words = vec!["ACL", "SETUSER", name];
    let ended = match &user.login.mark {
        Mark::Ours(label) => selector(&Mark::Ended(label.clone())),
        Mark::Foreign | Mark::Ended(_) => None,
    };
    match (switch, &ended) {
        (Switch::Off, _) => words.push("off"),
        (Switch::On, _) => words.push("on"),
        (Switch::End, None) => words.extend(["off", "resetpass"]),
        (Switch::End, Some(ended)) => {
            words.extend(["off", "resetpass", "clearselectors"]);
            words.extend(selectors(user));
            words.push(ended);
        }
    }
    change(redis, &mut link, Some(&words), &what).await
}

fn selectors(user: &User) -> impl Iterator<Item = &str> {
    user.rules.iter().map(String::as_str).filter(|rule| rule.starts_with('('))
}

/// Carries out a command and saves the users. The users are also saved once before the command, so that a server that
/// cannot save is found before anything is changed.
async fn change(
    redis: &Redis,
    link: &mut Link,
    words: Option<&Vec<&str>>,
    what: &str,
) -> Result<(), Failure> {
    let keep = kept(redis, link).await?.command();
    link.ask(&keep).await.map_err(|fault| unkept(redis, &fault, what))?;
    let Some(words) = words else { return Ok(()) };
    link.ask(words).await.map_err(|fault| fault.of_effect(redis.attempted(what)))?;
    let again = link.ask(&keep).await;
    // The change was made. Whether it survives a restart is unknown.
    again.map_err(|fault| Failure { class: Class::Unknown, ..unkept(redis, &fault, what) })?;
    Ok(())
}

fn unkept(redis: &Redis, fault: &RedisError, what: &str) -> Failure {
    let failure = fault.without_effect(redis.attempted(&format!("{what}, and keep it over a restart")));
    failure.help("let the server's account write its aclfile, or its configuration file, and their folder")
}

/// The hash that Redis stores. keyroll sends nothing else of a password.
fn hash(password: &SecretBytes) -> String {
    digest(&SHA256, password.expose()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
