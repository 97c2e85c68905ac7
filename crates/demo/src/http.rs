//! HTTP/1.1 between the demo's parts, in one buffer per connection that is overwritten as soon as a message is read.
//!
//! The issuer of the demo runs on the machine that keyroll searches by value, which a real issuer does not. With a
//! common server it would turn up as one more process that holds the old key, in freed read buffers.

mod buffer;
mod client;
mod message;
mod server;

pub(crate) use buffer::Buffer;
pub(crate) use client::{Call, CallError, Connection};
pub(crate) use message::{Request, Response};
pub(crate) use server::{Service, serve};

/// The most bytes of one message, head and body.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// The most headers of one message.
pub(crate) const HEADERS_MAX: usize = 32;
