//! PostgreSQL as an issuer: two login roles under one owner role.
