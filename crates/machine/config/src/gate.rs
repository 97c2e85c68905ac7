use std::ops::Range;
use std::path::Path;

use keyroll_manager::RateApi;

use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::shape::GateShape;
use crate::url::read_url;
use crate::{Kind, Reference};

/// The longest query, in bytes.
const QUERY_BYTES_MAX: usize = 1_024;

/// An error rate above which the rotation does not continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The server, on loopback.
    pub url: String,
    /// How the server is asked.
    pub api: RateApi,
    /// The query, in PromQL.
    pub query: String,
    /// The bearer token for the server; for SigNoz, its API key.
    pub bearer: Option<Reference>,
    /// The bits of the highest accepted rate, a finite number of at least 0.
    max: u64,
}

impl Gate {
    /// The highest accepted rate.
    pub fn max(&self) -> f64 {
        f64::from_bits(self.max)
    }

    pub(crate) fn read(shape: &At<GateShape>, folder: &Path, all: &mut Mistakes) -> Read<Self> {
        let gate = &shape.value;
        let url = all.note(read_address(&gate.url));
        let api = all.note(read_api(gate.api.as_ref()));
        let query = all.note(read_query(&gate.query));
        let max = all.note(read_max(&gate.max));
        let bearer = gate.bearer.as_ref().map(|text| Reference::read(folder, "gate.bearer", text));
        let bearer = all.note(bearer.transpose());
        Some(Self { url: url?, api: api?, query: query?, bearer: bearer?, max: max?.to_bits() })
    }
}

fn wrong<T>(at: &Range<usize>, why: &str) -> Result<T, Mistake> {
    Err(Mistake::new(Kind::WrongForm, why).at(at))
}

fn read_address(url: &At<String>) -> Result<String, Mistake> {
    read_url("gate.url", Some(url), &[])?;
    match url.value.starts_with("http://") {
        true => Ok(url.value.clone()),
        false => wrong(&url.span, "`gate.url` is asked over http:// on loopback only"),
    }
}

fn read_query(query: &At<String>) -> Result<String, Mistake> {
    match query.value.trim().is_empty() || query.value.len() > QUERY_BYTES_MAX {
        true => wrong(&query.span, "`gate.query` is empty, or longer than 1024 bytes"),
        false => Ok(query.value.clone()),
    }
}

fn read_max(max: &At<f64>) -> Result<f64, Mistake> {
    if !max.value.is_finite() || max.value < 0.0 {
        return wrong(&max.span, "`gate.max` must be a number of at least 0");
    }
    // Maps -0.0 to 0.0.
    Ok(if max.value == 0.0 { 0.0_f64 } else { max.value })
}

fn read_api(text: Option<&At<String>>) -> Result<RateApi, Mistake> {
    let Some(text) = text else { return Ok(RateApi::Prometheus) };
    match text.value.as_str() {
        "prometheus" => Ok(RateApi::Prometheus),
        "signoz" => Ok(RateApi::SigNoz),
        _ => Err(Mistake::one_of("gate.api", text, &["prometheus", "signoz"])),
    }
}
