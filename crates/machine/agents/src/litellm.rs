//! The LiteLLM proxy. What is said here of its behaviour was seen with the release 1.106.2.

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
