//! What is fuzzed: parsers of what others write. The same functions run on the stable compiler, over inputs that are
//! made from good ones, in `crates/front/cli/tests/fuzzed.rs`.

mod targets;

pub use targets::{answer, config, dotenv, entry, frame, order, place, prints, spec, template};
