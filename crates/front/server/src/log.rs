use std::sync::Arc;

/// Writes one line of the log.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;
