use std::path::Path;

use keyroll_manager::RateApi;

use crate::at::At;
use crate::mistake::Mistake;
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

    pub(crate) fn read(shape: &At<GateShape>, folder: &Path) -> Result<Self, Mistake> {
        let gate = &shape.value;
        let wrong = |at: &std::ops::Range<usize>, why: &str| Err(Mistake::new(Kind::WrongForm, why).at(at));
        read_url("gate.url", Some(&gate.url), &[])?;
        if !gate.url.value.starts_with("http://") {
            return wrong(&gate.url.span, "`gate.url` is asked over http:// on loopback only");
        }
        let api = read_api(gate.api.as_ref())?;
        if gate.query.value.trim().is_empty() || gate.query.value.len() > QUERY_BYTES_MAX {
            return wrong(&gate.query.span, "`gate.query` is empty, or longer than 1024 bytes");
        }
        let max = gate.max.value;
        if !max.is_finite() || max < 0.0 {
            return wrong(&gate.max.span, "`gate.max` must be a number of at least 0");
        }
        let bearer =
            gate.bearer.as_ref().map(|text| Reference::read(folder, "gate.bearer", text)).transpose()?;
        // Maps -0.0 to 0.0.
        let max = if max == 0.0 { 0.0_f64 } else { max };
        let (url, query) = (gate.url.value.clone(), gate.query.value.clone());
        Ok(Self { url, api, query, bearer, max: max.to_bits() })
    }
}

fn read_api(text: Option<&At<String>>) -> Result<RateApi, Mistake> {
    let Some(text) = text else { return Ok(RateApi::Prometheus) };
    match text.value.as_str() {
        "prometheus" => Ok(RateApi::Prometheus),
        "signoz" => Ok(RateApi::SigNoz),
        _ => Err(Mistake::one_of("gate.api", text, &["prometheus", "signoz"])),
    }
}
