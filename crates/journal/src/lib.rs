//! The append-only list of events on SQLite, its persisted forms, and the witness beside it.
