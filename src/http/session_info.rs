//! What session info says (`protocol/signaling.md`, 2.4).

use schemars::JsonSchema;
use serde::Serialize;

use crate::hub::SYMPHONY;
use crate::hub::config::HubConfig;
use crate::hub::effect::Admission;
use crate::model::codec::VideoCodec;
use crate::turn::ice_servers::IceServer;

/// Where to connect, or why not.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SessionInfo {
    /// The token is good.
    Granted(Box<Granted>),
    /// It is not.
    Refused {
        /// Why.
        error: Refusal,
    },
}

/// Where to connect, and what clients have to know of the session before.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionInfoGranted")]
pub struct Granted {
    session_id: String,
    /// The project's key.
    partner_id: String,
    messaging_server_url: String,
    /// Of the websocket.
    messaging_url: String,
    symphony_address: &'static str,
    media_server_hostname: String,
    ice_servers: Vec<IceServer>,
    properties: Properties,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionInfoProperties")]
struct Properties {
    p2p: P2p,
    reconnection: bool,
    renegotiation: bool,
    /// For applications that ask for it when they initialise a session (13.9).
    single_peer_connection: bool,
    simulcast: bool,
    /// Layers by rid, not by groups of SSRCs that are the same in every client (13.5).
    stream_simulcast_rid_enabled: bool,
    e2ee: bool,
    vp8: bool,
    vp9: bool,
    h264: bool,
    /// The video codec that publishers are to prefer; may be empty.
    #[serde(rename = "priorityVideoCodec")]
    priority: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionInfoMedia")]
struct P2p {
    preference: Preference,
}

/// How media travels, as in `p2p.preference`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionInfoPreference")]
struct Preference {
    value: &'static str,
}

/// Why there is no session info.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionInfoRefusal")]
pub struct Refusal {
    /// As in 14.1.
    code: u16,
    error_message: Reason,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionInfoReason")]
struct Reason {
    message: &'static str,
}

impl SessionInfo {
    /// For a client that may join.
    pub fn granted(
        admission: &Admission,
        messaging_url: String,
        ice_servers: Vec<IceServer>,
        hub: &HubConfig,
    ) -> Self {
        let session = &admission.session;
        let codecs = admission
            .video_codecs
            .as_ref()
            .or(hub.video_codecs.as_ref());
        let allowed = |codec| codecs.is_none_or(|codecs| codecs.rank(codec).is_some());
        let host = messaging_url.split('/').nth(2).unwrap_or_default();
        // Clients only take part in moving streams if they are told that the mode is `adaptive`.
        let value = session.media_mode.in_effect(hub.adaptive.enabled).word();
        Self::Granted(Box::new(Granted {
            session_id: session.id.to_string(),
            partner_id: session.project.to_string(),
            messaging_server_url: host.to_owned(),
            media_server_hostname: host.to_owned(),
            messaging_url,
            symphony_address: SYMPHONY,
            ice_servers,
            properties: Properties {
                p2p: P2p {
                    preference: Preference { value },
                },
                reconnection: true,
                renegotiation: true,
                single_peer_connection: hub.single_peer_connection,
                simulcast: hub.simulcast,
                stream_simulcast_rid_enabled: hub.simulcast,
                e2ee: session.e2ee,
                vp8: allowed(VideoCodec::Vp8),
                vp9: allowed(VideoCodec::Vp9),
                h264: allowed(VideoCodec::H264),
                priority: codecs.map_or("", |codecs| codecs.first().word()),
            },
        }))
    }

    /// For one that may not.
    pub fn refused(code: u16, message: &'static str) -> Self {
        let error_message = Reason { message };
        Self::Refused {
            error: Refusal {
                code,
                error_message,
            },
        }
    }
}
