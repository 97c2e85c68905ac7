//! Counts with their unit.

pub use keyroll_inventory::quantity;
