use std::hash::{BuildHasher, RandomState};

use keyroll_needle::{HEAD_BYTES_MAX, half_letter};
use zeroize::Zeroizing;

use crate::rest::Form;
use crate::{Report, Shield, Sought};

/// A piece that is repeated at the beginning of the next one, which has more, and has so many bytes is all of the text so far: a shorter
/// one cannot hold more of a value than may be shown.
const REPEATED_BYTES_MIN: usize = HEAD_BYTES_MAX + 1;

/// How sure it is that a text comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It does: its form is known.
    Pieces,
    /// Its name says so. A piece may be a text by itself, or repeat the text so far.
    Likely,
    /// Nothing speaks for it: rules look at each by itself, and values may go over two.
    Perhaps,
}

/// A text that comes in pieces.
pub(crate) struct Text {
    manner: Manner,
    shield: Shield,
    /// The beginning of a letter of several bytes.
    letter: Zeroizing<Vec<u8>>,
    /// How long the last piece was, and its hash.
    last: Option<(usize, u64)>,
    /// It began with all of the one before, and had more; so did those before it, or they were the same.
    grows: bool,
    hasher: RandomState,
    /// Of a text that is repeated: what was shown of it.
    shown: Option<Zeroizing<Vec<u8>>>,
    /// The number of its last piece, in all of the stream.
    pub(crate) used: u64,
    /// How its last event was, where something is held back. `None` then = too long.
    pub(crate) form: Option<Form>,
}

impl Text {
    pub(crate) fn new(sought: &Sought, manner: Manner) -> Self {
        Self {
            manner,
            shield: shield(sought, manner),
            letter: Zeroizing::default(),
            last: None,
            grows: false,
            hasher: RandomState::new(),
            shown: None,
            used: 0,
            form: None,
        }
    }

    pub(crate) fn look_for_sought(&mut self, sought: &Sought) {
        self.shield.look_for_sought(sought);
    }

    pub(crate) fn holds_back(&self) -> bool {
        self.held_back() > 0
    }

    fn held_back(&self) -> usize {
        self.shield.held_back() + self.letter.len()
    }

    /// Nothing says that it goes on, and nothing of it waits.
    pub(crate) fn may_have_ended(&self) -> bool {
        self.manner != Manner::Pieces && !self.holds_back()
    }

    /// What of a piece, and of what was held back, may be shown now; whole letters. Rules that look at the piece alone see what stands
    /// before it as well.
    pub(crate) fn push(
        &mut self,
        sought: &Sought,
        (before, piece): (&[u8], &[u8]),
        ends: bool,
        report: &mut Report,
    ) -> Vec<u8> {
        self.form = None;
        let repeats = self.manner != Manner::Pieces && self.repeats(piece);
        if repeats {
            let (last, hasher, used) = (self.last, self.hasher.clone(), self.used);
            *self = Self { last, grows: true, hasher, used, ..Self::new(sought, self.manner) };
        }
        let mut out = std::mem::take(&mut *self.letter);
        // Behind another text a rule may miss how a value begins that stands in a text of its own.
        if self.manner != Manner::Pieces {
            for (span, rule) in sought.by_rule(before, piece) {
                self.shield.find_alone(&span, rule);
            }
        }
        self.shield.push(piece, &mut out);
        // The piece may be all of its text: what was found in it is not to stand in another event.
        if self.manner != Manner::Pieces {
            self.shield.close(&mut out);
        }
        if ends {
            self.shield.finish(&mut out);
        } else {
            let half = half_letter(&out);
            *self.letter = out.split_off(out.len() - half);
        }
        report.add(&self.shield.take_report());
        self.shown = (repeats && self.holds_back()).then(|| Zeroizing::new(out.clone()));
        out
    }

    /// What is sent in the place of the last piece where the stream ends: what was held back; of a text that is repeated all of it.
    pub(crate) fn finish(&mut self, report: &mut Report) -> Vec<u8> {
        let mut rest = std::mem::take(&mut *self.letter);
        self.shield.finish(&mut rest);
        report.add(&self.shield.take_report());
        let shown = self.shown.take().filter(|_| !rest.is_empty());
        shown.map_or_else(|| rest.clone(), |shown| [shown.as_slice(), &rest].concat())
    }

    /// Whether a piece is all of the text so far: it begins with all of the last one, and has more, or is the same in a text that grew so
    /// before. The same alone may as well be another text, or go on: nothing is dropped then. Nor where more is held back than the
    /// last piece was. The next one is compared with it.
    fn repeats(&mut self, piece: &[u8]) -> bool {
        let held = self.held_back();
        let last = self.last.replace((piece.len(), self.hasher.hash_one(piece)));
        let Some((length, hash)) = last.filter(|(length, _)| *length > 0) else {
            self.grows = false;
            return false;
        };
        let begins = piece.get(..length).is_some_and(|begin| self.hasher.hash_one(begin) == hash);
        self.grows = begins && (self.grows || piece.len() > length && held <= length);
        self.grows && length >= REPEATED_BYTES_MIN
    }
}

fn shield(sought: &Sought, manner: Manner) -> Shield {
    match manner {
        Manner::Pieces | Manner::Likely => Shield::new(sought),
        Manner::Perhaps => Shield::new(&sought.each_alone()),
    }
}
