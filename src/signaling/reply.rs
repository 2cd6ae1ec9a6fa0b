//! Answers to requests: a status code and a payload (`protocol/signaling.md`, 4.2).

use serde::Serialize;
use uuid::Uuid;

use super::error::Refusal;
use super::object::SessionState;

/// The answer to one request. The client parses every payload, so it is JSON or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Done; there is nothing to say.
    Done,
    /// A stream or subscriber has been created.
    Created(Uuid),
    /// The connection has joined this session.
    Joined(SessionState<'a>),
    /// The answer is no.
    Refused(Refusal),
}

impl Reply<'_> {
    /// The code for the STATUS header.
    pub fn status(&self) -> u16 {
        match self {
            Self::Done | Self::Created(_) | Self::Joined(_) => 200,
            Self::Refused(refusal) => refusal.status(),
        }
    }

    /// The payload.
    pub fn payload(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Created(id) => json(&CreatedContent {
                content: Created {
                    id: *id,
                    ice_servers: [],
                },
            }),
            // The state is the payload itself, not its `content`.
            Self::Joined(state) => json(state),
            Self::Refused(refusal) => json(&Refused {
                reason: refusal.reason(),
            }),
        }
    }
}

/// JSON text of one of our own messages.
pub(super) fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("our messages have string keys and finite numbers")
}

#[derive(Serialize)]
struct CreatedContent {
    content: Created,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    id: Uuid,
    /// A fallback for clients whose session info had none. Without the array, publishing fails.
    ice_servers: [(); 0],
}

#[derive(Serialize)]
struct Refused {
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_reply_always_has_the_array_that_old_clients_need() {
        let reply = Reply::Created(Uuid::nil());
        let expected = format!(
            r#"{{"content":{{"id":"{}","iceServers":[]}}}}"#,
            Uuid::nil()
        );
        assert_eq!((reply.status(), reply.payload()), (200, expected));
    }

    #[test]
    fn a_refusal_has_its_code_and_its_word() {
        let check = |refusal, status, payload: &str| {
            let reply = Reply::Refused(refusal);
            assert_eq!((reply.status(), &*reply.payload()), (status, payload));
        };
        check(
            Refusal::ConnectionLimitExceeded,
            409,
            r#"{"reason":"connectionLimitExceeded"}"#,
        );
        check(
            Refusal::StreamLimitExceeded,
            409,
            r#"{"reason":"streamLimitExceeded"}"#,
        );
        let encryption = r#"{"reason":"IncompatibleEncryptionSettings"}"#;
        check(Refusal::IncompatibleEncryption, 405, encryption);
    }

    #[test]
    fn nothing_to_say_is_an_empty_payload() {
        assert_eq!(
            (Reply::Done.status(), Reply::Done.payload()),
            (200, String::new())
        );
    }
}
