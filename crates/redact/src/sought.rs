use std::sync::Arc;

use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles, Piece, Redactor};

use crate::Report;
use crate::rules_stream::RuleStream;

/// What is looked for: known values, and credentials by rule. A copy costs nothing.
#[derive(Clone)]
pub struct Sought {
    /// At the beginning of a stream; each stream takes another one.
    known: Arc<Redactor>,
    rules: Option<&'static Rules>,
}

impl Sought {
    /// These values; with rules, what they find as well.
    pub fn new(needles: Arc<Needles>, rules: Option<&'static Rules>) -> Self {
        Self { known: Arc::new(Redactor::new(needles)), rules }
    }

    /// The same rules and other values.
    pub fn with(&self, needles: Arc<Needles>) -> Self {
        Self::new(needles, self.rules)
    }

    pub(crate) fn known(&self) -> &Redactor {
        &self.known
    }

    pub(crate) fn rules(&self) -> Option<&'static Rules> {
        self.rules
    }

    /// Replaces in a whole text; `None` = nothing in it is to be replaced.
    pub fn replace(&self, text: &[u8], report: &mut Report) -> Option<Vec<u8>> {
        let needles = self.known.needles();
        let mut out = Vec::new();
        let Some(rules) = self.rules else {
            let any = needles.pieces(text, &mut |piece| match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(id) => out.extend(marker(needles, id, report)),
            });
            return any.then_some(out);
        };
        let mut stream = RuleStream::new(rules);
        let any = needles.pieces(text, &mut |piece| match piece {
            Piece::Text(text) => stream.push(text, report, &mut out),
            Piece::Value(id) => {
                let marker = marker(needles, id, report);
                stream.push_marker(marker, report, &mut out);
            }
        });
        if !any {
            let mut found = false;
            rules.find(text, &mut |_| found = true);
            if !found {
                return None;
            }
            stream.push(text, report, &mut out);
        }
        stream.finish(report, &mut out);
        Some(out)
    }
}

/// What stands for a known value; it is counted.
pub(crate) fn marker(needles: &Needles, id: NeedleId, report: &mut Report) -> Vec<u8> {
    let number = id.0.to_string();
    let name = needles.name(id).unwrap_or(&number);
    report.value(name);
    [b"[redacted:", name.as_bytes(), b"]"].concat()
}
