use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::link::{Link, ManagementApiError, segment};
use super::users::User;

/// One thing that a user may do, beside what its tags say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    VHost(VHostRight),
    Topic(TopicRight),
    /// `max-connections` or `max-channels`.
    Limit(String, i64),
}

/// Which queues and exchanges of a virtual host, by regular expressions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct VHostRight {
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

/// Which routing keys of a topic exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TopicRight {
    vhost: String,
    exchange: String,
    write: String,
    read: String,
}

#[derive(Serialize)]
struct Value {
    value: i64,
}

/// Everything that a user may do.
pub(super) async fn read(link: &Link<'_>, user: &User) -> Result<BTreeSet<Right>, ManagementApiError> {
    let path = super::users::path(&user.login.name);
    let vhosts: Vec<VHostRight> = link.get(&format!("{path}/permissions")).await?;
    let topics: Vec<TopicRight> = link.get(&format!("{path}/topic-permissions")).await?;
    let limits = user.limits.iter().map(|(name, value)| Right::Limit(name.clone(), *value));
    Ok(vhosts
        .into_iter()
        .map(Right::VHost)
        .chain(topics.into_iter().map(Right::Topic))
        .chain(limits)
        .collect())
}

/// Gives a user exactly these rights. Removes the superfluous ones first.
pub(super) async fn give(
    link: &Link<'_>,
    user: &str,
    has: &BTreeSet<Right>,
    wanted: &BTreeSet<Right>,
) -> Result<(), ManagementApiError> {
    // All topic permissions of a virtual host are removed together.
    let cleared: BTreeSet<&str> = has.difference(wanted).filter_map(Right::topic_vhost).collect();
    let stays =
        |right: &Right| has.contains(right) && !right.topic_vhost().is_some_and(|it| cleared.contains(it));
    for right in has.difference(wanted) {
        link.delete(&right.path(user)).await?;
    }
    for right in wanted.iter().filter(|right| !stays(right)) {
        match right {
            Right::VHost(body) => link.put(&right.path(user), body).await?,
            Right::Topic(body) => link.put(&right.path(user), body).await?,
            Right::Limit(_, value) => link.put(&right.path(user), &Value { value: *value }).await?,
        }
    }
    Ok(())
}

impl Right {
    fn path(&self, user: &str) -> String {
        let user = segment(user);
        match self {
            Self::VHost(right) => format!("/api/permissions/{}/{user}", segment(&right.vhost)),
            Self::Topic(right) => format!("/api/topic-permissions/{}/{user}", segment(&right.vhost)),
            Self::Limit(name, _) => format!("/api/user-limits/{user}/{}", segment(name)),
        }
    }

    fn topic_vhost(&self) -> Option<&str> {
        match self {
            Self::Topic(right) => Some(&right.vhost),
            Self::VHost(_) | Self::Limit(..) => None,
        }
    }

    /// Whether this right lets its user open this virtual host.
    pub(super) fn opens(&self, name: &str) -> bool {
        matches!(self, Self::VHost(right) if right.vhost == name)
    }

    /// Whether this right means something else for a user of another name.
    pub(super) fn names_its_user(&self) -> bool {
        matches!(self, Self::Topic(right) if [&right.write, &right.read].iter().any(|it| it.contains("{username}")))
    }
}
