use crate::{Place, ValueId};

/// The role of one copy in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkRole {
    /// The next start would take the value from here.
    Wins,
    /// The program reads it, but another copy wins.
    Shadowed,
    /// It looks like a source but is not one: no program reads it any more, or only at another time.
    NotRead,
    /// It would be read, but it is missing: an optional file.
    NotThere,
    /// It may win, but is not visible; why.
    NotVisible(&'static str),
}

/// One source that a program may take a value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its place; `None` = the survey cannot see it, such as a manager's memory.
    pub place: Option<Place>,
    /// Its description, for display: `EnvironmentFile=/srv/api.env`.
    pub what: String,
    /// The value that is there now; `None` = no value, or it is not visible.
    pub value: Option<ValueId>,
    /// Whether it wins.
    pub role: LinkRole,
    /// The program reads it after its start: its start environment does not show it.
    pub read_later: bool,
    /// What applies a change of it.
    pub applies: Option<String>,
    /// What seems to apply a change and does not.
    pub seems: Option<String>,
}

/// The sources of one value of a service, the winning one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The name by which the program takes it: a variable.
    pub name: String,
    /// The links, the strongest first.
    pub links: Vec<Link>,
}

impl Chain {
    /// The link that a new start would take.
    pub fn winner(&self) -> Option<&Link> {
        self.links.iter().find(|link| link.role == LinkRole::Wins)
    }

    /// The value that a new start would use; `None` = unknown, because a link that may win is not visible.
    pub fn next(&self) -> Option<ValueId> {
        for link in &self.links {
            match link.role {
                LinkRole::Wins => return link.value,
                LinkRole::NotVisible(_) => return None,
                LinkRole::Shadowed | LinkRole::NotRead | LinkRole::NotThere => {}
            }
        }
        None
    }
}
