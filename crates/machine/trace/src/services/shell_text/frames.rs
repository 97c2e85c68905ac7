use std::path::Path;

use keyroll_secret::SecretBytes;

use super::state::{ALL_EXPORTED, Frame, Kind, OFF, Reader, Variable};
use super::tokens::hash;

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
            if doubt && self.exported(&name) != variable.exported {
                variable.exported = None;
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
                let seen =
                    (found.steady || !again) && (found.exported == Some(true) || !exported_only) && !failed;
                return Some(found).filter(|_| seen);
            }
            failed = frame.otherwise;
            again |= frame.kind == Kind::Loop || frame.function;
            exported_only |= frame.kind == Kind::Shell;
        }
        None
    }

    /// Whether programs get a variable that the shell sets here; `None` = that depends. A variable that the shell was
    /// started with is not known here.
    pub(super) fn exported(&self, name: &str) -> Option<bool> {
        let mut again = false;
        for frame in self.frames.iter().rev() {
            if let Some(found) = frame.changes.get(name) {
                return found.exported.filter(|exported| *exported || !again);
            }
            again |= frame.kind == Kind::Loop || frame.function;
        }
        let elsewhere = again && self.mentions.get(&hash(name)).is_some_and(|times| *times > 1);
        if elsewhere { None } else { Some(false) }
    }

    pub(super) fn change(&mut self, name: &str, value: Option<SecretBytes>, exported: Option<bool>) {
        self.change_steady(name, value, exported, 1);
    }

    /// The same for a change that is one of so many places of the text.
    pub(super) fn change_steady(
        &mut self,
        name: &str,
        value: Option<SecretBytes>,
        exported: Option<bool>,
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
        let process = self.frames.iter().rposition(Frame::process).unwrap_or_default();
        if self.frames.iter().any(|frame| frame.function) {
            self.function_ends = true;
        } else if let Some(process) = self.frames.get_mut(process) {
            process.forked = true;
        }
    }
}
