//! Traces for an OpenTelemetry collector, over OTLP/HTTP.
//!
//! What has ended waits in a queue of [`QUEUE_LEN`] for a thread of its own, which sends it. Whoever
//! ends a span waits for nothing: when the queue is full, the span is dropped.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tokio::runtime::Handle;
use tracing::{Metadata, Span, info, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::{Layer, Registry};

use crate::config::TracesConfig;
use crate::net::dial::Dialer;
use crate::net::trust;

/// The spans that are sent, all of bounded size; none is of a packet or of a frame.
const SPANS: [&str; 6] = ["http", "hub", "database", "join", "websocket", "webhook"];

/// Spans that may wait, some kilobyte each, and how many are sent with one request.
const QUEUE_LEN: usize = 2048;
const BATCH_LEN: usize = 512;

/// How long a span waits at most while there are few.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long the collector may take for one batch, with repetitions.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take for what is left when the process ends.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// The only header of a caller's that counts; it has 55 characters.
const TRACEPARENT: &str = "traceparent";

/// What sends traces. End it with [`Self::finish`].
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// What a span follows from, here or elsewhere.
#[derive(Debug, Clone)]
pub struct Cause(Context);

impl Traces {
    /// Requests are made by the runtime that this is called in.
    pub(super) fn start(config: &TracesConfig) -> io::Result<Self> {
        let headers = config.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(config.endpoint.as_str())
            .with_headers(headers.collect())
            .with_timeout(PATIENCE)
            .with_http_client(Collector::new())
            .build()
            .map_err(io::Error::other)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_LEN)
            .with_max_export_batch_size(BATCH_LEN)
            .with_scheduled_delay(INTERVAL)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let here = Sampler::TraceIdRatioBased(config.sample_ratio);
        let resource = Resource::builder_empty()
            .with_service_name(config.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(batches.build())
            .with_sampler(Sampler::ParentBased(Box::new(here)))
            .with_resource(resource.build());
        Ok(Self(provider.build()))
    }

    /// What spans have to pass.
    pub(super) fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(FilterFn::new(is_sent))
    }

    /// Sends what is left, as long as that takes no more than two seconds.
    pub fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_PATIENCE) {
            warn!(%error, "The last traces were not sent");
        }
    }
}

impl Cause {
    /// The span that this is called in.
    pub fn current() -> Self {
        Self(Span::current().context())
    }

    /// What the caller of a request says of it (W3C Trace Context); anybody may say anything.
    pub fn remote(headers: &HeaderMap) -> Self {
        let context = Context::new();
        let caller = TraceContextPropagator::new();
        Self(caller.extract_with_context(&context, &Traceparent(headers)))
    }

    /// Makes a span a part of that, unless it is one of something else: it must be new. Other than
    /// a parent, a cause may end earlier.
    pub fn lead_to(&self, span: &Span) {
        // An error means that it is not sent.
        let _ = span.set_parent(self.0.clone());
    }
}

fn is_sent(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.target().starts_with(env!("CARGO_PKG_NAME"))
        && SPANS.contains(&metadata.name())
}

/// `tracestate` is of any length and of no use here.
struct Traceparent<'a>(&'a HeaderMap);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).filter(|_| key == TRACEPARENT)?;
        value.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// Where batches go. That it does not take them is said once, and when it does again.
#[derive(Debug)]
struct Collector {
    dialer: Dialer,
    runtime: Handle,
    failing: AtomicBool,
}

impl Collector {
    fn new() -> Self {
        Self {
            dialer: Dialer::new(trust::system()),
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let dialer = self.dialer.clone();
        let request = request.map(Full::new);
        // The thread that waits for this has no runtime.
        let sending = self
            .runtime
            .spawn(async move { dialer.request(request).await });
        let sent = sending.await?;
        let failed = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failing = self.failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(reason) if !failing => warn!(reason, "The collector does not take traces"),
            None if failing => info!("The collector takes traces again"),
            _ => {}
        }
        Ok(sent?)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.send(request))
    }
}
