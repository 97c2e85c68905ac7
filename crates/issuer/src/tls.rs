use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::http::Trouble;

/// Read once: the machine's own roots, so that a private authority is trusted where its owner installed it.
static CONFIG: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// A TLS session with this host, whose certificate must be valid for its name.
pub(crate) async fn wrap(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Trouble> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Trouble::NotSent("the host's name is not valid for TLS".to_owned()))?;
    let config = CONFIG.get_or_try_init(config).await?;
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(name, stream).await.map_err(|error| {
        // Rustls names the fault (`UnknownIssuer`, `NotValidForName`); nothing has been sent yet.
        let fault = error.get_ref().map_or_else(|| error.kind().to_string(), ToString::to_string);
        Trouble::NotSent(format!("no TLS session: {fault}"))
    })
}

async fn config() -> Result<Arc<ClientConfig>, Trouble> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    for certificate in read.map_err(|_| Trouble::NoRoots)?.certs {
        // One unreadable root among many is not worth refusing all.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(Trouble::NoRoots);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(|_| Trouble::NoRoots)?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}
