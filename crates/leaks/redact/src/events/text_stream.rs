use std::hash::{BuildHasher, RandomState};

use keyroll_needle::{HEAD_BYTES_MAX, half_letter};
use zeroize::Zeroizing;

use crate::events::tail::TailEvent;
use crate::events::text_mode::TextMode;
use crate::{Patterns, RedactingStream, Report};

/// The shortest piece that counts as repeated when the next one begins with it and is longer: a shorter one contains
/// no more of a value than may be shown.
const REPEATED_BYTES_MIN: usize = HEAD_BYTES_MAX + 1;

/// A text that is sent in pieces.
pub(crate) struct TextStream {
    mode: TextMode,
    stream: RedactingStream,
    /// An incomplete UTF-8 character.
    letter: Zeroizing<Vec<u8>>,
    /// The length and hash of the last piece.
    last: Option<(usize, u64)>,
    /// Whether the text grows: the last piece began with the whole previous piece and was longer, and earlier pieces
    /// did the same or were equal.
    grows: bool,
    hasher: RandomState,
    /// For a text that is repeated: the part that was shown.
    shown: Option<Zeroizing<Vec<u8>>>,
    /// The number of its last piece in the whole stream.
    pub(crate) used: u64,
    /// The structure of its last event, if bytes are held back; `None` if it is too long.
    pub(crate) form: Option<TailEvent>,
}

impl TextStream {
    pub(crate) fn new(patterns: &Patterns, mode: TextMode) -> Self {
        Self {
            mode,
            stream: redacting_stream(patterns, mode),
            letter: Zeroizing::default(),
            last: None,
            grows: false,
            hasher: RandomState::new(),
            shown: None,
            used: 0,
            form: None,
        }
    }

    pub(crate) fn set_patterns(&mut self, patterns: &Patterns) {
        self.stream.set_patterns(patterns);
    }

    pub(crate) fn holds_back(&self) -> bool {
        self.held_back() > 0
    }

    fn held_back(&self) -> usize {
        self.stream.held_back() + self.letter.len()
    }

    /// Whether it seems complete and holds nothing back.
    pub(crate) fn may_have_ended(&self) -> bool {
        self.mode != TextMode::Pieces && !self.holds_back()
    }

    /// Redacts a piece; returns what may be shown now, in whole characters. Rules that scan the piece alone see the
    /// text before it too.
    pub(crate) fn push(
        &mut self,
        patterns: &Patterns,
        (before, piece): (&[u8], &[u8]),
        ends: bool,
        report: &mut Report,
    ) -> Vec<u8> {
        self.form = None;
        let repeats = self.mode != TextMode::Pieces && self.repeats(piece);
        if repeats {
            let (last, hasher, used) = (self.last, self.hasher.clone(), self.used);
            *self = Self { last, grows: true, hasher, used, ..Self::new(patterns, self.mode) };
        }
        let mut out = std::mem::take(&mut *self.letter);
        // Rules may miss the start of a whole value after another text.
        if self.mode != TextMode::Pieces {
            for (span, rule) in patterns.by_rule(before, piece) {
                self.stream.find_alone(&span, rule);
            }
        }
        self.stream.push(piece, &mut out);
        // The piece may be the whole text: its replacement belongs in this event.
        if self.mode != TextMode::Pieces {
            self.stream.close(&mut out);
        }
        if ends {
            self.stream.finish(&mut out);
        } else {
            let half = half_letter(&out);
            *self.letter = out.split_off(out.len() - half);
        }
        report.add(&self.stream.take_report());
        self.shown = (repeats && self.holds_back()).then(|| Zeroizing::new(out.clone()));
        out
    }

    /// The text of the final event: the bytes that were held back; for a repeated text all of it.
    pub(crate) fn finish(&mut self, report: &mut Report) -> Vec<u8> {
        let mut rest = std::mem::take(&mut *self.letter);
        self.stream.finish(&mut rest);
        report.add(&self.stream.take_report());
        let shown = self.shown.take().filter(|_| !rest.is_empty());
        shown.map_or_else(|| rest.clone(), |shown| [shown.as_slice(), &rest].concat())
    }

    /// Whether a piece is the whole text so far: it begins with the last piece and is longer, or equals it in a text
    /// that grew before. An equal piece alone may be another text, or the next piece of this one: then nothing is
    /// dropped. Nothing is dropped either if more bytes are held back than the last piece had.
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

fn redacting_stream(patterns: &Patterns, mode: TextMode) -> RedactingStream {
    match mode {
        TextMode::Pieces | TextMode::Likely => RedactingStream::new(patterns),
        TextMode::Unlikely => RedactingStream::new(&patterns.each_alone()),
    }
}
