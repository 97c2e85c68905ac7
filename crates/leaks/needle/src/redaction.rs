//! Replaces the occurrences of values by markers.

pub(crate) mod redactor;
pub(crate) mod regions;
pub(crate) mod whole_text;
pub(crate) mod wiped_buffer;
