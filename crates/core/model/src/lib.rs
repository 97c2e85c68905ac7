//! A small model of the protocol, beside its code. It is only a test: nothing here is part of keyroll.
//!
//! `docs/reference/model.md` says what it contains.
