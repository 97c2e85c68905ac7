use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_inventory::{Cleaner, Missed};
use serde::Serialize;
use serde_json::Value;

use crate::cleaned::cleaned;
use crate::frame::{End, Frame, Hello, HostHello, Item, Note};
use crate::wire::{FRAME_BYTES_MAX, encoded};

/// A frame with items is written from this size on, bytes.
const FRAME_BYTES: usize = 1 << 20;

/// The largest item, bytes: with what is gathered before it, it fits a frame.
const ITEM_BYTES_MAX: usize = FRAME_BYTES_MAX - 2 * FRAME_BYTES;

/// What the threads of a host's side share.
pub(crate) struct Shared {
    /// A call was heard, and its last frame is not written yet.
    pub(crate) busy: AtomicBool,
    out: Mutex<Out>,
}

struct Out {
    output: Box<dyn Write + Send>,
    cleaner: Cleaner,
    /// The call that is answered.
    call: Option<u64>,
    /// Why nothing more can be written.
    failed: Option<io::Error>,
}

/// A frame whose texts were cleaned. It is read as a [`Frame`].
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Answer { id: u64, items: &'a [Value], end: Option<Value> },
    Note { id: u64, note: Value },
}

impl Shared {
    pub(crate) fn new(output: impl Write + Send + 'static) -> Self {
        let (output, cleaner) = (Box::new(output), Cleaner::new(None));
        let out = Mutex::new(Out { output, cleaner, call: None, failed: None });
        Self { busy: AtomicBool::new(false), out }
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the driver's first frame.
    pub(crate) fn greet(&self, hello: HostHello) {
        self.out().write(&Frame::Hello(Hello::Host(hello)));
    }

    /// Says that the call is still worked on, if there is one.
    pub(crate) fn alive(&self) {
        let mut out = self.out();
        if let Some(id) = out.call {
            out.note(id, &Note::Alive);
        }
    }

    /// Why nothing more can be written, once.
    pub(crate) fn failed(&self) -> io::Result<()> {
        self.out().failed.take().map_or(Ok(()), Err)
    }
}

impl Out {
    /// Writes a frame. After a failure nothing more is written: a part of a frame may have been.
    fn write(&mut self, frame: &impl Serialize) {
        if self.failed.is_some() {
            return;
        }
        let written = encoded(frame).map_err(io::Error::other).and_then(|bytes| {
            self.output.write_all(&bytes)?;
            self.output.flush()
        });
        self.failed = written.err();
    }

    fn note(&mut self, id: u64, note: &Note) {
        if let Some(note) = cleaned(note, &self.cleaner) {
            self.write(&Written::Note { id, note });
        }
    }
}

/// Takes the parts of an answer, cleans every text in them, and writes them in frames.
pub struct Outbox<'a> {
    shared: &'a Shared,
    id: u64,
    items: Vec<Value>,
    bytes: usize,
}

impl<'a> Outbox<'a> {
    /// Begins the answer to a call.
    pub(crate) fn new(shared: &'a Shared, id: u64) -> Self {
        shared.out().call = Some(id);
        Self { shared, id, items: Vec::new(), bytes: 0 }
    }

    /// Cleans every text from now on with this cleaner, also in the answers to later calls.
    pub fn clean_with(&mut self, cleaner: Cleaner) {
        self.shared.out().cleaner = cleaner;
    }

    /// Adds an item to the answer. One that is too large for a frame is named as missed instead.
    pub fn item(&mut self, item: Item) {
        if self.add(&item) {
            return;
        }
        let what = "a part of the answer".to_owned();
        self.add(&Item::Missed(Missed { what, why: "it is too large to be sent".to_owned() }));
    }

    /// Says something while the call is worked on.
    pub fn note(&mut self, note: Note) {
        self.shared.out().note(self.id, &note);
    }

    fn add(&mut self, item: &Item) -> bool {
        let value = cleaned(item, &self.shared.out().cleaner);
        let sized = value.and_then(|value| Some((serde_json::to_vec(&value).ok()?.len(), value)));
        let Some((bytes, value)) = sized.filter(|(bytes, _)| *bytes <= ITEM_BYTES_MAX) else { return false };
        self.items.push(value);
        // The comma after it too.
        self.bytes += bytes + 1;
        if self.bytes >= FRAME_BYTES {
            self.write(None);
        }
        true
    }

    fn write(&mut self, end: Option<Value>) {
        self.shared.out().write(&Written::Answer { id: self.id, items: &self.items, end });
        self.items.clear();
        self.bytes = 0;
    }

    /// Writes the rest of the answer.
    pub(crate) fn end(mut self, end: &End) {
        let end = {
            let mut out = self.shared.out();
            out.call = None;
            cleaned(end, &out.cleaner)
        };
        // The driver may send the next call as soon as it has read this frame.
        self.shared.busy.store(false, Ordering::SeqCst);
        self.write(end);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wire::read_frame;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(kept: &Kept) -> Vec<Frame> {
        let bytes = kept.0.lock().unwrap().clone();
        let mut rest = bytes.as_slice();
        std::iter::from_fn(|| read_frame(&mut rest).unwrap()).collect()
    }

    #[test]
    fn a_long_answer_is_cut_into_frames_and_only_the_last_one_has_an_end() {
        let kept = Kept::default();
        let shared = Shared::new(kept.clone());
        shared.busy.store(true, Ordering::SeqCst);
        let mut outbox = Outbox::new(&shared, 3);
        let item = |number: usize| Item::Sentence(format!("{number} {}", "x".repeat(100_000)));
        (0..40).for_each(|number| outbox.item(item(number)));
        outbox.note(Note::Alive);
        outbox.end(&End::Done);
        assert!(!shared.busy.load(Ordering::SeqCst));
        let (mut items, mut ends) = (Vec::new(), Vec::new());
        for frame in written(&kept) {
            if frame == (Frame::Note { id: 3, note: Note::Alive }) {
                continue;
            }
            let Frame::Answer { id: 3, items: some, end } = frame else { panic!("it is another frame") };
            items.extend(some);
            ends.push(end);
        }
        assert_eq!(items, (0..40).map(item).collect::<Vec<_>>());
        assert!(ends.len() > 3 && ends.pop() == Some(Some(End::Done)), "{ends:?}");
        assert!(ends.iter().all(Option::is_none), "{ends:?}");
    }

    #[test]
    fn an_item_that_is_too_large_is_named_as_missed() {
        let kept = Kept::default();
        let shared = Shared::new(kept.clone());
        let mut outbox = Outbox::new(&shared, 1);
        outbox.item(Item::Sentence("x".repeat(ITEM_BYTES_MAX)));
        outbox.item(Item::Refused);
        outbox.end(&End::Done);
        let frames = written(&kept);
        let [Frame::Answer { items, .. }] = &frames[..] else { panic!("one frame is wanted") };
        let [Item::Missed(missed), Item::Refused] = &items[..] else { panic!("{items:?}") };
        assert_eq!(missed.why, "it is too large to be sent");
    }

    #[test]
    fn the_largest_item_fits_a_frame_with_what_is_gathered_before_it() {
        let kept = Kept::default();
        let shared = Shared::new(kept.clone());
        let mut outbox = Outbox::new(&shared, 1);
        outbox.item(Item::Sentence("x".repeat(FRAME_BYTES - 100)));
        // The tag and the quotes are in the item too.
        outbox.item(Item::Sentence("x".repeat(ITEM_BYTES_MAX - 20)));
        outbox.end(&End::Done);
        assert!(shared.failed().is_ok());
        let items: usize = written(&kept)
            .into_iter()
            .map(|frame| if let Frame::Answer { items, .. } = frame { items.len() } else { 0 })
            .sum();
        assert_eq!(items, 2);
    }

    /// Takes a few bytes, and then no more.
    struct Full(usize, Kept);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            self.1.write(&bytes[..taken])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_written_after_a_failure() {
        let kept = Kept::default();
        let shared = Shared::new(Full(10, kept.clone()));
        let mut outbox = Outbox::new(&shared, 1);
        outbox.note(Note::Alive);
        outbox.note(Note::Alive);
        outbox.end(&End::Done);
        assert_eq!(kept.0.lock().unwrap().len(), 10);
        assert_eq!(shared.failed().unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
