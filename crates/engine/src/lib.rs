//! Drives rotations: pure scheduling in the driver, a thin shell that carries operations out.
