//! The demo: a stateful issuer, real workers under load, and the forgotten one.
//!
//! Every part is this same binary, started in another role. The demo uses only keyroll's public commands, and never
//! gives them a process id that keyroll did not find itself.

mod admin;
mod books;
mod cast;
mod environment;
mod first_key;
mod folder;
mod front;
mod http;
mod issuer;
mod janitor;
mod lifeline;
mod load;
mod parent;
mod part;
mod pid;
mod pipeline;
mod probe;
mod restart;
mod run;
mod scene;
mod screen;
mod script;
mod summary;
mod words;
mod worker;

pub use books::Books;
pub use load::{Load, Sent};
pub use part::part;
pub use run::{Options, run};
pub use scene::Scene;
