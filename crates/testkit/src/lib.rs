//! Real parts for tests: databases, hosts, managers; their start and stop.
