//! `GET /metrics`: what Prometheus reads. Every number is made at the scrape, from the journal and from the counters of
//! this process; nothing has to survive a crash.

use std::fmt;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keyroll_app::redact;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::answer::Refusal;
use crate::series::{Kind, Labels, Metric, of_process, of_upkeep};
use crate::server::Server;

/// The alert rules for these metrics, as Prometheus reads them.
pub const ALERT_RULES: &str = include_str!("alert-rules.yml");

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>, which older readers and `promtool check metrics`
    /// expect.
    Text,
}

impl Form {
    /// What the reader asks for; Prometheus accepts both.
    fn asked(headers: &HeaderMap) -> Self {
        let all = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let open = all.flat_map(|value| value.split(',')).any(|one| {
            let media = one.split(';').next().unwrap_or_default();
            media.trim().eq_ignore_ascii_case("application/openmetrics-text")
        });
        if open { Self::OpenMetrics } else { Self::Text }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Answers a scrape, also where the journal cannot be read: a scrape that fails hides why.
pub(crate) async fn scrape(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let form = Form::asked(&headers);
    let upkeep = server.upkeep().await;
    let why = upkeep.as_ref().err().map(|problem| problem.sentence());
    let is_news = server.unreadable.lock().unwrap_or_else(PoisonError::into_inner).is(why.as_deref());
    if let Some(why) = why.filter(|_| is_news) {
        server.log(&format!("the metrics are incomplete: {why}"));
    }
    let mut metrics = of_process(&server.counters, server.drives.count(), upkeep.is_ok());
    if let Ok(upkeep) = &upkeep {
        metrics.extend(of_upkeep(upkeep));
    }
    match encoded(metrics, form) {
        Ok(text) => {
            let mut response = (StatusCode::OK, redact::pass(&text).into_owned()).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(fmt::Error) => Refusal::new("the metrics could not be written").soon(),
    }
}

fn encoded(metrics: Vec<Metric>, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { metrics, form }));
    let mut text = String::new();
    encode_registry(&mut text, &registry)?;
    if form == Form::OpenMetrics {
        encode_eof(&mut text)?;
    }
    Ok(text)
}

/// The metrics of one scrape.
#[derive(Debug)]
struct Scrape {
    metrics: Vec<Metric>,
    form: Form,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in &self.metrics {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            // In OpenMetrics the name of a counter has no `_total`, and its samples have it; in the older form both do.
            let counts = metric.kind == Kind::Counter && self.form == Form::OpenMetrics;
            let name = match counts {
                true => metric.name.strip_suffix("_total").unwrap_or(metric.name),
                false => metric.name,
            };
            let mut all = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for (labels, value) in &metric.samples {
                match (counts, labels.is_empty()) {
                    (true, true) => all.encode_counter::<Labels, u64, f64>(value, None)?,
                    (true, false) => {
                        all.encode_family(labels)?.encode_counter::<Labels, u64, f64>(value, None)?;
                    }
                    (false, true) => all.encode_gauge(value)?,
                    (false, false) => all.encode_family(labels)?.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Vec<Metric> {
        let mut count = Metric::counter("keyroll_rotations_total", "Rotations.");
        count.put(&[("secret", "ring")], 3);
        let mut info = Metric::gauge("keyroll_secret_info", "A secret.");
        info.put(&[("secret", "ring"), ("owner", "a \"b\" \\ c")], 1);
        let mut readable = Metric::gauge("keyroll_journal_readable", "Whether.");
        readable.put(&[], 1);
        vec![count, info, readable]
    }

    #[test]
    fn both_forms_have_the_same_samples() {
        let text = encoded(metrics(), Form::Text).unwrap();
        let expected = "# HELP keyroll_rotations_total Rotations.\n# TYPE keyroll_rotations_total counter\n\
                        keyroll_rotations_total{secret=\"ring\"} 3\n\
                        # HELP keyroll_secret_info A secret.\n# TYPE keyroll_secret_info gauge\n\
                        keyroll_secret_info{secret=\"ring\",owner=\"a \\\"b\\\" \\\\ c\"} 1\n\
                        # HELP keyroll_journal_readable Whether.\n# TYPE keyroll_journal_readable gauge\n\
                        keyroll_journal_readable 1\n";
        assert_eq!(text, expected);
        let open = encoded(metrics(), Form::OpenMetrics).unwrap();
        assert!(
            open.contains("# TYPE keyroll_rotations counter\nkeyroll_rotations_total{secret=\"ring\"} 3\n"),
            "{open}"
        );
        assert!(open.ends_with("\n# EOF\n"), "{open}");
        let samples = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(&text), samples(&open));
    }

    #[test]
    fn the_reader_chooses_the_form() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::asked(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(prometheus), Form::OpenMetrics);
        assert_eq!([asked("*/*"), asked("text/plain"), Form::asked(&HeaderMap::new())], [Form::Text; 3]);
    }
}
