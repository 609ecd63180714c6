//! What a gateway pod's admin port answers on `/status`, as a test wants it.

use anyhow::Context as _;
use bytes::Bytes;
use deepseek_config::report::{ADMIN_PORT, Report};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Answers on one loopback address until dropped.
pub(super) struct ReportServer {
    report: Arc<watch::Sender<Report>>,
    task: JoinHandle<()>,
}

impl ReportServer {
    pub(super) async fn start(address: Ipv4Addr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, ADMIN_PORT))
            .await
            .with_context(|| format!("failed to listen on {address}:{ADMIN_PORT}"))?;
        let report = Arc::new(watch::Sender::new(Report { revision: 1, ..Report::default() }));
        let task = tokio::spawn(serve(listener, Arc::clone(&report)));
        Ok(Self { report, task })
    }

    /// Changes the report; its revision moves by itself.
    pub(super) fn change(&self, change: impl FnOnce(&mut Report)) {
        self.report.send_modify(|report| {
            change(report);
            report.revision += 1;
        });
    }
}

impl Drop for ReportServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, report: Arc<watch::Sender<Report>>) {
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let report = report.subscribe();
        let service = service_fn(move |request| answer(request, report.clone()));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _ = connection.await;
        });
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    mut report: watch::Receiver<Report>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let number = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        value.parse::<u64>().ok()
    };
    if let Some(after) = number("after") {
        let news = report.wait_for(|report| report.revision > after);
        let _ = tokio::time::timeout(Duration::from_secs(number("wait").unwrap_or_default()), news).await;
    }
    let body = serde_json::to_vec(&*report.borrow());
    let mut response = Response::new(Full::from(body.unwrap_or_default()));
    if request.uri().path() != "/status" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
