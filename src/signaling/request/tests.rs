//! Messages of clients, good and bad.

use crate::signaling::json::MAX_DEPTH;
use proptest::prelude::*;

use super::*;

const ID: &str = "80f8d87d-48b5-41ca-95ad-8e29b25de8ee";
const OTHER: &str = "fc764b1c-fd2f-4ae1-a18e-4b25b9f6d171";

#[test]
fn a_stream_of_an_old_client_has_one_fallback_flag_and_it_is_the_subscribers() {
    let stream = stream_create(r#"{"name":"cam","audioFallbackEnabled":true,"channel":[]}"#);
    assert!(stream.subscriber_audio_fallback && !stream.publisher_audio_fallback);
    let stream = stream_create(
        r#"{"audioFallbackEnabled":true,"subscriberAudioFallbackEnabled":false,"channel":[]}"#,
    );
    assert!(!stream.subscriber_audio_fallback, "the newer flag counts");
}

#[test]
fn an_old_client_negotiates_without_saying_which_way() {
    let content =
        format!(r#"{{"peerId":"{ID}","peerPriority":null,"type":"offer","sdp":"v=0\r\n"}}"#);
    let request = ask("offer", &format!("/stream/{ID}"), &content).unwrap();
    let ClientRequest::Negotiation(negotiation) = request else {
        panic!()
    };
    assert_eq!(negotiation.route, None);
    assert_eq!(
        negotiation.message,
        NegotiationMessage::Offer("v=0\r\n".into())
    );
    assert_eq!(negotiation.content.get(), content);
}

#[test]
fn content_may_be_missing_where_nothing_is_needed() {
    let text = format!(
        r#"{{"unknown":[1],"uri":"/v2/partner/1/session/S/stream/{ID}","method":"delete"}}"#
    );
    assert!(matches!(
        parse(&text, MAX_DEPTH).unwrap().request,
        ClientRequest::StreamDelete(_)
    ));
    assert!(ask("delete", &format!("/stream/{ID}"), "null").is_ok());
    assert!(ask("create", &format!("/connection/{ID}"), "{}").is_ok());
}

#[test]
fn a_mute_says_whom_it_spares() {
    let content =
        format!(r#"{{"reason":"mute","channels":["audio"],"active":true,"exclusion":["{ID}"]}}"#);
    let ClientRequest::SessionMute(all) = ask("update", "", &content).unwrap() else {
        panic!()
    };
    assert_eq!(all.excluded, [ID.parse().unwrap()]);
    assert!(all.mute.active);
    refused("update", "", r#"{"reason":"other","active":true}"#);
    refused(
        "update",
        "",
        r#"{"reason":"mute","active":true,"exclusion":["nope"]}"#,
    );
}

#[test]
fn a_signal_keeps_any_data_verbatim() {
    let data = |content: &str| match ask("signal", &format!("/signal/{ID}"), content) {
        Ok(ClientRequest::Signal(signal)) => signal.body.data.map(|d| d.get().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(data("{}"), None);
    assert_eq!(data(r#"{"data":null}"#).as_deref(), Some("null"));
    assert_eq!(
        data(r#"{"data":{"a": 1.0e3}}"#).as_deref(),
        Some(r#"{"a": 1.0e3}"#)
    );
}

#[test]
fn ids_in_content_must_be_those_of_the_uri() {
    let stream = format!("/stream/{ID}");
    assert!(
        ask(
            "create",
            &stream,
            &format!(r#"{{"id":"{ID}","channel":[]}}"#)
        )
        .is_ok()
    );
    refused(
        "create",
        &stream,
        &format!(r#"{{"id":"{OTHER}","channel":[]}}"#),
    );
    refused("create", &stream, r#"{"id":"nope","channel":[]}"#);
    let subscriber = format!("/stream/{ID}/subscriber/{ID}");
    refused(
        "create",
        &subscriber,
        &format!(r#"{{"id":"{OTHER}","channel":[]}}"#),
    );
}

#[test]
fn channels_are_each_there_once_and_of_their_type() {
    let channel = |id: &str, kind: &str| format!(r#"{{"id":"{id}","type":"{kind}"}}"#);
    let create = |channels: &[String]| {
        let content = format!(r#"{{"channel":[{}]}}"#, channels.join(","));
        ask("create", &format!("/stream/{ID}"), &content)
    };
    let (audio, video) = (channel("audio1", "audio"), channel("video1", "video"));
    assert!(create(&[audio.clone(), video]).is_ok());
    assert!(create(&[audio.clone(), audio]).is_err());
    assert!(create(&[channel("audio1", "video")]).is_err());
    assert!(create(&[channel("video2", "video")]).is_err());
}

#[test]
fn what_everybody_is_sent_is_bounded() {
    let long = "x".repeat(MAX_DESCRIPTION_LEN);
    let stream = format!("/stream/{ID}");
    refused(
        "create",
        &stream,
        &format!(r#"{{"name":"{long}","channel":[]}}"#),
    );
    refused(
        "create",
        &stream,
        &format!(r#"{{"channel":[],"customProperties":{{"a":"{long}"}}}}"#),
    );
    refused("create", &stream, r#"{"channel":[],"customProperties":[]}"#);
    refused(
        "create",
        &format!("/connection/{ID}"),
        &format!(r#"{{"userAgent":"{long}"}}"#),
    );
}

#[test]
fn what_no_client_may_do_is_refused() {
    refused("explode", &format!("/stream/{ID}"), "{}");
    refused("created", &format!("/stream/{ID}"), "{}");
    refused("answer", &format!("/stream/{ID}"), r#"{"sdp":""}"#);
    refused("update", &format!("/archive/{ID}"), "{}");
    refused("offer", &format!("/stream/{ID}"), "{}");
    refused("signal", &format!("/signal/{ID}"), r#"["chat","hello"]"#);
    refused(
        "signal",
        &format!("/signal/{ID}"),
        r#"{"type":"a","type":"b"}"#,
    );
}

#[test]
fn hostile_nesting_is_refused_before_it_is_read() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let content = format!(r#"{{"data":{deep}}}"#);
    let result = ask("signal", &format!("/signal/{ID}"), &content);
    assert!(matches!(result, Err(RequestError::TooDeep)));
    assert!(matches!(
        parse(&"[".repeat(100_000), MAX_DEPTH),
        Err(RequestError::TooDeep)
    ));
}

#[test]
fn what_is_no_json_is_malformed() {
    for text in [
        "",
        "x",
        "{}",
        "[]",
        "null",
        r#"{"method":"create"}"#,
        r#"{"method":1,"uri":2}"#,
    ] {
        assert!(
            matches!(parse(text, MAX_DEPTH), Err(RequestError::Malformed(_))),
            "{text}"
        );
    }
}

#[test]
fn session_descriptions_do_not_print() {
    let request = ask("offer", &format!("/stream/{ID}"), r#"{"sdp":"ice-pwd"}"#).unwrap();
    assert!(!format!("{request:?}").contains("ice-pwd"));
}

proptest! {
    #[test]
    fn arbitrary_content_is_read_or_refused(
        method in "(create|delete|update|offer|answer|candidate|signal|data)",
        path in "(|/connection/ID|/stream/ID|/stream/ID/channel/video1|/signal/ID\
            |/stream/ID/subscriber/ID|/stream/ID/subscriber/ID/channel/video1)",
        key in "(id|name|channel|active|width|sdp|peerId|type|data|reason|sourceStreamId)",
        value in r#"(1|-1|1e400|null|true|""|"a"|\[\]|\[1\]|\{\}|\[\{\}\]|x|)"#,
    ) {
        let _ = ask(&method, &path.replace("ID", ID), &format!(r#"{{"{key}":{value}}}"#));
    }

    #[test]
    fn arbitrary_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse(&text, MAX_DEPTH);
    }
}

fn stream_create(content: &str) -> StreamCreate {
    match ask("create", &format!("/stream/{ID}"), content) {
        Ok(ClientRequest::StreamCreate(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

fn refused(method: &str, path: &str, content: &str) {
    let error = ask(method, path, content).unwrap_err();
    assert_eq!(error.refusal(), Refusal::Malformed, "{error}");
}

fn ask(method: &str, path: &str, content: &str) -> Result<ClientRequest, RequestError> {
    let uri = format!("/v2/partner/1127/session/S{path}");
    let payload = format!(r#"{{"method":"{method}","uri":"{uri}","content":{content}}}"#);
    parse(&payload, MAX_DEPTH).map(|addressed| addressed.request)
}
