//! Sources of truth for values: keyroll's own sealed store.
