/// The start of every placeholder that the operator must replace.
pub const FILL_IN: &str = "FILL-IN";
