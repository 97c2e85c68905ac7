//! What runs on a machine: safe file replacement, searches by value, evidence, checks.
