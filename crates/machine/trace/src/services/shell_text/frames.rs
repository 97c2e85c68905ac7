use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;

use super::tokens::hash;
use super::{ALL_EXPORTED, OFF, Reader};

/// A variable, or a part of the shell's own state.
pub(super) struct Variable {
    /// `None` = the text does not show it.
    pub(super) value: Option<SecretBytes>,
    pub(super) exported: bool,
    /// Whether nothing else in the text sets it, so that it is the same in each run of a loop or function.
    pub(super) steady: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The whole text.
    Text,
    /// Commands that `&&` and `||` join.
    List,
    /// The part of a list that runs only if what is before it went well, or failed.
    Rest,
    /// `{ …; }`
    Group,
    /// `( … )`, and everything else whose changes end with it.
    Subshell,
    /// Another shell: `bash -c '…'`. It has only what is exported.
    Shell,
    If,
    /// `while`, `until`, `for`, `select`.
    Loop,
    Case,
}

/// A part of the text, with what it changes.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) changes: BTreeMap<String, Variable>,
    /// The number of the first step in it.
    pub(super) first: usize,
    /// The number of commands before it.
    pub(super) commands: usize,
    /// The file that must be there for this part to run; no other condition.
    pub(super) tested: Option<PathBuf>,
    pub(super) function: bool,
    /// It runs if the command before it failed: what that command would have changed is not told.
    pub(super) otherwise: bool,
    /// Whether it is behind a pipe.
    pub(super) piped: bool,
    /// `case`: a pattern follows.
    pub(super) pattern: bool,
    /// What follows in it is not reached.
    pub(super) ended: bool,
    /// What follows in it is reached only if a command before it did not run.
    pub(super) forked: bool,
}

impl Frame {
    pub(super) fn of(kind: Kind, first: usize) -> Self {
        Self {
            kind,
            changes: BTreeMap::new(),
            first,
            commands: usize::MAX,
            tested: None,
            function: false,
            otherwise: false,
            piped: false,
            pattern: false,
            ended: false,
            forked: false,
        }
    }

    pub(super) fn conditional(&self) -> bool {
        self.function || matches!(self.kind, Kind::Rest | Kind::If | Kind::Loop | Kind::Case)
    }

    /// Whether it is a process of its own.
    pub(super) fn process(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Subshell | Kind::Shell)
    }

    /// Another branch begins: what the branch before it changed is not told.
    pub(super) fn doubt(&mut self) {
        self.tested = None;
        self.commands = usize::MAX;
        for variable in self.changes.values_mut() {
            variable.value = None;
        }
    }
}

impl Reader<'_> {
    /// A list ends; `&` runs it beside the shell.
    pub(super) fn end_list(&mut self, beside: bool) {
        while let Some(kind) = self.top().map(|top| top.kind) {
            match kind {
                Kind::Rest => self.pop(false),
                Kind::List => self.pop(beside),
                Kind::Text
                | Kind::Group
                | Kind::Subshell
                | Kind::Shell
                | Kind::If
                | Kind::Loop
                | Kind::Case => return,
            }
        }
    }

    /// `&&` or `||`
    pub(super) fn then(&mut self, and: bool) {
        let tested = self.last.tested.take().filter(|_| and);
        let plain = self.last.plain && and;
        let steps = self.steps.len();
        let Some(top) = self.top() else { return };
        let rest = top.kind == Kind::Rest;
        if plain || rest && tested.is_some() && tested == top.tested {
            return;
        }
        if rest {
            top.tested = None;
            if !and {
                top.doubt();
            }
        } else {
            self.frames.push(Frame { tested, otherwise: !and, ..Frame::of(Kind::Rest, steps) });
        }
    }

    /// A part ends. `alone`: it was a process of its own, and its changes end with it.
    pub(super) fn pop(&mut self, alone: bool) {
        let Some(frame) = self.frames.pop() else { return };
        if alone {
            self.over.extend(frame.first..self.steps.len());
            return;
        }
        let doubt = frame.conditional();
        if let Some(top) = self.frames.last_mut() {
            top.ended |= frame.ended && !doubt;
        }
        for (name, mut variable) in frame.changes {
            let before = self.variable(&name).and_then(|before| before.value.as_ref());
            if doubt && before != variable.value.as_ref() {
                variable.value = None;
            }
            if let Some(top) = self.top() {
                top.changes.insert(name, variable);
            }
        }
    }

    /// A variable as this place of the text has it.
    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        let (mut again, mut exported_only, mut failed) = (false, false, false);
        for frame in self.frames.iter().rev() {
            if let Some(found) = frame.changes.get(name) {
                let seen = (found.steady || !again) && (found.exported || !exported_only) && !failed;
                return Some(found).filter(|_| seen);
            }
            failed = frame.otherwise;
            again |= frame.kind == Kind::Loop || frame.function;
            exported_only |= frame.kind == Kind::Shell;
        }
        None
    }

    pub(super) fn change(&mut self, name: &str, value: Option<SecretBytes>, exported: bool) {
        self.change_steady(name, value, exported, 1);
    }

    /// The same for a change that is one of so many places of the text.
    pub(super) fn change_steady(
        &mut self,
        name: &str,
        value: Option<SecretBytes>,
        exported: bool,
        times: usize,
    ) {
        let found = self.mentions.get(&hash(name)).copied().unwrap_or_default();
        let steady = found <= times || name == ALL_EXPORTED;
        if let Some(top) = self.top() {
            top.changes.insert(name.to_owned(), Variable { value, exported, steady });
        }
    }

    /// Whether `set -a` is on; `None` = that depends.
    pub(super) fn all_exported(&self) -> Option<bool> {
        self.variable(ALL_EXPORTED)?.value.as_ref().map(|value| value.expose() != OFF.as_bytes())
    }

    /// Whether what happens here depends on more than the presence of this file.
    pub(super) fn perhaps(&self, path: Option<&Path>) -> bool {
        let depends = |frame: &Frame| {
            frame.conditional() && (frame.function || path.is_none() || frame.tested.as_deref() != path)
        };
        self.frames.iter().any(|frame| frame.forked || depends(frame))
    }

    /// This process of the text ends here. `leaves`: the start goes on without the rest of the text.
    pub(super) fn end(&mut self, leaves: bool) {
        let since = self.frames.iter().rposition(Frame::process).unwrap_or_default();
        let conditional = self.frames.get(since..).unwrap_or_default().iter().any(Frame::conditional);
        if !conditional && let Some(top) = self.frames.last_mut() {
            // A list that runs beside the shell ends alone.
            top.ended = true;
        } else if leaves {
            self.leave();
        }
    }

    /// The rest of this process may not be reached.
    pub(super) fn leave(&mut self) {
        let since = self.frames.iter().rposition(Frame::process).unwrap_or_default();
        let function = self.frames.iter().any(|frame| frame.function);
        if let Some(process) = self.frames.get_mut(since) {
            process.forked |= !function;
        }
    }
}
