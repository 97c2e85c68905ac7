//! HTTP/1.1 between the demo's parts. Each connection has one buffer, which is overwritten as soon as a message has
//! been read.
//!
//! Why not `keyroll-http`: keyroll searches the memory of these parts for the old key, and hyper leaves copies of a
//! request in freed buffers. With hyper, keyroll would find the demo's issuer and workers as processes that still hold
//! the old key. Workers also reuse their connections, which keyroll must see and end; `keyroll-http` uses no connection
//! twice.

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
