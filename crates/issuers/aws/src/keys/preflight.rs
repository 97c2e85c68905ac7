use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::CredentialId;

use super::caller::{Arn, Caller, User};
use super::calls::{Calls, Key, Keys};
use super::failure::{ACCOUNT, RIGHTS};

/// What a rotation does at IAM that changes anything.
const CHANGES: [&str; 3] = ["iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"];

/// What is attempted where a key is shown to AWS.
const WHOSE: &str = "see whose the access key is";

/// Everything that can be seen before a key is made. Nothing is changed. `caller`: whom AWS takes the holder of the key in use
/// for.
///
/// # Errors
/// The key is one of another account or user; a second key exists; a right is missing.
pub(super) async fn check(
    calls: &Calls,
    user: &User,
    id: &CredentialId,
    caller: Caller,
) -> Result<Vec<String>, Failure> {
    let admin = calls.admin();
    let owner = owner(caller, user)?;
    let mut notes = vec![format!("keyroll's login at AWS is {admin}")];
    notes.extend(free_slot(calls, user, (id, owner.is_some())).await?);
    // AWS tells the path of a user only to a key that works.
    let certain = owner.is_some();
    let on = owner.map_or_else(|| admin.user_beside(&user.name), |owner| owner.to_string());
    notes.extend(rights(calls, admin, (on.as_str(), certain)).await?);
    if admin.is_session() {
        notes.push(format!(
            "whether the role of {admin} is assumed with {id} itself is not visible: then the rotation could not be finished \
             after {id} is disabled"
        ));
    }
    Ok(notes)
}

/// The user as AWS names it; `None` where it refuses the key: the protocol judges that, and a recovery replaces such a key.
///
/// # Errors
/// The key is one of another user, or AWS does not tell.
pub(super) fn owner(caller: Caller, user: &User) -> Result<Option<Arn>, Failure> {
    match caller {
        Caller::Is(owner) if user.is(&owner) => Ok(Some(owner)),
        Caller::Is(owner) => {
            let failure = Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, WHOSE);
            Err(failure.because(of_another(&owner, user)).help(ACCOUNT))
        }
        Caller::Refused => Ok(None),
        Caller::Unclear(why) => Err(Failure::new(Class::Retryable, Code::RequestFailed, WHOSE).because(why)),
    }
}

/// A key that works and is not one of the user, in words.
pub(super) fn of_another(owner: &Arn, user: &User) -> String {
    format!(
        "the key works, but it is one of {owner} in account {}, not of the IAM user {} in account {}",
        owner.account(),
        user.name,
        user.account
    )
}

/// Refuses unless the user has room for a second key. `current`: the key in use, and whether AWS accepts it.
///
/// # Errors
/// A second key exists; IAM does not list a key that works.
pub(super) async fn free_slot(
    calls: &Calls,
    user: &User,
    current: (&CredentialId, bool),
) -> Result<Vec<String>, Failure> {
    let (id, works) = current;
    let Keys { all, incomplete } = calls.list().await?;
    let refuse = |why: String| {
        let attempted = format!("make room for a second access key of the IAM user {}", user.name);
        Failure::new(Class::Permanent, Code::NoRoomForNewKey, attempted).because(why)
    };
    if let Some(why) = incomplete {
        return Err(refuse(format!("the list of its keys is incomplete: {why}"))
            .help("nothing was changed; wait until IAM lists every key"));
    }
    let unknown: Vec<&Key> = all.iter().filter(|key| key.id != *id).collect();
    let mut others = Vec::new();
    for key in &unknown {
        others.push(described(calls, key).await);
    }
    if !others.is_empty() {
        let deleted = unknown.iter().map(|key| deletion(&user.name, &key.id));
        return Err(refuse(format!(
            "it has another key than {id}: {}. AWS allows two keys for each user, and keyroll does not know whose that one is",
            others.join("; and ")
        ))
        .help(format!(
            "find out who uses it. Only if nobody does, delete it: {}",
            deleted.collect::<Vec<_>>().join("; ")
        )));
    }
    match all.first() {
        Some(key) if !key.active => Ok(vec![format!("the key in use ({id}) is disabled")]),
        Some(_) => Ok(Vec::new()),
        None if works => Err(refuse(format!("IAM does not list {id}, which works")).help(ACCOUNT)),
        None => Ok(vec![format!("the key in use ({id}) is not in the list of the user's keys")]),
    }
}

/// The command by which an operator deletes a key.
pub(super) fn deletion(user: &str, id: &CredentialId) -> String {
    format!("aws iam delete-access-key --user-name {user} --access-key-id {id}")
}

/// A key that keyroll does not know: its status, its age and its use.
async fn described(calls: &Calls, key: &Key) -> String {
    let status = if key.active { "Active" } else { "Inactive" };
    let used = match calls.last_used(&key.id).await {
        Ok(Some(used)) => format!("last used {used}"),
        Ok(None) => "AWS has no time of a last use, which does not mean that it is unused".to_owned(),
        Err(failure) => {
            let why = failure.source.map(|why| format!(", because {why}")).unwrap_or_default();
            format!("when it was last used is not visible{why}")
        }
    };
    format!("{}, {status}, created {}, {used}", key.id, key.made)
}

/// What can be seen of the rights to make and end keys. A simulation that is not allowed or not complete proves nothing.
/// `certain`: whether `on` is the user with its path; policies may allow what a name without it is denied.
async fn rights(calls: &Calls, admin: &Arn, (on, certain): (&str, bool)) -> Result<Vec<String>, Failure> {
    let not_visible = |actions: &str, why: &str| {
        format!(
            "whether {admin} may do {actions} is not visible: {why}; a missing right shows when it is used, before \
             anything was moved"
        )
    };
    let Some(source) = admin.policy_source() else {
        return Ok(vec![not_visible(&CHANGES.join(", "), "no policy of a user or role decides it")]);
    };
    let simulated = match calls.simulate(&source, &CHANGES, on).await {
        Ok(simulated) => simulated,
        Err(failure) => {
            let why = failure.source.map_or_else(|| "no answer".to_owned(), |why| why.to_string());
            return Ok(vec![not_visible(&CHANGES.join(", "), &why)]);
        }
    };
    if !simulated.denied.is_empty() && !certain {
        let why = format!(
            "a simulation denies it on {on}, but whether the user has a path is not visible, because AWS refuses its key"
        );
        return Ok(vec![not_visible(&simulated.denied.join(", "), &why)]);
    }
    if !simulated.denied.is_empty() {
        let attempted = format!("see that {admin} may manage the access keys of {on}");
        return Err(Failure::new(Class::Permanent, Code::AdminRefused, attempted)
            .because(format!(
                "its policies deny {} (iam:SimulatePrincipalPolicy)",
                simulated.denied.join(", ")
            ))
            .help(RIGHTS));
    }
    let open = simulated.open;
    let depends = "its policies depend on conditions that a simulation does not know";
    Ok(if open.is_empty() { Vec::new() } else { vec![not_visible(&open.join(", "), depends)] })
}
