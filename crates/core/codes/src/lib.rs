//! The codes of problems that a person can meet: one variant, number, title and page each.
//!
//! A code is for people. Programs branch on the kind of an error, never on its code.

mod code;

pub use code::Code;
