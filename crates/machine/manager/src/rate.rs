//! A number from a server that answers queries in PromQL. Source for Prometheus:
//! prometheus.io/docs/prometheus/latest/querying/api, "Instant queries" and "Expression query result formats"; for SigNoz
//! see `rate/signoz.rs`.

mod largest;
mod signoz;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyroll_http::header::HeaderName;
use keyroll_http::{Response, percent_encode};
use keyroll_secret::SecretBytes;
use serde_json::Value;

use crate::http::Url;
use largest::largest;

/// The longest bearer token, bytes.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateApi {
    /// By Prometheus's instant query.
    Prometheus,
    /// By SigNoz's query of a range.
    SigNoz,
}

/// A query that gives how many of a service's requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateQuery {
    /// The server: `http://127.0.0.1:9090`.
    pub url: String,
    /// How the server is asked.
    pub api: RateApi,
    /// The query, in PromQL.
    pub query: String,
    /// The file with the bearer token; for SigNoz, with its API key.
    pub bearer: Option<PathBuf>,
}

impl RateQuery {
    /// Runs the query once. `Err` says why the rate is unknown: no answer, an error, no data, old data, a value that is
    /// not a number. Of several series the largest counts.
    pub fn ask(&self, deadline: Instant) -> Result<f64, String> {
        let token = self.token()?;
        match self.api {
            RateApi::Prometheus => self.ask_prometheus(token.as_ref(), deadline),
            RateApi::SigNoz => self.ask_signoz(token.as_ref(), deadline),
        }
    }

    fn ask_prometheus(&self, token: Option<&SecretBytes>, deadline: Instant) -> Result<f64, String> {
        let mut target = "/api/v1/query?query=".to_owned();
        percent_encode(&mut target, self.query.as_bytes());
        let answer = self.at(&target)?.get_as(token, deadline)?;
        number(&json_of(&answer)?)
    }

    fn ask_signoz(&self, key: Option<&SecretBytes>, deadline: Instant) -> Result<f64, String> {
        let now = now_unix_ms();
        let body = signoz::request(&self.query, now).to_string().into_bytes();
        let name = HeaderName::from_static(signoz::KEY_HEADER);
        let answer = self.at(signoz::PATH)?.post_with_key(name, key, body, deadline)?;
        signoz::number(&json_of(&answer)?, now)
    }

    /// An address of the server.
    fn at(&self, target: &str) -> Result<Url, &'static str> {
        Url::parse(&format!("{}{target}", self.url.trim_end_matches('/')))
    }

    fn token(&self) -> Result<Option<SecretBytes>, String> {
        let Some(path) = &self.bearer else { return Ok(None) };
        let failed = |error: std::io::Error| format!("the token {}: {error}", path.display());
        let mut bytes = Vec::with_capacity(usize::try_from(TOKEN_BYTES_MAX).unwrap_or(0));
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(TOKEN_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let end = bytes.trim_ascii_end().len();
        bytes.truncate(end);
        let token = SecretBytes::new(bytes);
        match token.expose().iter().all(u8::is_ascii_graphic) && !token.is_empty() {
            true => Ok(Some(token)),
            false => Err(format!(
                "the token {} is empty, or has characters that an HTTP header cannot contain",
                path.display()
            )),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "SigNoz is asked for a range of the time of day")]
fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

fn json_of(answer: &Response) -> Result<Value, String> {
    if !(200..300).contains(&answer.status) {
        return Err(format!("HTTP status {}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| "the answer is not JSON".to_owned())
}

fn number(answer: &Value) -> Result<f64, String> {
    if answer.get("status").and_then(Value::as_str) != Some("success") {
        return Err("the server could not answer the query".to_owned());
    }
    let data = answer.get("data");
    let kind = data.and_then(|data| data.get("resultType")).and_then(Value::as_str);
    let result = data.and_then(|data| data.get("result"));
    let samples: Vec<&Value> = match (kind, result) {
        (Some("scalar"), Some(sample)) => vec![sample],
        (Some("vector"), Some(Value::Array(series))) => {
            series.iter().map(|one| one.get("value").unwrap_or(&Value::Null)).collect()
        }
        _ => return Err("the query gives no single number at this moment".to_owned()),
    };
    largest(samples.into_iter().map(|sample| {
        let text = sample.get(1).and_then(Value::as_str).unwrap_or_default();
        text.parse::<f64>().map_err(|_| "a value is not a number".to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_the_largest_of_all_series_and_what_is_none_is_unknown() {
        let of = |data: &str| {
            number(&serde_json::from_str(&format!(r#"{{"status":"success","data":{data}}}"#)).unwrap())
        };
        let vector = |values: &[&str]| {
            let all: Vec<String> =
                values.iter().map(|value| format!(r#"{{"metric":{{}},"value":[1.5,"{value}"]}}"#)).collect();
            of(&format!(r#"{{"resultType":"vector","result":[{}]}}"#, all.join(",")))
        };
        assert_eq!(of(r#"{"resultType":"scalar","result":[1.5,"0.25"]}"#), Ok(0.25));
        assert_eq!(vector(&["0.01", "0.2", "0"]), Ok(0.2));
        assert_eq!(vector(&["+Inf"]), Ok(f64::INFINITY));
        assert!(vector(&[]).is_err() && vector(&["0", "NaN"]).is_err() && vector(&["x"]).is_err());
        assert!(of(r#"{"resultType":"matrix","result":[]}"#).is_err());
        assert!(number(&json!({"status": "error", "error": "x"})).is_err());
    }

    /// The first line of a request, its headers with their names in small letters, and its body.
    fn received(stream: &mut BufReader<TcpStream>) -> (String, Vec<(String, String)>, Value) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        let pair = |line: &String| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()));
        let headers: Vec<_> = lines.iter().filter_map(pair).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
        stream.read_exact(&mut body).unwrap();
        (lines[0].clone(), headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A server that answers one request as SigNoz does, if it has this key and this query; returns its address.
    fn signoz(key: &str, query: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let key = key.to_owned();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (line, headers, body) = received(&mut stream);
            let has = |name: &str, value: &str| headers.contains(&(name.to_owned(), value.to_owned()));
            let asked = line.starts_with("POST /api/v5/query_range HTTP/")
                && has("content-type", "application/json")
                && body["compositeQuery"]["queries"][0]["spec"]["query"] == query;
            let bearer = headers.iter().any(|(name, _)| name == "authorization");
            let status = match (asked, has("signoz-api-key", &key) && !bearer) {
                (true, true) => "200 OK",
                (true, false) => "401 Unauthorized",
                (false, _) => "400 Bad Request",
            };
            let series = json!([{"values": [{"timestamp": body["end"], "value": 0.25}]}]);
            let results = json!([{"queryName": "A", "aggregations": [{"series": series}]}]);
            let answer = json!({"status": "success", "data": {"data": {"results": results}}}).to_string();
            let length = answer.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all((head + &answer).as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn signoz_is_asked_with_its_key_in_its_own_header() {
        const QUERY: &str = "sum(rate({\"http.server.errors\"}[5m]))";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signoz.key");
        let key = keyroll_testkit::alphanumeric(32);
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let ask = |bearer: Option<&PathBuf>, query: &str| {
            let url = signoz(&key, QUERY);
            let asked =
                RateQuery { url, api: RateApi::SigNoz, query: query.to_owned(), bearer: bearer.cloned() };
            asked.ask(Instant::now() + Duration::from_secs(20))
        };
        assert_eq!(ask(Some(&file), QUERY), Ok(0.25));
        assert_eq!(ask(None, QUERY), Err("HTTP status 401".to_owned()));
        assert_eq!(ask(Some(&file), "up"), Err("HTTP status 400".to_owned()));
    }
}
