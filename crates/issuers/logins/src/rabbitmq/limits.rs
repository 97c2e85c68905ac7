use std::collections::BTreeMap;

use serde::Deserialize;

use super::link::{Link, ManagementApiError, segment};
use super::users::User;

/// The limit that a rollout can reach. A limit on channels counts for each user alone, and both users have the same.
const CONNECTIONS: &str = "max-connections";

#[derive(Deserialize)]
struct Limits {
    value: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Name {}

/// Notes on limits of connections. A probe opens one more, and during a rollout the connections of both users are open
/// at the same time.
pub(super) async fn read(
    link: &Link<'_>,
    user: &User,
    vhost: &str,
) -> Result<Vec<String>, ManagementApiError> {
    let name = &user.login.name;
    let of_user = user.limits.get(CONNECTIONS).copied();
    let limits: Vec<Limits> = link.get(&format!("/api/vhost-limits/{}", segment(vhost))).await?;
    let of_vhost = limits.iter().find_map(|limits| limits.value.get(CONNECTIONS).copied());
    if of_user.is_none() && of_vhost.is_none() {
        return Ok(Vec::new());
    }
    let count = async |path: String| link.get::<Vec<Name>>(&path).await.map(|all| all.len());
    let users = count(format!("/api/connections/username/{}", segment(name))).await?;
    let all = count(format!("/api/vhosts/{}/connections?columns=name", segment(vhost))).await?;
    let user = hit(of_user, users, 1).map(|limit| {
        format!("{name:?} may have {limit} connections and has {users}: keyroll's test login may use up a connection that a consumer needs")
    });
    let vhost = hit(of_vhost, all, users + 1).map(|limit| {
        format!("the virtual host {vhost:?} allows {limit} connections and has {all}, {users} of them of {name:?}: during the rotation the connections of both users may not fit")
    });
    Ok(user.into_iter().chain(vhost).collect())
}

/// The limit, if it is too small for the open connections and the further ones. A negative limit means no limit.
fn hit(limit: Option<i64>, open: usize, more: usize) -> Option<usize> {
    let limit = usize::try_from(limit?).ok()?;
    (open.saturating_add(more) > limit).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_would_be_hit_is_told() {
        assert_eq!(hit(Some(10), 5, 6), Some(10));
        assert_eq!(hit(Some(10), 5, 5), None);
        assert_eq!(hit(Some(-1), 5, 5), None, "no limit");
        assert_eq!(hit(None, 5, 5), None);
        assert_eq!(hit(Some(0), 0, 1), Some(0));
    }
}
