//! The admin port: probes, metrics and the report. Never upstream health: one bad provider must not take pods away.

use crate::drain::{Drain, Phase};
use crate::listeners::Listening;
use crate::report::Reporter;
use crate::watchdog::Watchdog;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Longest wait of one long poll.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

const INDEX: &str = "\
DeepSeek gateway, admin port

/livez     200 as long as the process gets on
/readyz    200 when it serves: configuration loaded, listeners open, not leaving
/startupz  200 once a configuration was loaded
/metrics   OpenMetrics
/status    what is loaded and seen, as JSON; ?after=REVISION&wait=SECONDS waits for a change
";

/// What the admin port shows.
pub struct Admin {
    /// Behind `/status`.
    pub reporter: Arc<Reporter>,
    /// Behind `/metrics`.
    pub registry: Registry,
    /// Whether the process is leaving.
    pub drain: Drain,
    /// Whether the runtime gets on.
    pub watchdog: Watchdog,
    /// How often a configuration was joined; 0 until the first.
    pub joined: watch::Receiver<u64>,
    /// What listens.
    pub listening: watch::Receiver<Listening>,
}

#[derive(Deserialize)]
struct Poll {
    after: Option<u64>,
    wait: Option<u64>,
}

/// Serves `admin` on `listener` until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    if let Err(error) = axum::serve(listener, router(admin)).await {
        tracing::error!(%error, "the admin port has failed");
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(Arc::new(admin))
}

async fn livez(State(admin): State<Arc<Admin>>) -> Response {
    probe(if admin.watchdog.is_wedged() { Err("a worker thread is stuck") } else { Ok(()) })
}

async fn startupz(State(admin): State<Arc<Admin>>) -> Response {
    probe(loaded(&admin))
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let serving = || match admin.drain.phase() {
        Phase::Serving => Ok(()),
        Phase::Leaving | Phase::Closing | Phase::Cut => Err("leaving"),
    };
    let listening =
        || if admin.listening.borrow().complete { Ok(()) } else { Err("listeners are not open yet") };
    probe(serving().and_then(|()| loaded(&admin)).and_then(|()| listening()))
}

fn loaded(admin: &Admin) -> Result<(), &'static str> {
    if *admin.joined.borrow() > 0 { Ok(()) } else { Err("no configuration loaded yet") }
}

fn probe(verdict: Result<(), &'static str>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {error}\n")).into_response(),
    }
}

async fn status(State(admin): State<Arc<Admin>>, Query(poll): Query<Poll>) -> Response {
    if let Some(after) = poll.after {
        let wait = Duration::from_secs(poll.wait.unwrap_or_default()).min(LONGEST_WAIT);
        admin.reporter.revision().above(after, wait).await;
    }
    Json(admin.reporter.report()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Pace;
    use crate::observe::Observed;
    use crate::report::Revision;
    use axum::body::Body;
    use axum::http::Request;
    use tower_service::Service as _;

    struct Process {
        router: Router,
        joined: watch::Sender<u64>,
        listening: watch::Sender<Listening>,
        drain: Drain,
        watchdog: Watchdog,
    }

    impl Process {
        fn new() -> Self {
            let (drain, watchdog) = (Drain::default(), Watchdog::default());
            let (joined, listening) = (watch::Sender::new(0), watch::Sender::default());
            let reporter = Reporter::new(Revision::default(), drain.clone(), Box::new(Observed::default));
            let router = router(Admin {
                reporter: Arc::new(reporter),
                registry: Registry::default(),
                drain: drain.clone(),
                watchdog: watchdog.clone(),
                joined: joined.subscribe(),
                listening: listening.subscribe(),
            });
            Self { router, joined, listening, drain, watchdog }
        }

        /// Status of `/livez`, `/startupz` and `/readyz`.
        async fn probes(&mut self) -> [u16; 3] {
            let mut states = [0; 3];
            for (state, path) in states.iter_mut().zip(["/livez", "/startupz", "/readyz"]) {
                let request = Request::get(path).body(Body::empty()).unwrap();
                *state = self.router.call(request).await.unwrap().status().as_u16();
            }
            states
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_starts_with_its_configuration_and_is_ready_with_its_listeners() {
        let mut process = Process::new();
        assert_eq!(process.probes().await, [200, 503, 503]);
        process.joined.send_replace(1);
        assert_eq!(process.probes().await, [200, 200, 503]);
        process.listening.send_modify(|listening| listening.complete = true);
        assert_eq!(process.probes().await, [200, 200, 200]);
        process.drain.begin();
        assert_eq!(process.probes().await, [200, 200, 503]);
        process
            .drain
            .run(Pace { delay: Duration::ZERO, timeout: Duration::ZERO }, std::future::pending())
            .await;
        assert_eq!(process.probes().await, [200, 200, 503]);
    }

    #[tokio::test]
    async fn a_stuck_worker_fails_the_liveness_probe_alone() {
        let mut process = Process::new();
        process.watchdog.set_wedged(true);
        assert_eq!(process.probes().await[0], 503);
    }
}
