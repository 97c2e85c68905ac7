/// How certain it is that a text is sent in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextMode {
    /// Certain: its schema is known.
    Pieces,
    /// Its name says so. A piece may also be a whole text, or repeat the text so far.
    Likely,
    /// Unlikely: rules scan each piece by itself, but values may span two.
    Unlikely,
}
