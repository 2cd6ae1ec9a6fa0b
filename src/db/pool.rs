//! Connections to the database that take note of how long statements take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{Any, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{AnyPool, Either, Error, Execute, Executor, SqlStr, Transaction};
use tracing::{Span, trace_span};

use crate::clock::Clock;
use crate::telemetry::histogram::Histogram;

/// What statements are given to; each is timed, from the wait for a connection to its last row.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: AnyPool,
    times: Times,
}

/// How long statements took. All clones count together.
#[derive(Debug, Clone)]
pub(super) struct Times {
    clock: Clock,
    histogram: Arc<Mutex<Histogram>>,
}

/// A statement under way; counts when it is over, however it ends.
struct Running {
    times: Times,
    began: Instant,
    _traced: Span,
}

impl Pool {
    /// Times what these connections do.
    pub(super) fn new(connections: AnyPool, times: Times) -> Self {
        Self { connections, times }
    }

    /// The connections themselves.
    pub(super) fn connections(&self) -> &AnyPool {
        &self.connections
    }

    /// Begins a transaction. What is done in it is not timed.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        self.connections.begin().await
    }

    /// Closes them when running statements are done.
    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

impl Times {
    /// No statement yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            histogram: Arc::default(),
        }
    }

    /// How long they took so far.
    pub(super) fn observed(&self) -> Histogram {
        *self
            .histogram
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Running {
        Running {
            times: self.clone(),
            began: self.clock.now(),
            _traced: trace_span!("database", otel.kind = "client"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let took = self.times.clock.now() - self.began;
        let histogram = self.times.histogram.lock();
        histogram
            .unwrap_or_else(PoisonError::into_inner)
            .observe(took);
    }
}

impl<'c> Executor<'c> for &Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let running = self.times.begin();
        let rows = self.connections.fetch_many(query);
        // It ends with the stream.
        Box::pin(rows.inspect(move |_| {
            let _ = &running;
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let running = self.times.begin();
        let row = self.connections.fetch_optional(query);
        Box::pin(async move {
            let _running = running;
            row.await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }
}
