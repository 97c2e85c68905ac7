use std::collections::BTreeSet;

use crate::id::Mark;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::link::{Link, ManagementApiError};
use super::rights;
use super::server::RabbitMq;
use super::users::{self, User, Wanted};
use crate::directory::{Filling, Login, Switch};

/// A user by its name.
pub(super) fn find<'a>(users: &'a [User], name: &str) -> Option<&'a User> {
    users.iter().find(|user| user.login.name == name)
}

/// Makes the slot a user with the current one's tags, rights and limits, and this password. Each change is a request of
/// its own. Nobody can log in as the slot until the last request, which sets the password.
pub(super) async fn fill(server: &RabbitMq, filling: &Filling<'_>) -> Result<(), Failure> {
    let what = format!("mint into the user {:?}", filling.slot);
    let link = server.admin();
    let failed = |fault: ManagementApiError| fault.without_effect(server.attempted(&what));
    let effect = |fault: ManagementApiError| fault.of_effect(server.attempted(&what));
    let after = |fault: ManagementApiError| fault.after_effect(server.attempted(&what));
    let all = users::read(&link).await.map_err(failed)?;
    let current = find(&all, filling.current).ok_or_else(|| gone(server, filling.current, &what))?;
    let wanted = rights::read(&link, current).await.map_err(failed)?;
    let slot = find(&all, filling.slot);
    if let Some(slot) = slot.filter(|slot| slot.carries(filling.label, filling.password))
        && slot.tags == current.tags
        && rights::read(&link, slot).await.map_err(failed)? == wanted
    {
        return Ok(());
    }
    let before = slot.map_or(&Mark::Foreign, |slot| &slot.login.mark);
    let path = users::path(filling.slot);
    link.put(&path, &Wanted::closed(&current.tags, before)).await.map_err(effect)?;
    let has = match slot {
        Some(slot) => rights::read(&link, slot).await.map_err(after)?,
        None => BTreeSet::new(),
    };
    rights::give(&link, filling.slot, &has, &wanted).await.map_err(after)?;
    alike(server, &link, filling, &what).await?;
    let opened = Wanted::opened(&current.tags, filling.label, filling.password).ok_or_else(|| {
        Failure::new(Class::Unknown, Code::RequestFailed, server.attempted(&what))
            .because("the system has no randomness")
    })?;
    link.put(&path, &opened).await.map_err(after)?;
    // Do not trust the answer: read the user again.
    let all = users::read(&link).await.map_err(after)?;
    match find(&all, filling.slot).is_some_and(|slot| slot.carries(filling.label, filling.password)) {
        true => Ok(()),
        false => Err(Failure::new(Class::Unknown, Code::RequestFailed, server.attempted(&what)).because(
            format!("it answered that {:?} was changed, but shows another password or label", filling.slot),
        )),
    }
}

/// Check, by reading again, that both users have the same rights. Nobody can log in as the slot yet.
async fn alike(server: &RabbitMq, link: &Link<'_>, filling: &Filling<'_>, what: &str) -> Result<(), Failure> {
    let failed = |fault: ManagementApiError| fault.after_effect(server.attempted(what));
    let all = users::read(link).await.map_err(failed)?;
    let find = |name: &str| find(&all, name).ok_or_else(|| gone(server, name, what));
    let (current, slot) = (find(filling.current)?, find(filling.slot)?);
    let (wanted, given) =
        (rights::read(link, current).await.map_err(failed)?, rights::read(link, slot).await.map_err(failed)?);
    if current.tags == slot.tags && wanted == given {
        return Ok(());
    }
    Err(Failure::new(Class::Retryable, Code::LoginRightsDiffer, server.attempted(what))
        .because(format!(
            "what {:?} may do is not what {:?} may do, after it was copied",
            filling.slot, filling.current
        ))
        .help("let nobody change the two users meanwhile; the slot has no password, so nobody can use it"))
}

fn gone(server: &RabbitMq, user: &str, what: &str) -> Failure {
    Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, server.attempted(what))
        .because(format!("the user {user:?} is gone"))
}

/// Carries out a switch, in one request.
pub(super) async fn switch(server: &RabbitMq, login: &Login, switch: Switch) -> Result<(), Failure> {
    let what = format!("{} {:?}", switch.attempt(), login.name);
    let link = server.admin();
    let all = users::read(&link).await.map_err(|fault| server.failed(&fault, "read the users"))?;
    let Some(user) = find(&all, &login.name).filter(|user| user.login.mark == login.mark) else {
        return Err(Failure::new(Class::Retryable, Code::LoginReplaced, server.attempted(&what))
            .because("somebody changed the user at the same time"));
    };
    let wanted = match switch {
        Switch::Off => user.switched(false),
        Switch::On => user.switched(true),
        Switch::End => user.finished(),
    };
    let path = users::path(&login.name);
    link.put(&path, &wanted).await.map_err(|fault| fault.of_effect(server.attempted(&what)))
}
