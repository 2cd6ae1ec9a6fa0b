//! Calls about live sessions, byte for byte as the SDKs make them that are not run here: Ruby, PHP,
//! Java and .NET (`protocol/rest.md`, 1, 6, 8 to 17 and 23). Creating sessions: `sdks`.

use serde_json::{Value, json};

use super::live::Live;
use super::support::{Answer, exchange, now_unix_s, sign};
use super::whole::TestClient;

/// What cannot be done yet, asked for in the right way.
const LATER: u16 = 501;

/// An archive, a broadcast, a render.
const ID: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

/// No body.
const NONE: Value = Value::Null;

/// Method, path, body, and the status of the answer.
type Call = (&'static str, &'static str, Value, u16);

/// How one SDK asks.
struct Sdk {
    live: Live,
    client: TestClient,
    stream: String,
    /// What stands in front of every path.
    root: &'static str,
    /// Its own headers.
    headers: &'static str,
    token: fn(&Live) -> String,
}

impl Sdk {
    /// Somebody publishes in a session.
    async fn new(root: &'static str, headers: &'static str, token: fn(&Live) -> String) -> Self {
        let live = Live::start().await;
        let mut client = live.join().await;
        let stream = live.publish_camera(&mut client, "front").await;
        Self {
            live,
            client,
            stream,
            root,
            headers,
            token,
        }
    }

    /// Sends a call; no body, and no type of one, if it is `null`. In the path and the body, `{s}`,
    /// `{stream}`, `{c}`, `{id}` and `{token}` stand for what there is.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let (session, connection) = (&self.live.session, self.client.id.to_string());
        let client_token = self.live.client_token(json!({"role": "moderator"}));
        let filled = |text: &str| {
            text.replace("{s}", session)
                .replace("{stream}", &self.stream)
                .replace("{c}", &connection)
                .replace("{id}", ID)
                .replace("{token}", &client_token)
        };
        let (kind, body) = match body {
            Value::Null => ("", String::new()),
            body => (
                "\nContent-Type: application/json",
                filled(&body.to_string()),
            ),
        };
        let (root, key, path) = (self.root, self.live.key(), filled(path));
        let (headers, token) = (self.headers, (self.token)(&self.live));
        let head = format!(
            "{method} {root}/v2/project/{key}{path} HTTP/1.1\nX-OPENTOK-AUTH: {token}\n\
             {headers}{kind}"
        );
        exchange(self.live.addr(), &head, &body).await
    }

    /// Makes calls and checks what they are answered.
    async fn check(&self, calls: &[Call]) {
        for (method, path, body, status) in calls {
            let answer = self.ask(method, path, body.clone()).await;
            let what = format!("{method} {path} {body}: {answer:?}");
            assert_eq!(answer.status, *status, "{what}");
            match *status {
                204 => assert_eq!(answer.body, "", "{what}"),
                200 => drop(answer.json()),
                _ => assert!(!answer.error(*status).is_empty(), "{what}"),
            }
        }
    }

    /// Makes calls in a session with a stream, then in one in which recordings and broadcasts can
    /// be asked for.
    async fn makes(mut self, calls: &[Call], in_a_routed_session: &[Call]) {
        self.check(calls).await;
        self.live.session = self.live.create("p2p.preference=disabled").await;
        self.client = self.live.join().await;
        self.check(in_a_routed_session).await;
        drop(self.client);
        self.live.shutdown().await;
    }
}

fn ordinary(live: &Live) -> String {
    live.auth()
}

/// Ruby says in the header what others say in the claims.
fn with_ist_in_the_header(live: &Live) -> String {
    let now = now_unix_s();
    let claims = json!({"iss": live.key(), "iat": now, "exp": now + 300});
    sign(
        &json!({"alg": "HS256", "ist": "project"}),
        &claims,
        live.secret(),
    )
}

#[tokio::test]
async fn ruby() {
    let headers = "User-Agent: OpenTok-Ruby-SDK/4.9.0-Ruby-Version-3.3\nAccept: */*";
    let sdk = Sdk::new("", headers, with_ist_in_the_header).await;
    let calls = [
        ("GET", "/session/{s}/stream", NONE, 200),
        ("GET", "/session/{s}/stream/{stream}", NONE, 200),
        (
            "PUT",
            "/session/{s}/stream",
            json!({"items": [{"id": "{stream}", "layoutClassList": ["focus"]}]}),
            200,
        ),
        ("POST", "/session/{s}/stream/{stream}/mute", NONE, 200),
        (
            "POST",
            "/session/{s}/mute",
            json!({"active": "true", "excludedStreams": ["{stream}"]}),
            200,
        ),
        ("POST", "/session/{s}/mute", json!({"active": "false"}), 200),
        (
            "POST",
            "/session/{s}/signal",
            json!({"type": "chat", "data": "hi"}),
            204,
        ),
        (
            "POST",
            "/session/{s}/connection/{c}/signal",
            json!({"type": "chat", "data": "hi"}),
            204,
        ),
    ];
    let in_a_routed_session = [
        (
            "POST",
            "/archive",
            json!({"sessionId": "{s}", "hasAudio": true, "hasVideo": true, "outputMode": "composed",
                "layout": {"type": "bestFit", "screenshare_type": "pip"}}),
            LATER,
        ),
        ("POST", "/archive/{id}/stop", json!({}), LATER),
        (
            "GET",
            "/archive?offset=0&count=10&sessionId={s}",
            NONE,
            LATER,
        ),
        ("PUT", "/archive/{id}/layout", json!({"type": ""}), LATER),
        (
            "PATCH",
            "/archive/{id}/streams",
            json!({"addStream": ID, "hasAudio": true, "hasVideo": true}),
            LATER,
        ),
        ("DELETE", "/archive/{id}", NONE, LATER),
        (
            "POST",
            "/broadcast",
            json!({"sessionId": "{s}", "maxDuration": 3600, "resolution": "640x480",
                "outputs": {"hls": {"low_latency": "true"}, "rtmp": [
                    {"id": "a", "serverUrl": "rtmp://example.com/live", "streamName": "key"}]}}),
            LATER,
        ),
        ("GET", "/broadcast?offset=0&count=10", NONE, LATER),
        (
            "POST",
            "/dial",
            json!({"sessionId": "{s}", "token": "{token}", "sip": {"uri": "sip:a@example.com",
                "secure": "true", "auth": {"username": "u", "password": "p"}}}),
            LATER,
        ),
        (
            "POST",
            "/session/{s}/play-dtmf",
            json!({"digits": "0123*#p"}),
            LATER,
        ),
        (
            "POST",
            "/render",
            json!({"sessionId": "{s}", "token": "{token}", "url": "https://example.com/page",
                "maxDuration": 1800, "resolution": "1280x720", "properties": {"name": "Page"}}),
            LATER,
        ),
        ("DELETE", "/render/{id}", NONE, LATER),
        (
            "POST",
            "/connect",
            json!({"sessionId": "{s}", "token": "{token}",
                "websocket": {"uri": "wss://example.com/ws", "headers": {"a": "b"}}}),
            LATER,
        ),
        (
            "POST",
            "/captions",
            json!({"sessionId": "{s}", "token": "{token}", "languageCode": "en-GB"}),
            LATER,
        ),
        ("POST", "/captions/{id}/stop", NONE, LATER),
        ("DELETE", "/session/{s}/connection/{c}", NONE, 204),
    ];
    sdk.makes(&calls, &in_a_routed_session).await;
}

#[tokio::test]
async fn php() {
    let headers = "User-Agent: OpenTok-PHP-SDK/4.15.0 php/8.3";
    let sdk = Sdk::new("", headers, ordinary).await;
    let calls = [
        ("GET", "/session/{s}/stream/", NONE, 200),
        ("GET", "/session/{s}/connection/", NONE, 200),
        (
            "PUT",
            "/session/{s}/stream/{stream}",
            json!({"layoutClassList": ["focus", "full"]}),
            200,
        ),
        ("POST", "/session/{s}/stream/{stream}/mute", NONE, 200),
        (
            "POST",
            "/session/{s}/mute",
            json!({"active": true, "excludedStreams": ["{stream}"]}),
            200,
        ),
        ("POST", "/session/{s}/mute", json!({"active": false}), 200),
        // What it sends when the application says nothing.
        (
            "POST",
            "/session/{s}/signal",
            json!({"data": "", "type": ""}),
            204,
        ),
    ];
    let in_a_routed_session = [
        (
            "POST",
            "/archive",
            json!({"sessionId": "{s}", "name": null, "hasVideo": true, "hasAudio": true,
                "outputMode": "composed", "resolution": null, "streamMode": "auto"}),
            LATER,
        ),
        ("POST", "/archive/{id}/stop", json!([]), LATER),
        // Streams of a broadcast are taken out at the archive's path.
        (
            "PATCH",
            "/archive/{id}/streams",
            json!({"removeStream": ID}),
            LATER,
        ),
        (
            "POST",
            "/broadcast",
            json!({"sessionId": "{s}", "layout": {"type": "bestFit"}, "maxBitRate": 2_000_000,
                "hasAudio": true, "hasVideo": true, "streamMode": "auto",
                "resolution": "640x480", "outputs": {"hls": [], "rtmp": []}}),
            LATER,
        ),
        (
            "POST",
            "/call",
            json!({"sessionId": "{s}", "token": "{token}", "sip": {"uri": "sip:a@example.com",
                "secure": true, "headers": [], "observeForceMute": false}}),
            LATER,
        ),
        ("POST", "/render/{id}", NONE, LATER),
        // It passes the parameters to its HTTP library as options.
        ("POST", "/render", NONE, 400),
        (
            "POST",
            "/connect",
            json!({"sessionId": "{s}", "token": "{token}",
                "websocket": {"uri": "wss://example.com/ws", "headers": []}}),
            LATER,
        ),
        (
            "POST",
            "/captions",
            json!({"sessionId": "{s}", "token": "{token}", "languageCode": "en-US",
                "maxDuration": 14400, "partialCaptions": true, "statusCallbackUrl": null}),
            LATER,
        ),
        ("DELETE", "/session/{s}/connection/{c}", NONE, 204),
    ];
    sdk.makes(&calls, &in_a_routed_session).await;
}

/// The members of an object, which Java refuses to read if there are others.
fn members(answer: &Answer) -> Vec<String> {
    answer.json().as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn java() {
    let headers = "User-Agent: Opentok-Java-SDK/4.17.0 JRE/21\nAccept: application/json";
    let sdk = Sdk::new("", headers, ordinary).await;
    let streams = sdk.ask("GET", "/session/{s}/stream", NONE).await;
    assert_eq!(members(&streams), ["count", "items"]);
    let connections = sdk.ask("GET", "/session/{s}/connection", NONE).await;
    let known = ["count", "items", "projectId", "sessionId"];
    assert_eq!(members(&connections), known);
    let calls = [
        // An id that is none.
        ("GET", "/session/{s}/stream/nonsense", NONE, 408),
        ("POST", "/session/{s}/stream/{stream}/mute", json!({}), 200),
        (
            "POST",
            "/session/{s}/mute",
            json!({"active": true, "excludedStreamIds": []}),
            200,
        ),
        (
            "POST",
            "/session/{s}/signal",
            json!({"type": null, "data": "hi"}),
            204,
        ),
    ];
    let in_a_routed_session = [
        (
            "POST",
            "/archive",
            json!({"sessionId": "{s}", "streamMode": "auto", "hasVideo": true, "hasAudio": true,
                "outputMode": "composed", "name": "lesson", "resolution": "1280x720",
                "layout": {"type": "custom", "stylesheet": "stream {}"}}),
            LATER,
        ),
        ("GET", "/archive", NONE, LATER),
        ("GET", "/archive?offset=1&count=0", NONE, LATER),
        ("POST", "/archive/{id}/stop", NONE, LATER),
        (
            "POST",
            "/broadcast",
            json!({"sessionId": "{s}", "streamMode": "auto", "hasAudio": true, "hasVideo": true,
                "maxDuration": 3600, "resolution": "640x480", "layout": {"type": "pip"},
                "outputs": {"hls": {"dvr": false, "lowLatency": true}, "rtmp": []}}),
            LATER,
        ),
        (
            "POST",
            "/dial",
            json!({"sessionId": "{s}", "token": "{token}", "sip": {"uri": "sip:a@example.com",
                "from": "1@example.com", "headers": {"X-A": "b"}, "secure": false, "video": false,
                "observeForceMute": false}}),
            LATER,
        ),
        (
            "POST",
            "/session/{s}/connection/{c}/play-dtmf",
            json!({"digits": "1"}),
            LATER,
        ),
        (
            "POST",
            "/connect",
            json!({"sessionId": "{s}", "token": "{token}",
                "websocket": {"uri": "wss://example.com/ws", "streams": [ID], "audioRate": 16000,
                    "bidirectional": false}}),
            LATER,
        ),
        (
            "POST",
            "/captions",
            json!({"sessionId": "{s}", "token": "{token}", "languageCode": "en-US",
                "maxDuration": 14400, "partialCaptions": true}),
            LATER,
        ),
        ("DELETE", "/session/{s}/connection/{c}", NONE, 204),
    ];
    sdk.makes(&calls, &in_a_routed_session).await;
}

#[tokio::test]
async fn dotnet() {
    let headers = "User-Agent: Opentok-DotNet-SDK/3.22.0\nX-TB-VERSION: 1\nExpect: 100-continue";
    // Its API URL ends in a slash, and its paths begin with one.
    let sdk = Sdk::new("/", headers, ordinary).await;
    let calls = [
        ("GET", "/session/{s}/stream", NONE, 200),
        ("GET", "/session/{s}/connection", NONE, 200),
        (
            "POST",
            "/session/{s}/mute",
            json!({"active": true, "excludedStreamIds": ["{stream}"]}),
            200,
        ),
        (
            "POST",
            "/session/{s}/signal",
            json!({"data": "hi", "type": null}),
            204,
        ),
    ];
    let in_a_routed_session = [
        (
            "POST",
            "/archive",
            json!({"sessionId": "{s}", "name": "", "hasVideo": true, "hasAudio": true,
                "outputMode": "composed", "streamMode": "auto", "hasTranscription": true,
                "transcriptionProperties": {"PrimaryLanguageCode": "en-US", "HasSummary": false},
                "layout": {"type": "bestFit", "stylesheet": null, "screensharetype": "pip"}}),
            LATER,
        ),
        ("GET", "/archive?offset=0", NONE, LATER),
        (
            "POST",
            "/broadcast",
            json!({"sessionId": "{s}", "hasAudio": true, "hasVideo": true, "maxDuration": 7200,
                "streamMode": "auto", "outputs": {"hls": {}}, "resolution": "640x480",
                "multiBroadcastTag": null}),
            LATER,
        ),
        (
            "POST",
            "/dial",
            json!({"sessionId": "{s}", "token": "{token}", "sip": {"uri": "sip:a@example.com",
                "from": null, "headers": null, "auth": null, "secure": false, "video": null,
                "observeForceMute": null, "streams": null}}),
            LATER,
        ),
        (
            "POST",
            "/connect",
            json!({"sessionId": "{s}", "token": "{token}",
                "websocket": {"uri": "wss://example.com/ws", "streams": [], "headers": {},
                    "audioTransport": {"transport": "binary"}}}),
            LATER,
        ),
        (
            "POST",
            "/captions",
            json!({"sessionId": "{s}", "token": "{token}", "languageCode": "en-US",
                "maxDuration": 14400.0, "partialCaptions": true}),
            LATER,
        ),
        ("GET", "/render?offset=0&count=50", NONE, LATER),
        ("DELETE", "/session/{s}/connection/{c}", NONE, 204),
    ];
    sdk.makes(&calls, &in_a_routed_session).await;
}
