use crate::at::At;
use crate::mistake::Mistake;
use crate::{Argument, Kind};

/// Reads an http address, of this machine or another. Refuses one with a user or a password.
pub(crate) fn read_url(
    key: &str,
    text: Option<&At<String>>,
    holes: &[&str],
) -> Result<Option<Argument>, Mistake> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |why: &str| Err(Mistake::new(Kind::WrongForm, format!("`{key}` {why}")).at(&text.span));
    let rest = text.value.strip_prefix("http://").or_else(|| text.value.strip_prefix("https://"));
    let Some(rest) = rest else { return wrong("must begin with http:// or https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return wrong("must name a host, without a user");
    }
    if text.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return wrong("holds a space or a control character");
    }
    let loopback = ["127.0.0.1", "localhost", "[::1]"];
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if text.value.starts_with("http://") && !loopback.contains(&host) {
        return wrong("must be https:// unless it is on loopback (127.0.0.1, [::1], localhost)");
    }
    Argument::read(key, text, holes).map(Some)
}
