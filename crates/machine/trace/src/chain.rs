use keyroll_observe::ProcessId;

use crate::{Place, ValueId};

/// Why it is unknown what gives the next start a variable: `exec`, `env`, `NAME=value program`. What set it is not there
/// any more.
pub(crate) const ON_THE_WAY: &str =
    "it was set between the shell and the program, and nothing shows from where";

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

/// What shows that a source is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Basis {
    /// Its reader: a manager, a script, the text of the program.
    #[default]
    Seen,
    /// The other names of the file agree with the environment of the process.
    Names,
    /// Only where the file is, and that the process was started before its last change, with another value.
    Likely,
    /// This shell may have exported the value since it began. Its memory shows whether it has the value.
    Exported(ProcessId),
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
    /// What shows that.
    pub basis: Basis,
    /// The program reads it after its start: its start environment does not show it.
    pub read_later: bool,
    /// What applies a change of it.
    pub applies: Option<String>,
    /// What seems to apply a change and does not.
    pub seems: Option<String>,
}

impl Link {
    /// The value is in the start of the program, and nothing says what put it there: no command is known to move it.
    fn set_on_the_way(&mut self) {
        let process = self.place.as_ref().and_then(Place::process).map_or(0, |process| process.pid);
        self.what = format!("what process {process} was started with");
        self.role = LinkRole::NotVisible(ON_THE_WAY);
        self.basis = Basis::Seen;
        (self.applies, self.seems) = (None, None);
    }
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
    /// Keeps the exports of shells that were seen (`Some(true)`). What a shell does not export (`Some(false)`) was set on
    /// the way to the program: unless a source before it is known, that is unknown.
    pub(crate) fn confirm_exports(&mut self, seen: &dyn Fn(&str, ProcessId, ValueId) -> Option<bool>) {
        let name = self.name.clone();
        let of = |link: &Link| match (link.basis, link.value) {
            (Basis::Exported(shell), Some(value)) => seen(&name, shell, value),
            (Basis::Exported(_) | Basis::Seen | Basis::Names | Basis::Likely, _) => None,
        };
        let mut decided = false;
        let mut known = Vec::new();
        for mut link in std::mem::take(&mut self.links) {
            match of(&link) {
                Some(true) => {
                    link.basis = Basis::Seen;
                    link.role = if decided { LinkRole::Shadowed } else { LinkRole::Wins };
                }
                Some(false) if decided => continue,
                Some(false) => link.set_on_the_way(),
                None => {}
            }
            decided |= matches!(link.role, LinkRole::Wins | LinkRole::NotVisible(_));
            known.push(link);
        }
        self.links = known;
    }

    /// The link that a new start would take.
    pub fn winner(&self) -> Option<&Link> {
        self.links.iter().find(|link| link.role == LinkRole::Wins)
    }

    /// The link that a new start would take, or a file before it that it would probably take: one whose place speaks for
    /// it, or one that the program may read by itself.
    pub fn likely(&self) -> Option<&Link> {
        let sure = |link: &&Link| link.role == LinkRole::Wins || link.basis == Basis::Likely;
        let may = |link: &&Link| link.read_later && matches!(link.role, LinkRole::NotVisible(_));
        self.links.iter().find(sure).or_else(|| self.links.iter().find(may))
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
