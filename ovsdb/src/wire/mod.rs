//! The bytes between a client and a database server: framing and JSON-RPC 1.0.
//!
//! Nothing here touches a socket, a clock or a runtime, so the async session and the blocking client share it.
//! It knows messages, not what OVSDB means by them.

mod framing;
mod message;

pub use framing::{DEFAULT_MAX_MESSAGE, FrameError, Framer};
pub use message::{
    Message, MessageError, encode_error, encode_notification, encode_request, encode_request_with_room,
    encode_response, parse,
};
