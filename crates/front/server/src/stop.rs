use tokio::sync::watch;

/// Returns once the server stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stop.wait_for(|stop| *stop).await;
}
