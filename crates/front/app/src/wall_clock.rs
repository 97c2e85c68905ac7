use jiff::Zoned;

/// The time of day, in this machine's time zone. A rotation gets its time from the port `Clock` instead.
#[expect(clippy::disallowed_methods, reason = "the one place of the fronts that reads the clock")]
pub fn now() -> Zoned {
    Zoned::now()
}
