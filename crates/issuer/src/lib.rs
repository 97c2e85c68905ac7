//! Issuers as data: the runner of declarative specs.
