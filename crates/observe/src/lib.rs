//! Processes seen from outside: environment, memory, sockets, logs.
