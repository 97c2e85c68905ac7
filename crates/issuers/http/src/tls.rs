use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
pub use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use crate::HttpError;

/// The machine's own root certificates, read once. A private authority is trusted if the operator installed it there.
static SYSTEM: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// The trusted root certificates: those of a PEM file, or the machine's own.
///
/// # Errors
/// [`HttpError::NoRoots`], [`HttpError::NotSent`] where the file cannot be read.
pub fn client_config(roots: Option<&Path>) -> Result<Arc<ClientConfig>, HttpError> {
    config(match roots {
        Some(file) => {
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            read.map_err(|error| HttpError::NotSent(format!("{}: {error}", file.display())))?
        }
        None => rustls_native_certs::load_native_certs().certs,
    })
}

/// A configuration that trusts the machine's own root certificates, read once.
///
/// # Errors
/// [`HttpError::NoRoots`].
pub async fn system_config() -> Result<Arc<ClientConfig>, HttpError> {
    let read = || async {
        let read = tokio::task::spawn_blocking(|| client_config(None)).await;
        read.unwrap_or(Err(HttpError::NoRoots))
    };
    SYSTEM.get_or_try_init(read).await.map(Arc::clone)
}

fn config(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, HttpError> {
    let mut store = RootCertStore::empty();
    // One unreadable root among many is not worth refusing all.
    store.add_parsable_certificates(roots);
    if store.is_empty() {
        return Err(HttpError::NoRoots);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(|_| HttpError::NoRoots)?.with_root_certificates(store).with_no_client_auth();
    // Each probe makes a full handshake: a resumed TLS session could be answered from what the server cached.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A TLS session with this host, whose certificate must be valid for its name.
///
/// # Errors
/// [`HttpError::NotSent`], with the reason (for example `UnknownIssuer`).
pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<S>, HttpError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| HttpError::NotSent("the host's name is not valid for TLS".to_owned()))?;
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(name, stream).await.map_err(|error| {
        let fault = error.get_ref().map_or_else(|| error.kind().to_string(), ToString::to_string);
        HttpError::NotSent(format!("no TLS session: {fault}"))
    })
}

#[cfg(test)]
mod tests {
    use rcgen::CertifiedKey;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// A server for this name that sends "hello" to clients that trust it; returns its certificate.
    async fn server(name: &str) -> (std::net::SocketAddr, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        (address, cert.der().clone())
    }

    #[tokio::test]
    async fn a_certificate_must_be_trusted_and_for_the_name() {
        let (address, certificate) = server("issuer.example").await;
        let (_, other) = server("issuer.example").await;
        let ours = config(vec![certificate]).unwrap();
        let dial = || async { TcpStream::connect(address).await.unwrap() };

        let mut said = String::new();
        let mut session = handshake(dial().await, "issuer.example", &ours).await.unwrap();
        session.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");

        let refused = |outcome: Result<TlsStream<TcpStream>, HttpError>| match outcome {
            Ok(_) => panic!("a session with the wrong host"),
            Err(error) => error,
        };
        let name = refused(handshake(dial().await, "other.example", &ours).await);
        assert!(matches!(&name, HttpError::NotSent(why) if why.contains("not valid for name")), "{name:?}");
        let issuer = refused(handshake(dial().await, "issuer.example", &config(vec![other]).unwrap()).await);
        assert!(matches!(issuer, HttpError::NotSent(_)), "{issuer:?}");
        assert_eq!(config(Vec::new()).map(|_| ()), Err(HttpError::NoRoots));
    }
}
