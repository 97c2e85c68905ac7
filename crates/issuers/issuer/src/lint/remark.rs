/// What is doubtful about one key of a spec.
pub(crate) struct Remark {
    /// The permanent name of the rule.
    pub(crate) rule: &'static str,
    /// The path of keys; an item of an array is its number.
    pub(crate) key: String,
    /// What is doubtful, without any value of the text.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: String,
}
