//! One HTTP request to a store, and its answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The status of the answer and its body, if that is JSON. The answer ends where its head says, or with the connection.
pub fn exchange(host: &str, request: &str) -> Result<(u16, Value), String> {
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) =
            text.split_once("\r\n\r\n").filter(|(head, body)| count == 0 || whole(head, body))
        else {
            if count == 0 {
                return Err("no answer".to_owned());
            }
            continue;
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| "an answer without a status".to_owned())?;
        return Ok((status, serde_json::from_str(body).unwrap_or_default()));
    }
}

fn whole(head: &str, body: &str) -> bool {
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse::<usize>().ok()).is_some_and(|length| body.len() >= length)
}
