//! From a request to a websocket (RFC 6455, 4.2).

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::{SplitSink, SplitStream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A websocket of a client.
type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Its two ways.
pub(super) type Sink = SplitSink<Socket, Message>;
pub(super) type Source = SplitStream<Socket>;

/// A request that may become a websocket.
///
/// What makes it one is checked by axum; axum's own websocket has no way to write a message in
/// parts.
#[derive(Debug)]
pub struct Upgrade {
    key: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// The answer that makes the request a websocket.
    pub(super) fn response(&self) -> Response {
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
        ];
        let accept = derive_accept_key(self.key.as_bytes());
        let accept = HeaderValue::try_from(accept).expect("base64 is good for a header");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().extend(headers);
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }

    /// The websocket, as soon as the answer is written. It comes split, and each way is a pointer:
    /// a task is as large as all that any of its functions ever holds.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends before.
    pub(super) async fn socket(self, config: WebSocketConfig) -> hyper::Result<(Sink, Source)> {
        let stream = TokioIo::new(self.on_upgrade.await?);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
        Ok(socket.await.split())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let checked = WebSocketUpgrade::from_request_parts(parts, state).await;
        match (checked, key, on_upgrade) {
            (Ok(_), Some(key), Some(on_upgrade)) => Ok(Self { key, on_upgrade }),
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }
}
