//! The simulation: world, faults, workloads, invariants, mutants.
