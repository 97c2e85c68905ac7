//! A number from a server that answers Prometheus's queries. Source: prometheus.io/docs/prometheus/latest/querying/api,
//! "Instant queries" and "Expression query result formats".

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use keyroll_http::percent_encode;
use keyroll_secret::SecretBytes;
use serde_json::Value;

use crate::http::Url;

/// The longest bearer token, bytes.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// A query that gives how many of a service's requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateQuery {
    /// The server: `http://127.0.0.1:9090`.
    pub url: String,
    /// The query.
    pub query: String,
    /// The file with the bearer token.
    pub bearer: Option<PathBuf>,
}

impl RateQuery {
    /// Runs the query once. `Err` says why the rate is unknown: no answer, an error, no data, a value that is not a
    /// number. Of several series the largest counts.
    pub fn ask(&self, deadline: Instant) -> Result<f64, String> {
        let base = self.url.trim_end_matches('/');
        let mut url = format!("{base}/api/v1/query?query=");
        percent_encode(&mut url, self.query.as_bytes());
        let url = Url::parse(&url)?;
        let token = self.token()?;
        let answer = url.get_as(token.as_ref(), deadline)?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("HTTP status {}", answer.status));
        }
        let answer: Value =
            serde_json::from_slice(&answer.body).map_err(|_| "the answer is not JSON".to_owned())?;
        number(&answer)
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
    let mut most = None;
    for sample in samples {
        let text = sample.get(1).and_then(Value::as_str).unwrap_or_default();
        let value: f64 = text.parse().map_err(|_| "a value is not a number".to_owned())?;
        if value.is_nan() {
            return Err(
                "there is no data to divide by (NaN): add `or vector(0)` where that is no failure".to_owned()
            );
        }
        most = Some(most.map_or(value, |most: f64| most.max(value)));
    }
    most.ok_or_else(|| "no series has data: add `or vector(0)` where that is no failure".to_owned())
}

#[cfg(test)]
mod tests {
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
        assert!(number(&serde_json::json!({"status": "error", "error": "x"})).is_err());
    }
}
