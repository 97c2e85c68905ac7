//! The exact matcher: thousands of values in every encoding at memory speed.
