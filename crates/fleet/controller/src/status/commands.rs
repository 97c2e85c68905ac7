//! The commands that a status names: the annotation that asks for the same, else keyroll's own command.

use crate::object::{SecretRotation, asks};
use crate::standing::{Pod, Standing, TakeOver};
use crate::way::{Command, Way};

/// A text that no earlier annotation had; the shell makes it.
const NEW_TEXT: &str = "\"$(date +%s)\"";

/// What only has a rotation go on that goes on by itself.
const BY_ITSELF: &str = "wait: keyroll goes on with it";

/// The commands for one object.
pub(super) struct Commands<'a> {
    object: &'a SecretRotation,
    /// Where keyroll runs.
    pod: Option<&'a Pod>,
    /// The open rotation, and what a consent to the end of its old key must say.
    id: &'a str,
    consent: &'a str,
    /// It goes on by itself.
    goes_on: bool,
}

impl<'a> Commands<'a> {
    pub(super) fn new(object: &'a SecretRotation, standing: &'a Standing) -> Self {
        let open = standing.open.as_ref();
        Self {
            object,
            pod: standing.pod.as_ref(),
            id: open.map(|open| open.shown.id.as_str()).unwrap_or_default(),
            consent: open.map(|open| open.confirm.as_str()).unwrap_or_default(),
            goes_on: open.is_some_and(|open| !open.needs_person()),
        }
    }

    /// Makes a plan, and applies it.
    pub(super) fn rotate(&self) -> String {
        self.annotate(asks::ROTATE, NEW_TEXT)
    }

    /// Says that a rotation that no journal has is over.
    pub(super) fn forget(&self, id: &str) -> String {
        self.annotate(asks::FORGET, &shell_word(id))
    }

    /// Changes the object.
    pub(super) fn edit(&self) -> String {
        format!("kubectl -n {} edit secretrotation {}", self.object.namespace, self.object.id.name)
    }

    /// Shows a rotation, with every command that it needs.
    pub(super) fn show(&self, id: &str) -> String {
        self.keyroll("", &format!("keyroll status {}", shell_word(id)))
    }

    /// What to do if a value that somebody else wrote into a Secret is the right one.
    pub(super) fn take_over(&self, how: &TakeOver) -> String {
        let secret = self.object.secret();
        match how {
            TakeOver::AsFirst(command) => {
                format!("to take that value over: {}", self.keyroll("-i ", &format!("{command} < FILE")))
            }
            TakeOver::FromStore => {
                let command = format!("keyroll secret drift {secret}");
                format!("to see what its store gives out: {}", self.keyroll("", &command))
            }
            TakeOver::Never => {
                "to take that value over: delete this object, and apply it under another name".to_owned()
            }
        }
    }

    /// A command, or the one that names it if it is too long: it is not cut, which could change what it does.
    pub(super) fn within(&self, command: String, id: &str, bytes_max: usize) -> String {
        if command.len() <= bytes_max { command } else { self.show(id) }
    }

    /// The ways past a wait or a blocker as a sentence, the best first: `A, or B; then C; or D`. There are as many as there is
    /// room for; where that is not all, the command that shows all of them is the last.
    pub(super) fn past(&self, ways: &[Way], bytes_max: usize) -> String {
        let said = |count: usize| {
            let said = self.sentence(ways.get(..count)?);
            let said = if count < ways.len() { format!("{said}; or: {}", self.show(self.id)) } else { said };
            (count > 0 && said.len() <= bytes_max).then_some(said)
        };
        (0..=ways.len()).rev().find_map(said).unwrap_or_else(|| self.show(self.id))
    }

    /// Ways that end with the same command say it once.
    fn sentence(&self, ways: &[Way]) -> String {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for way in ways {
            let by_itself = self.goes_on && way.only_goes_on();
            let then: &[Command] = if by_itself { &[] } else { &way.then };
            let (last, before) =
                then.split_last().map_or((None, then), |(last, before)| (Some(last), before));
            let first = way.first.clone().or_else(|| by_itself.then(|| BY_ITSELF.to_owned()));
            let before: Vec<String> =
                first.into_iter().chain(before.iter().map(|one| self.command(one))).collect();
            let before = (!before.is_empty()).then(|| before.join(", then "));
            match groups.last_mut() {
                Some(group) if group.last == last && !group.before.is_empty() && before.is_some() => {
                    group.before.extend(before);
                }
                Some(_) | None => groups.push(Group { before: before.into_iter().collect(), last }),
            }
        }
        groups.iter().map(|group| self.group(group)).collect::<Vec<_>>().join("; or ")
    }

    fn group(&self, group: &Group<'_>) -> String {
        let before = group.before.join(", or ");
        match (group.last.map(|last| self.command(last)), group.before.len()) {
            (None, _) => before,
            (Some(last), 0) => last,
            (Some(last), 1) => format!("{before}, then {last}"),
            (Some(last), _) => format!("{before}; then {last}"),
        }
    }

    /// One command as a person of the cluster gives it.
    fn command(&self, command: &Command) -> String {
        match command {
            Command::Confirm => self.annotate(asks::CONFIRM, &shell_word(self.consent)),
            Command::Abort => self.annotate(asks::ABORT, &shell_word(self.id)),
            Command::Resume => self.annotate(asks::RESUME, NEW_TEXT),
            Command::Declare => format!("{} to declare it, then {}", self.edit(), self.rotate()),
            Command::HandOver(command) => self.keyroll("-i ", &format!("{command} < FILE")),
            Command::Keyroll(command) => self.keyroll("", command),
            Command::Elsewhere(command) => command.clone(),
        }
    }

    /// A command of keyroll, run where it is.
    fn keyroll(&self, flags: &str, command: &str) -> String {
        match self.pod {
            Some(Pod { namespace, name }) => {
                format!("kubectl -n {namespace} exec {flags}{name} -- {command}")
            }
            None => command.to_owned(),
        }
    }

    fn annotate(&self, annotation: &str, text: &str) -> String {
        let SecretRotation { namespace, id, .. } = self.object;
        format!("kubectl -n {namespace} annotate secretrotation {} {annotation}={text} --overwrite", id.name)
    }
}

/// Ways that end with the same command.
struct Group<'w> {
    /// What comes before it.
    before: Vec<String>,
    last: Option<&'w Command>,
}

/// An id as a shell takes it: the one of a rotation that the journal does not have was read from the object, where anybody
/// may have written it.
fn shell_word(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-/".contains(&byte);
    if id.bytes().all(plain) { id.to_owned() } else { format!("'{}'", id.replace('\'', r"'\''")) }
}
