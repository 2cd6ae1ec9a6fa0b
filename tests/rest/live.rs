//! The whole server with sessions that people are in, and a back end that writes HTTP by hand.

use std::net::SocketAddr;

use super::support::{Answer, exchange, now_unix_s, sign};
use super::whole::{TestClient, TestServer};
use parlor::config::Config;
use parlor::entropy::Entropy;
use serde_json::{Value, json};

/// A running server, and one session in it.
pub(crate) struct Live {
    server: TestServer,
    addr: SocketAddr,
    pub(crate) session: String,
}

impl Live {
    /// With a relayed session, in which streams are there as soon as they are published.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other settings than a playground's.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::start_with(change).await;
        let addr = server.http_addr();
        let mut live = Self {
            server,
            addr,
            session: String::new(),
        };
        live.session = live.create_session().await;
        live
    }

    /// Another session, relayed.
    pub(crate) async fn create_session(&self) -> String {
        self.create("p2p.preference=enabled").await
    }

    /// Another session, as this form says.
    pub(crate) async fn create(&self, form: &str) -> String {
        let head = format!(
            "POST /hl/session/create HTTP/1.1\nX-OPENTOK-AUTH: {}\nAccept: application/json\n\
             Content-Type: application/x-www-form-urlencoded",
            self.auth()
        );
        let created = exchange(self.addr, &head, form).await;
        created.session_id()
    }

    /// What SDKs sign their requests with.
    pub(crate) fn auth(&self) -> String {
        let now = now_unix_s();
        let claims = json!({"iss": self.key(), "ist": "project", "iat": now, "exp": now + 300});
        self.signed(&claims)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn key(&self) -> &str {
        &self.server.key
    }

    pub(crate) fn secret(&self) -> &str {
        &self.server.secret
    }

    fn signed(&self, claims: &Value) -> String {
        sign(
            &json!({"alg": "HS256", "typ": "JWT"}),
            claims,
            &self.server.secret,
        )
    }

    /// A client in the session.
    pub(crate) async fn join(&self) -> TestClient {
        self.join_with(json!({"role": "publisher"})).await
    }

    /// A client in the session whose token says more.
    pub(crate) async fn join_with(&self, more: Value) -> TestClient {
        self.enter(more).await.0
    }

    /// What a newcomer is told of the session; it leaves again.
    pub(crate) async fn state_for_newcomer(&self) -> Value {
        self.enter(json!({})).await.1
    }

    /// What a client with a token of the project is told before it connects.
    pub(crate) async fn session_info(&self) -> Value {
        let token = self.client_token(json!({}));
        self.session_info_with(&token).await
    }

    /// What a client with this token is told.
    pub(crate) async fn session_info_with(&self, token: &str) -> Value {
        let info = self.server.session_info("", &self.session, token).await;
        info[0].clone()
    }

    async fn enter(&self, more: Value) -> (TestClient, Value) {
        let token = self.client_token(more);
        let mut client = TestClient::open(&self.server, &self.session, &token).await;
        let (status, state) = client.join(&token).await;
        assert_eq!(status, "200");
        (client, state)
    }

    /// A client token for the session that says more.
    pub(crate) fn client_token(&self, more: Value) -> String {
        let now = now_unix_s();
        let mut claims = json!({
            "iss": self.key(), "ist": "project", "scope": "session.connect", "nonce": 0.5,
            "session_id": self.session, "iat": now, "exp": now + 3600,
        });
        let all = claims.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        self.signed(&claims)
    }

    /// Publishes in the session; `channels` as the client describes them.
    pub(crate) async fn publish(
        &self,
        client: &mut TestClient,
        name: &str,
        channels: Value,
    ) -> String {
        let id = Entropy::from_system().uuid().to_string();
        let uri = format!(
            "/v2/partner/{}/session/{}/stream/{id}",
            self.key(),
            self.session
        );
        let content = json!({
            "id": id, "name": name, "publisherAudioFallbackEnabled": false,
            "subscriberAudioFallbackEnabled": true, "channel": channels, "e2ee": false,
            "customProperties": {}, "minBitrate": 300_000,
        });
        let request = json!({"method": "create", "uri": uri, "content": content});
        assert_eq!(client.request(request, &[]).await.0, "200");
        id
    }

    /// Publishes sound and pictures of a camera.
    pub(crate) async fn publish_camera(&self, client: &mut TestClient, name: &str) -> String {
        self.publish(client, name, json!([audio(), video("camera")]))
            .await
    }

    /// A request below the session, with a body in JSON unless it is null.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/v2/project/{}/session/{}{path}", self.key(), self.session);
        self.ask_at(method, &path, body).await
    }

    /// A request below the project.
    pub(crate) async fn ask_project(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/v2/project/{}{path}", self.key());
        self.ask_at(method, &path, body).await
    }

    /// A request of whoever manages projects.
    pub(crate) async fn manage(&self, method: &str, path: &str, body: Value) -> Answer {
        let (key, secret) = self.server.account();
        let now = now_unix_s();
        let claims = json!({"iss": key, "ist": "account", "iat": now, "exp": now + 300});
        let token = sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, &secret);
        self.ask_as(&token, method, path, body).await
    }

    /// A request anywhere.
    pub(crate) async fn ask_at(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_as(&self.auth(), method, path, body).await
    }

    /// A request with any JWT.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let mut head =
            format!("{method} {path} HTTP/1.1\nX-OPENTOK-AUTH: {token}\nAccept: application/json");
        if body.is_null() {
            return exchange(self.addr, &head, "").await;
        }
        head.push_str("\nContent-Type: application/json");
        exchange(self.addr, &head, &body.to_string()).await
    }

    /// A request below the session, with these headers as well and a body byte for byte.
    pub(crate) async fn raw(&self, method: &str, path: &str, more: &str, body: &str) -> Answer {
        let head = format!(
            "{method} /v2/project/{}/session/{}{path} HTTP/1.1\nX-OPENTOK-AUTH: {}\n{more}",
            self.key(),
            self.session,
            self.auth()
        );
        exchange(self.addr, &head, body).await
    }

    /// Any request, byte for byte.
    pub(crate) async fn exchange(&self, head: &str, body: &str) -> Answer {
        exchange(self.addr, head, body).await
    }

    /// Any request, without credentials.
    pub(crate) async fn stranger(&self, method: &str, path: &str) -> Answer {
        exchange(self.addr, &format!("{method} {path} HTTP/1.1"), "").await
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

pub(crate) fn audio() -> Value {
    json!({"id": "audio1", "type": "audio", "active": true})
}

pub(crate) fn video(source: &str) -> Value {
    json!({"id": "video1", "type": "video", "active": true, "source": source,
           "width": 640, "height": 480, "frameRate": 30})
}
