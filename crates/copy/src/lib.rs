//! Formats: bytes in, bytes out; find and replace one value, touch nothing else.
