//! The websocket that clients signal over (`protocol/signaling.md`, 3 and 4).

pub mod connection;
mod upgrade;

use axum::response::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::task::TaskTracker;
use tracing::debug;
use uuid::Uuid;

pub use self::upgrade::Upgrade;
use crate::driver::hub::HubHandle;
use crate::hub::effect::SocketOpen;
use crate::telemetry::traces::Cause;

/// Bytes that each websocket keeps for what comes in: most frames are shorter, and ten thousand
/// idle clients must not cost a gigabyte. It grows with longer ones.
const READ_BUFFER_LEN: usize = 1024;

/// Bytes that are put together before they are written. The buffer keeps the length that it ever
/// had, so longer messages go through it in parts of as much.
const WRITE_BUFFER_LEN: usize = 1024;

/// Accepts websockets for the hub, and knows when all of them have ended.
#[derive(Debug, Clone)]
pub struct Endpoint {
    hub: HubHandle,
    max_frame: usize,
    tasks: TaskTracker,
}

impl Endpoint {
    /// An endpoint without websockets. No message may be longer than `max_frame` bytes.
    pub fn new(hub: HubHandle, max_frame: usize) -> Self {
        let tasks = TaskTracker::new();
        Self {
            hub,
            max_frame,
            tasks,
        }
    }

    /// Accepts one. The query of its URL says whether it is new or replaces a lost one.
    pub fn accept(&self, query: Option<&str>, upgrade: Upgrade) -> Response {
        let open = parse_open(query.unwrap_or_default());
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.max_frame))
            .max_frame_size(Some(self.max_frame))
            .read_buffer_size(READ_BUFFER_LEN)
            .write_buffer_size(WRITE_BUFFER_LEN);
        let (hub, response) = (self.hub.clone(), upgrade.response());
        let cause = Cause::current();
        self.tasks.spawn(async move {
            match upgrade.socket(config).await {
                Ok(socket) => connection::serve(hub, open, socket, cause).await,
                Err(error) => debug!(%error, "Websocket upgrade failed"),
            }
        });
        response
    }

    /// Waits until all websockets have ended; meant for the time after the hub's end.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Reads `socketId` and `reconnect` (`protocol/signaling.md`, 3); `attempt` only serves to tell
/// log lines apart.
fn parse_open(query: &str) -> SocketOpen {
    let mut open = SocketOpen::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "socketId" => open.socket_id = Uuid::try_parse(&value).ok(),
            "reconnect" => open.reconnect = value == "true",
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_resume_is_understood_wherever_its_parameters_stand() {
        let id = "fc764b1c-fd2f-4ae1-a18e-4b25b9f6d171";
        let open = parse_open(&format!("x=1&attempt=a&reconnect=true&socketId={id}"));
        assert_eq!(open.socket_id, Uuid::try_parse(id).ok());
        assert!(open.reconnect);
        assert_eq!(parse_open(""), SocketOpen::default());
        assert_eq!(
            parse_open("socketId=nonsense&reconnect=1"),
            SocketOpen::default()
        );
    }
}
