use crate::{Place, ValueId};

/// What happens with one copy in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A new start would take the value from here.
    Wins,
    /// It is read, and another one wins over it.
    Shadowed,
    /// It looks like a source but is not one: nothing reads it any more, or only at another time.
    NotRead,
    /// It would win or be read, but is missing: an optional file.
    NotThere,
    /// It may win, and is not visible, because …
    NotVisible(&'static str),
}

/// One place that a program may take a value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its place; `None` = the survey cannot see it, such as a manager's memory.
    pub place: Option<Place>,
    /// What it is, for display: `EnvironmentFile=/srv/api.env`.
    pub what: String,
    /// The value that stands there now; `None` = none, or it is not visible.
    pub value: Option<ValueId>,
    /// Whether it wins.
    pub standing: Standing,
    /// The program reads it after its start: its start environment shows nothing of it.
    pub read_later: bool,
    /// What applies a change of it.
    pub applies: Option<String>,
    /// What seems to apply it, and does not.
    pub seems: Option<String>,
}

/// Where a service takes one value from, what wins first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The name under which the program takes it: a variable.
    pub name: String,
    /// The links, the strongest first.
    pub links: Vec<Link>,
}

impl Chain {
    /// The value that a new start would use; `None` = unknown, because a link that may win is not visible.
    pub fn next(&self) -> Option<ValueId> {
        for link in &self.links {
            match link.standing {
                Standing::Wins => return link.value,
                Standing::NotVisible(_) => return None,
                Standing::Shadowed | Standing::NotRead | Standing::NotThere => {}
            }
        }
        None
    }
}
