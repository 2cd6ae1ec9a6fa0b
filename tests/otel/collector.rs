//! A collector that keeps what it gets: OTLP over HTTP, of which it reads as much as the tests look
//! at (opentelemetry-proto: `trace/v1/trace.proto`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use tokio::net::TcpListener;

type Attributes = BTreeMap<String, String>;
type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// One that listens as long as the test runs.
pub(crate) struct Collector {
    address: SocketAddr,
    requests: Requests,
}

/// A span, and who sent it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) resource: Attributes,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) attributes: Attributes,
    pub(crate) failed: bool,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let requests = Requests::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let take = async |State(requests): State<Requests>, headers: HeaderMap, body: Bytes| {
            requests.lock().unwrap().push((headers, body));
        };
        let router = Router::new().route("/v1/traces", post(take));
        let router = router.with_state(requests.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, requests }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The headers of all requests.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .map(|(headers, _)| headers.clone())
            .collect()
    }

    /// All spans, in the order in which they ended.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let requests = self.requests.lock().unwrap();
        let mut spans = Vec::new();
        for (_, body) in requests.iter() {
            for resource_spans in all(body, 1) {
                let resource: Vec<_> = all(resource_spans, 1).collect();
                let resource = attributes(&resource.concat(), 1);
                for span in all(resource_spans, 2).flat_map(|scope| all(scope, 2)) {
                    spans.push(Sent::read(span, resource.clone()));
                }
            }
        }
        spans
    }
}

impl Sent {
    /// The kind of what answers requests.
    pub(crate) const SERVER: u64 = 2;

    fn read(span: &[u8], resource: Attributes) -> Self {
        let hex = |number| -> String {
            let bytes = all(span, number).next().unwrap_or_default().iter();
            bytes.map(|byte| format!("{byte:02x}")).collect()
        };
        let status = all(span, 15).next().unwrap_or_default();
        Self {
            resource,
            trace: hex(1),
            id: hex(2),
            parent: hex(4),
            name: text(span, 5),
            kind: number(span, 6),
            attributes: attributes(span, 9),
            failed: number(status, 3) == 2,
        }
    }
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes a protobuf message apart: the numbers of its fields, and their values.
fn fields(mut rest: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)),
            1 => Value::Bytes(rest.split_off(..8).unwrap()),
            2 => {
                let len = varint(&mut rest);
                Value::Bytes(rest.split_off(..len as usize).unwrap())
            }
            5 => Value::Bytes(rest.split_off(..4).unwrap()),
            other => panic!("there is no wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first().unwrap();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// All values of a field that are messages, texts or bytes.
fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let fields = fields(message).into_iter();
    fields.filter_map(move |(found, value)| match value {
        Value::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    })
}

fn text(message: &[u8], number: u64) -> String {
    let bytes = all(message, number).next().unwrap_or_default();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A field that is a number; 0 without it.
fn number(message: &[u8], number: u64) -> u64 {
    let fields = fields(message).into_iter();
    let mut numbers = fields.filter_map(|(found, value)| match value {
        Value::Number(value) if found == number => Some(value),
        _ => None,
    });
    numbers.next().unwrap_or_default()
}

/// Pairs of names and texts or whole numbers.
fn attributes(message: &[u8], field: u64) -> Attributes {
    let pairs = all(message, field);
    pairs
        .map(|pair| {
            let value = all(pair, 2).next().unwrap_or_default();
            let value = match number(value, 3) {
                0 => text(value, 1),
                number => number.to_string(),
            };
            (text(pair, 1), value)
        })
        .collect()
}
