//! keyroll, the command.
fn main() {}
