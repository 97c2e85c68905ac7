//! Process managers: the verb that really applies a value.
