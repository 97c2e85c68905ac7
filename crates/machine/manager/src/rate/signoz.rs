//! A number from SigNoz, whose metrics are those of OpenTelemetry: the newest points of a query in PromQL.
//!
//! Source: signoz.io/docs/metrics-management/query-range-api (the address, the header of the key), and in SigNoz/signoz
//! pkg/types/querybuildertypes/querybuildertypesv5: `req.go`, `prom_query.go` and `resp.go` (the fields of request and
//! answer), pkg/http/render (what surrounds the answer). pkg/querier/promql_query.go evaluates a query in PromQL over a
//! range and gives a time series, whatever `requestType` asks for: there is no instant query. `resp.go` rounds a value:
//! below 1 to three significant digits, from 1 on to three decimals.

use serde_json::{Value, json};

use super::largest::largest;

/// Where a query is sent.
pub(super) const PATH: &str = "/api/v5/query_range";
/// The header of the API key, in small letters: names of headers have no case.
pub(super) const KEY_HEADER: &str = "signoz-api-key";

/// How far back the query is evaluated, milliseconds.
const RANGE_MS: u64 = 5 * 60 * 1_000;
/// The time between two points, seconds. The range is a multiple of it, so that the last point is at the range's end.
const STEP_S: u64 = 30;
/// The highest age of a series' newest point, milliseconds: two steps, and the minute after which OpenTelemetry exports
/// its metrics (`OTEL_METRIC_EXPORT_INTERVAL`).
const AGE_MS_MAX: u64 = 2 * STEP_S * 1_000 + 60_000;

/// The body of the request for the rate at this time, milliseconds since 1970. The answer is not taken from SigNoz's
/// cache.
pub(super) fn request(query: &str, now_unix_ms: u64) -> Value {
    json!({
        "schemaVersion": "v1",
        "start": now_unix_ms.saturating_sub(RANGE_MS),
        "end": now_unix_ms,
        "requestType": "time_series",
        "compositeQuery": {
            "queries": [{ "type": "promql", "spec": { "name": "A", "query": query, "step": STEP_S } }],
        },
        "noCache": true,
    })
}

/// The rate in the answer to a request for this time: the largest of the newest values of all series. `Err` says why it
/// is unknown. A series without a fresh value makes it unknown, since its value of before is not that of now.
pub(super) fn number(answer: &Value, now_unix_ms: u64) -> Result<f64, String> {
    if answer.get("status").and_then(Value::as_str) != Some("success") {
        return Err("the server could not answer the query".to_owned());
    }
    // The second is where earlier versions have them.
    if ["/data/warning", "/data/data/warnings"].into_iter().any(|at| warns(answer.pointer(at))) {
        return Err("the server warns that its answer may not be the whole one".to_owned());
    }
    let data = answer.pointer("/data/data").unwrap_or(&Value::Null);
    let mut values = Vec::new();
    for result in list(data, "results")? {
        for aggregation in list(result, "aggregations")? {
            values.extend(list(aggregation, "series")?.iter().map(|series| newest(series, now_unix_ms)));
        }
    }
    largest(values)
}

fn warns(warnings: Option<&Value>) -> bool {
    warnings.is_some_and(|found| !found.is_null() && found.as_array().is_none_or(|all| !all.is_empty()))
}

/// The elements of a list; an empty one is written as `null`.
fn list<'a>(of: &'a Value, key: &str) -> Result<&'a [Value], String> {
    match of.get(key) {
        Some(Value::Array(all)) => Ok(all),
        Some(Value::Null) => Ok(&[]),
        Some(_) | None => Err(format!("the answer is no time series: it has no list of {key}")),
    }
}

/// The newest value of one series.
fn newest(series: &Value, now_unix_ms: u64) -> Result<f64, String> {
    let mut newest: Option<(u64, &Value)> = None;
    for point in list(series, "values")? {
        let at = point.get("timestamp").and_then(Value::as_u64).ok_or("a point of a series has no time")?;
        if newest.is_none_or(|(latest, _)| latest <= at) {
            newest = Some((at, point));
        }
    }
    let (at, point) = newest.ok_or("a series has no point")?;
    let age_ms = now_unix_ms.checked_sub(at).ok_or("the newest point of a series is in the future")?;
    if age_ms > AGE_MS_MAX {
        return Err(format!(
            "the newest point of a series is {} s old: aggregate what comes and goes, with `sum` or `max`",
            age_ms / 1_000
        ));
    }
    if point.get("partial").is_some_and(|partial| *partial != Value::Bool(false)) {
        return Err("the newest point of a series covers only a part of its time".to_owned());
    }
    let value = match point.get("value") {
        Some(Value::Number(number)) => number.as_f64(),
        // JSON has no other form for these: `NaN`, `Inf`, `-Inf`.
        Some(Value::String(text)) => text.parse::<f64>().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    value.ok_or_else(|| "a value is not a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    /// An answer with these series, each of points with their age in seconds.
    fn answer(series: &[&[(u64, Value)]]) -> Value {
        let point = |(age_s, value): &(u64, Value)| json!({"timestamp": NOW - age_s * 1_000, "value": value});
        let one = |points: &&[(u64, Value)]| {
            json!({
                "labels": [{"key": {"name": "service.name"}, "value": "api"}],
                "values": points.iter().map(point).collect::<Vec<_>>(),
            })
        };
        whole(json!(series.iter().map(one).collect::<Vec<_>>()))
    }

    fn whole(series: Value) -> Value {
        let aggregations = json!([{"index": 0, "alias": "", "meta": {}, "series": series}]);
        let results = json!([{"queryName": "A", "aggregations": aggregations}]);
        let meta = json!({"rowsScanned": 0, "bytesScanned": 0, "durationMs": 1});
        json!({"status": "success", "data": {"type": "time_series", "data": {"results": results}, "meta": meta}})
    }

    /// The rate of one series with this newest value.
    fn of(value: Value) -> Result<f64, String> {
        number(&answer(&[&[(60, json!(0.5)), (0, value)]]), NOW)
    }

    #[test]
    fn the_newest_point_of_each_series_counts_and_of_all_series_the_largest() {
        let falling: &[(u64, Value)] = &[(90, json!(0.9)), (60, json!(0.5)), (30, json!(0.02))];
        assert_eq!(number(&answer(&[falling]), NOW), Ok(0.02));
        assert_eq!(number(&answer(&[falling, &[(0, json!(0.25))], &[(0, json!(0))]]), NOW), Ok(0.25));
        let unsorted: &[(u64, Value)] = &[(0, json!(0.3)), (30, json!(0.1))];
        assert_eq!(number(&answer(&[unsorted]), NOW), Ok(0.3));
        assert_eq!(of(json!("Inf")), Ok(f64::INFINITY));
    }

    #[test]
    fn what_is_no_number_is_unknown_and_never_zero() {
        for value in [json!(null), json!("NaN"), json!("x"), json!(""), json!(true), json!([0]), json!({})] {
            assert!(of(value.clone()).is_err(), "{value}");
        }
        let mut without = answer(&[&[(0, json!(0))]]);
        assert_eq!(number(&without, NOW), Ok(0.0));
        let series = without.pointer_mut("/data/data/results/0/aggregations/0/series").unwrap();
        series[0]["values"][0].as_object_mut().unwrap().remove("value");
        assert!(number(&without, NOW).is_err());
    }

    #[test]
    fn a_point_that_is_too_old_is_no_data() {
        let aged = |age_s: u64| number(&answer(&[&[(age_s, json!(0.001))]]), NOW);
        assert_eq!(aged(120), Ok(0.001));
        assert!(aged(121).is_err_and(|why| why.contains("is 121 s old")));
        let mixed: &[&[(u64, Value)]] = &[&[(0, json!(0.001))], &[(150, json!(0.001))]];
        assert!(number(&answer(mixed), NOW).is_err(), "one fresh series does not stand for another");
        assert!(number(&answer(&[&[(0, json!(0.001))]]), NOW - 1).is_err(), "in the future");
    }

    #[test]
    fn no_series_and_no_points_are_unknown() {
        assert!(number(&answer(&[]), NOW).is_err());
        assert!(number(&whole(Value::Null), NOW).is_err(), "an empty list of Go");
        assert!(number(&answer(&[&[(0, json!(0))], &[]]), NOW).is_err());
        assert!(number(&whole(json!([{"labels": [], "values": null}])), NOW).is_err());
        assert!(number(&whole(json!([{"values": [{"value": 0.001}]}])), NOW).is_err(), "without a time");
    }

    #[test]
    fn an_error_a_warning_and_another_form_are_unknown() {
        let good = answer(&[&[(0, json!(0.001))]]);
        assert_eq!(number(&good, NOW), Ok(0.001));
        let with = |at: &str, key: &str, value: Value| {
            let mut changed = good.clone();
            changed.pointer_mut(at).unwrap()[key] = value;
            number(&changed, NOW)
        };
        assert!(with("", "status", json!("error")).is_err());
        assert!(with("/data", "warning", json!({"message": "Encountered warnings"})).is_err());
        assert!(with("/data/data", "warnings", json!(["a shard did not answer"])).is_err());
        assert_eq!(with("/data", "warning", Value::Null), Ok(0.001));
        assert_eq!(with("/data/data", "warnings", json!([])), Ok(0.001));
        let point = "/data/data/results/0/aggregations/0/series/0/values/0";
        assert!(with(point, "partial", json!(true)).is_err());
        assert_eq!(with(point, "partial", json!(false)), Ok(0.001));
        let scalar = json!([{"queryName": "A", "columns": [], "data": [[0.001]]}]);
        assert!(with("/data/data", "results", scalar).is_err());
        assert!(number(&json!({"status": "success", "data": {}}), NOW).is_err());
        assert!(number(&json!([]), NOW).is_err());
    }

    #[test]
    fn a_request_is_for_the_last_five_minutes_with_a_point_at_their_end() {
        let request = request("sum(rate({\"http.server.errors\"}[5m]))", NOW);
        assert_eq!((&request["start"], &request["end"]), (&json!(NOW - 300_000), &json!(NOW)));
        assert_eq!(request["requestType"], "time_series");
        let spec = json!({"name": "A", "query": "sum(rate({\"http.server.errors\"}[5m]))", "step": 30});
        assert_eq!(request["compositeQuery"], json!({"queries": [{"type": "promql", "spec": spec}]}));
        assert_eq!(RANGE_MS % (STEP_S * 1_000), 0);
    }
}
