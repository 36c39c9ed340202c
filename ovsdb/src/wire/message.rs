//! JSON-RPC 1.0 messages: requests and notifications in both directions, and responses.
//!
//! Parameters and results stay raw text until somebody knows their type, so a large reply is parsed once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message from the peer, borrowing from its frame.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// The peer asks and expects a response with the same id.
    Request {
        /// Whatever the peer chose; to be returned unchanged.
        id: &'a RawValue,
        /// The method's name.
        method: Cow<'a, str>,
        /// An array.
        params: &'a RawValue,
    },
    /// The peer tells and expects nothing.
    Notification {
        /// The method's name.
        method: Cow<'a, str>,
        /// An array.
        params: &'a RawValue,
    },
    /// The peer answers the request with this id.
    Response {
        /// The id of the request. Ours are always integers.
        id: u64,
        /// The result (`None` for `null`) or the error.
        outcome: Result<Option<&'a RawValue>, &'a RawValue>,
    },
}

/// Why a JSON text is not a JSON-RPC 1.0 message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or members of the wrong type.
    #[error("malformed message: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither a request nor a response.
    #[error("message has neither a method nor an id")]
    Shapeless,
    /// A response to something we did not ask: our ids are integers.
    #[error("response has foreign id {0}")]
    ForeignId(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads one frame.
pub fn parse(frame: &[u8]) -> Result<Message<'_>, MessageError> {
    let envelope: Envelope<'_> = serde_json::from_slice(frame)?;
    match (envelope.method, envelope.id) {
        (Some(method), id) => {
            let params = envelope.params.ok_or(MessageError::Shapeless)?;
            Ok(match id {
                Some(id) => Message::Request { id, method, params },
                None => Message::Notification { method, params },
            })
        }
        (None, Some(id)) => Ok(Message::Response {
            id: id
                .get()
                .parse()
                .map_err(|_| MessageError::ForeignId(id.get().to_owned()))?,
            outcome: match envelope.error {
                Some(error) => Err(error),
                None => Ok(envelope.result),
            },
        }),
        (None, None) => Err(MessageError::Shapeless),
    }
}

/// Most messages that are not transactions.
const SMALL: usize = 128;

#[derive(Serialize)]
struct Outgoing<'a, I, P> {
    id: I,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Answer<'a, R> {
    id: &'a RawValue,
    result: R,
    error: (),
}

#[derive(Serialize)]
struct Refusal<'a> {
    id: &'a RawValue,
    result: (),
    error: &'a str,
}

/// A request as bytes to send. `params` must serialize to an array.
pub fn encode_request(id: u64, method: &str, params: &impl Serialize) -> Vec<u8> {
    to_bytes(&Outgoing { id, method, params })
}

/// The same with room for this many bytes made beforehand, for whoever has an idea: to grow is to copy.
pub fn encode_request_with_room(id: u64, method: &str, params: &impl Serialize, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room.max(SMALL));
    write(&Outgoing { id, method, params }, &mut bytes);
    bytes
}

/// A notification as bytes to send. `params` must serialize to an array.
pub fn encode_notification(method: &str, params: &impl Serialize) -> Vec<u8> {
    to_bytes(&Outgoing { id: (), method, params })
}

/// A successful response as bytes to send.
pub fn encode_response(id: &RawValue, result: &impl Serialize) -> Vec<u8> {
    to_bytes(&Answer { id, result, error: () })
}

/// A refusal as bytes to send.
pub fn encode_error(id: &RawValue, error: &str) -> Vec<u8> {
    to_bytes(&Refusal { id, result: (), error })
}

fn to_bytes(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SMALL);
    write(message, &mut bytes);
    bytes
}

fn write(message: &impl Serialize, bytes: &mut Vec<u8>) {
    serde_json::to_writer(bytes, message).expect("strings as keys and no fallible serializer inside");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_is_answered_with_its_own_id_and_parameters() {
        let Message::Request { id, method, params } =
            parse(br#"{"id":"echo","method":"echo","params":[1,"x"]}"#).unwrap()
        else {
            panic!("not a request");
        };
        assert_eq!(method, "echo");
        assert_eq!(
            encode_response(id, &params),
            br#"{"id":"echo","result":[1,"x"],"error":null}"#
        );
    }

    #[test]
    fn a_null_id_makes_a_notification() {
        let message = parse(br#"{"id":null,"method":"update","params":[null,{}]}"#).unwrap();
        assert!(matches!(message, Message::Notification { method, .. } if method == "update"));
    }

    #[test]
    fn a_response_carries_a_result_or_an_error() {
        let message = parse(br#"{"id":7,"result":[],"error":null}"#).unwrap();
        assert!(matches!(message, Message::Response { id: 7, outcome: Ok(Some(result)) } if result.get() == "[]"));
        let message = parse(br#"{"id":7,"result":null,"error":"no"}"#).unwrap();
        assert!(matches!(message, Message::Response { id: 7, outcome: Err(error) } if error.get() == "\"no\""));
        let message = parse(br#"{"id":7,"result":null,"error":null}"#).unwrap();
        assert!(matches!(
            message,
            Message::Response {
                id: 7,
                outcome: Ok(None)
            }
        ));
    }

    #[test]
    fn shapeless_and_foreign_messages_are_refused() {
        assert!(matches!(parse(b"{}"), Err(MessageError::Shapeless)));
        assert!(matches!(
            parse(br#"{"id":1,"method":"echo"}"#),
            Err(MessageError::Shapeless)
        ));
        assert!(
            matches!(parse(br#"{"id":"theirs","result":1}"#), Err(MessageError::ForeignId(id)) if id == "\"theirs\"")
        );
        assert!(matches!(parse(b"{nonsense}"), Err(MessageError::Json(_))));
    }
}
