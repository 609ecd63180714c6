//! The admin listener: `/livez`, `/readyz`, `/metrics`.
//!
//! *Ready* means that this replica could lead: permissions and definitions are there, and every watch has delivered its
//! first list. It does not mean that it leads. *Live* fails only when every watch has been failing for so long
//! that a restart is the best that can be tried.

use crate::watch::Health;
use anyhow::Context as _;
use axum::{
    Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse,
    routing::get,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Every metric.
    pub registry: Arc<Registry>,
    /// Brings gauges up to date before they are printed.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// How the watches are.
    pub health: Arc<Health>,
    /// What the self-check found missing; `None` before it has run.
    pub missing: Arc<Mutex<Option<Vec<String>>>>,
}

/// Binds `address` and serves until `stop`.
pub async fn serve(address: SocketAddr, admin: Admin, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on --admin-address {address}"))?;
    info!(address = %listener.local_addr()?, "admin listener is up");
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("the admin listener failed")
}

async fn livez(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.health.all_broken() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(age) => {
            let seconds = age.as_secs();
            (StatusCode::SERVICE_UNAVAILABLE, format!("every watch has been failing for {seconds} s\n"))
        }
    }
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    let problems = match &*admin.missing.lock() {
        None => vec!["permissions and custom resource definitions are not checked yet".to_owned()],
        Some(missing) if missing.is_empty() => admin.health.unsynced(),
        Some(missing) => missing.clone(),
    };
    if problems.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    (admin.refresh)();
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => {
            let type_ = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(CONTENT_TYPE, type_)], text)
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}
