use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// What is answered.
pub(super) struct Reply {
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
    location: Option<String>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, Zeroizing::new(body.to_string().into_bytes()))
    }

    pub(super) fn raw(status: u16, body: Zeroizing<Vec<u8>>) -> Self {
        Self { status, body, location: None }
    }

    /// Source: <https://developer.hashicorp.com/vault/api-docs#error-response>.
    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "errors": [message] }))
    }

    /// There is nothing at the path.
    pub(super) fn nothing() -> Self {
        Self::json(404, &json!({ "errors": [] }))
    }

    pub(super) fn done() -> Self {
        Self::raw(204, Zeroizing::default())
    }

    pub(super) fn elsewhere(location: String) -> Self {
        Self { status: 307, body: Zeroizing::default(), location: Some(location) }
    }

    /// As it is sent. The answers of Go's server have the time in a header.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap_or_default();
        let location = self.location.as_ref().map_or_else(String::new, |to| format!("Location: {to}\r\n"));
        let length = if self.status == 204 {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", self.body.len())
        };
        let head = format!("HTTP/1.1 {} X\r\nDate: {date}\r\n{location}{length}\r\n", self.status);
        let mut all = Zeroizing::new(Vec::with_capacity(head.len() + self.body.len()));
        all.extend_from_slice(head.as_bytes());
        all.extend_from_slice(&self.body);
        all
    }
}
