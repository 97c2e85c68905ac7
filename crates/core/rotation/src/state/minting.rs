use crate::Seq;

/// How the new version is made: the value that we chose, and the mints that made nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Minting {
    chosen: Option<Seq>,
    /// Mints that were closed as never made.
    closed: Vec<Seq>,
    /// The operator looked at the console for a credential of such a mint.
    sought: bool,
    /// A mint that exchanges failed without a usable value: the operator makes the next value.
    by_hand: bool,
}

impl Minting {
    pub(crate) fn chosen(&self) -> Option<Seq> {
        self.chosen
    }

    pub(crate) fn closed(&self) -> &[Seq] {
        &self.closed
    }

    /// A credential may be left of a mint that was closed as never made.
    pub(crate) fn may_be_left(&self) -> bool {
        !self.closed.is_empty() && !self.sought
    }

    pub(crate) fn seek_by_hand(&mut self) {
        self.sought = true;
    }

    pub(crate) fn is_by_hand(&self) -> bool {
        self.by_hand
    }

    pub(crate) fn choose(&mut self, intent: Seq) {
        self.chosen = Some(intent);
    }

    pub(crate) fn close(&mut self, mint: Seq) {
        self.closed.push(mint);
        self.sought = false;
    }

    pub(crate) fn make_by_hand(&mut self) {
        self.by_hand = true;
    }

    /// Abandons the chosen value: the next version gets a value of its own. Returns the abandoned choice.
    pub(super) fn abandon(&mut self) -> Option<Seq> {
        self.chosen.take()
    }
}
