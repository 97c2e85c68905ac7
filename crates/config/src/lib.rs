//! What keyroll.toml says, strictly parsed.
