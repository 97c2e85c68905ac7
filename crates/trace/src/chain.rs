use crate::{Place, ValueId};

/// What became of one copy in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A new start would take the value from here.
    Wins,
    /// It is read, and another one wins over it.
    Shadowed,
    /// It looks like a source and is none: nothing reads it any more, or it is read at another time.
    NotRead,
    /// It would win, or be read, and is not there: a file that may be missing.
    NotThere,
    /// It may win, and cannot be seen: why.
    NotVisible(&'static str),
}

/// One place that a program may take a value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where; `None` where the place is no place of a survey (a manager's memory that cannot be read).
    pub place: Option<Place>,
    /// What it is, for people: `EnvironmentFile=/srv/api.env`.
    pub what: String,
    /// The value that stands there now; `None` = none, or it is not visible.
    pub value: Option<ValueId>,
    /// Whether it wins.
    pub standing: Standing,
    /// The program reads it by itself after it has begun: what it was started with says nothing of it.
    pub read_later: bool,
    /// What makes a change of it live.
    pub applies: Option<String>,
    /// What seems to and does not.
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
    /// The value that a new start would run on; `None` where that cannot be told: a link that may win is not visible.
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
