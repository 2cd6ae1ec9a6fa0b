//! How well the media of a session gets through: the server's counts, and what happened between two
//! looks at them.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

/// Which counter of bytes it is: stream, subscriber if it is of one, and SSRC.
type Counter = (String, String, u64);

/// Two answers of a server about the same session, a while apart: the items of the later one, each
/// direction with its `bitrate` of payload in bits per second.
pub(super) fn with_bitrates(earlier: &Value, mut later: Value) -> Value {
    let millis = number(&later["timestamp"]) - number(&earlier["timestamp"]);
    let mut before = HashMap::new();
    each(&mut earlier.clone(), |counter, stats| {
        before.insert(counter, bytes(stats));
    });
    each(&mut later, |counter, stats| {
        if let Some(before) = before.get(&counter)
            && millis > 0.0
        {
            let bitrate = (bytes(stats) - before) * 8000.0 / millis;
            stats["bitrate"] = json!(bitrate.round());
        }
    });
    later["items"].take()
}

/// The lines about one stream of these.
pub(super) fn describe(stream: &Value) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        writeln!(text, "  {}", words.trim_end()).expect("a string takes everything");
    };
    if stream["route"] == "relayed" {
        line("goes from browser to browser".into());
    }
    for inbound in items(&stream["inbound"]) {
        let lost = format!("{} lost", inbound["packetsLost"]);
        line(format!("from publisher  {}", flow(inbound, inbound, &lost)));
    }
    for subscriber in items(&stream["subscribers"]) {
        let id = subscriber["connectionId"].as_str().unwrap_or_default();
        let network = &subscriber["availableOutgoingBitrate"];
        line(match network.is_null() {
            true => format!("to {id}"),
            false => format!("to {id}, whose network carries {}", kilobits(network)),
        });
        for outbound in items(&subscriber["outbound"]) {
            let remote = &outbound["remote"];
            let lost = match remote.is_null() {
                true => "not reported yet".into(),
                false => format!(
                    "{} lost ({:.1} %)",
                    remote["packetsLost"],
                    number(&remote["fractionLost"]) * 100.0
                ),
            };
            line(format!("  {}", flow(outbound, remote, &lost)));
        }
    }
    text
}

/// What can be said of either direction; jitter and round trip as the receiver knows them.
fn flow(stats: &Value, received: &Value, lost: &str) -> String {
    let codec = stats["mimeType"].as_str().or(stats["kind"].as_str());
    let mut words = vec![codec.unwrap_or_default().to_owned()];
    if stats["kind"] == "video" {
        words.push(match (&stats["layer"], &stats["temporalLayer"]) {
            (Value::Null, _) => "no layer".into(),
            (layer, Value::Null) => format!("layer {layer}"),
            (layer, temporal) => format!("layer {layer}.{temporal}"),
        });
    }
    if !stats["frameWidth"].is_null() {
        words.push(format!("{}x{}", stats["frameWidth"], stats["frameHeight"]));
    }
    words.push(kilobits(&stats["bitrate"]));
    let packets = [&stats["packetsReceived"], &stats["packetsSent"]];
    let packets = packets.into_iter().find(|count| !count.is_null());
    words.push(format!("{} packets", packets.unwrap_or(&Value::Null)));
    words.push(lost.to_owned());
    words.push(format!("NACK {}", stats["nackCount"]));
    if stats["kind"] == "video" {
        words.push(format!("PLI {}", stats["pliCount"]));
    }
    for (what, seconds) in [
        ("jitter", &received["jitter"]),
        ("round trip", &received["roundTripTime"]),
    ] {
        if !seconds.is_null() {
            words.push(format!("{what} {:.1} ms", number(seconds) * 1000.0));
        }
    }
    words.join("  ")
}

fn kilobits(bits: &Value) -> String {
    format!("{:.0} kbit/s", number(bits) / 1000.0)
}

/// Goes through all flows of an answer.
fn each(answer: &mut Value, mut visit: impl FnMut(Counter, &mut Value)) {
    for stream in items_mut(&mut answer["items"]) {
        let id = stream["id"].to_string();
        for stats in items_mut(&mut stream["inbound"]) {
            visit((id.clone(), String::new(), ssrc(stats)), stats);
        }
        for subscriber in items_mut(&mut stream["subscribers"]) {
            let whose = subscriber["connectionId"].to_string();
            for stats in items_mut(&mut subscriber["outbound"]) {
                visit((id.clone(), whose.clone(), ssrc(stats)), stats);
            }
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn items_mut(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

fn ssrc(stats: &Value) -> u64 {
    stats["ssrc"].as_u64().unwrap_or_default()
}

fn bytes(stats: &Value) -> f64 {
    number(&stats["bytesReceived"]) + number(&stats["bytesSent"])
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(timestamp: u64, received: u64, sent: u64) -> Value {
        json!({"timestamp": timestamp, "count": 1, "items": [{
            "id": "s", "name": "", "connectionId": "a", "route": "routed",
            "inbound": [{
                "kind": "video", "mimeType": "video/VP8", "ssrc": 7, "layer": 1,
                "packetsReceived": 90, "bytesReceived": received, "packetsLost": 2,
                "jitter": 0.0015, "nackCount": 3, "pliCount": 4,
                "frameWidth": 640, "frameHeight": 480,
            }],
            "subscribers": [{"connectionId": "b", "availableOutgoingBitrate": 1_500_000, "outbound": [
                {
                    "kind": "video", "mimeType": "video/VP8", "ssrc": 7, "layer": 1,
                    "temporalLayer": 2, "packetsSent": 80, "bytesSent": sent, "nackCount": 0,
                    "pliCount": 1, "remote": {"packetsLost": 1, "fractionLost": 0.25,
                        "jitter": 0.002, "roundTripTime": 0.05},
                },
                {"kind": "audio", "ssrc": 8, "packetsSent": 0, "bytesSent": 0, "nackCount": 0},
            ]}],
        }]})
    }

    #[test]
    fn bit_rates_are_of_the_time_between_two_answers() {
        let later = answer(3_000, 250_000, 62_500);
        let items = with_bitrates(&answer(1_000, 0, 0), later);
        assert_eq!(items[0]["inbound"][0]["bitrate"], 1_000_000.0);
        let outbound = &items[0]["subscribers"][0]["outbound"];
        assert_eq!(outbound[0]["bitrate"], 250_000.0);
        assert_eq!(
            describe(&items[0]),
            "  from publisher  video/VP8  layer 1  640x480  1000 kbit/s  90 packets  2 lost  \
             NACK 3  PLI 4  jitter 1.5 ms\n\
             \x20 to b, whose network carries 1500 kbit/s\n\
             \x20   video/VP8  layer 1.2  250 kbit/s  80 packets  1 lost (25.0 %)  NACK 0  PLI 1  \
             jitter 2.0 ms  round trip 50.0 ms\n\
             \x20   audio  0 kbit/s  0 packets  not reported yet  NACK 0\n"
        );
    }

    #[test]
    fn what_was_not_there_before_has_no_rate() {
        let nothing = json!({"timestamp": 1_000, "count": 0, "items": []});
        let items = with_bitrates(&nothing, answer(2_000, 9, 9));
        assert_eq!(items[0]["inbound"][0].get("bitrate"), None);
    }
}
