//! The LiteLLM proxy. Its behaviour as described here was observed with release 1.106.2.

mod config;
mod model_id;
mod places;
mod variables;

pub use config::{Deployment, Mode, ProxyConfig};
pub use model_id::{PredictedModelIds, Unpredicted, Versions};
pub use places::NEW_WORKERS;
pub use variables::Variables;

/// The proxy, by its name.
pub const LITELLM: &str = "LiteLLM";
