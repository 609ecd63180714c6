//! Workers: take from the queue, reconcile, count, and put back what failed.

use crate::context::Context;
use crate::error::Error;
use crate::queue::Work;
use crate::reconcile::{Outcome, reconcile};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long a visit may take before it is given up and tried again.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Works until `stop`; a visit under way is finished.
pub async fn work(cx: Arc<Context>, stop: CancellationToken) {
    loop {
        let work = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            work = cx.queue.next() => work,
        };
        visit(&cx, &work).await;
    }
}

async fn visit(cx: &Context, work: &Work) {
    let start = Instant::now();
    let visit = tokio::time::timeout(TIMEOUT, reconcile(cx, work)).await;
    let result = match visit {
        Ok(Ok(Outcome::Done)) => {
            cx.backoff.succeeded(work);
            "success"
        }
        Ok(Ok(Outcome::Later(pause))) => {
            cx.backoff.succeeded(work);
            cx.queue.add_after(work.clone(), pause);
            "requeue_after"
        }
        Ok(Err(Error::NotLeader(_))) => {
            debug!("not the leader any more, leaving the work to another replica");
            "error"
        }
        failed => {
            let error =
                failed.map_or_else(|_| "the visit took too long".to_owned(), |result| describe(result.err()));
            let pause = cx.backoff.failed(work);
            warn!(?work, error, retry_in_ms = pause.as_millis(), "reconcile failed");
            cx.queue.add_after(work.clone(), pause);
            "error"
        }
    };
    cx.metrics.reconciled(work.controller(), result, start.elapsed());
    cx.queue.done(work, result != "error");
}

fn describe(error: Option<Error>) -> String {
    let Some(error) = error else { return String::new() };
    let mut text = error.to_string();
    if let Error::Write { source: kube::Error::Api(status), .. } = &error {
        // Its own words; the rest of the answer repeats them.
        return format!("{text}: {}", status.message);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
