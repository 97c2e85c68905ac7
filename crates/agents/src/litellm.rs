//! The LiteLLM proxy. What is said here of its behaviour was seen with the release 1.106.2.

mod config;
mod model_id;
mod places;
mod variables;

pub use config::{Deployment, Mode, ProxyConfig};
pub use model_id::{Foretold, Unforetold, Versions};
pub use places::{LITELLM, NEW_WORKERS};
pub use variables::Variables;
