use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::http::Trouble;

/// Read once: the machine's own roots, so that a private authority is trusted where its owner installed it.
static CONFIG: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// A TLS session with this host, whose certificate must be valid for its name.
pub(crate) async fn wrap(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Trouble> {
    greet(stream, host, CONFIG.get_or_try_init(read).await?).await
}

async fn greet(
    stream: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Trouble> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Trouble::NotSent("the host's name is not valid for TLS".to_owned()))?;
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(name, stream).await.map_err(|error| {
        // Rustls names the fault (`UnknownIssuer`, `NotValidForName`); nothing has been sent yet.
        let fault = error.get_ref().map_or_else(|| error.kind().to_string(), ToString::to_string);
        Trouble::NotSent(format!("no TLS session: {fault}"))
    })
}

async fn read() -> Result<Arc<ClientConfig>, Trouble> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    for certificate in read.map_err(|_| Trouble::NoRoots)?.certs {
        // One unreadable root among many is not worth refusing all.
        let _ = roots.add(certificate);
    }
    config(roots)
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, Trouble> {
    if roots.is_empty() {
        return Err(Trouble::NoRoots);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(|_| Trouble::NoRoots)?.with_root_certificates(roots).with_no_client_auth();
    // Each probe is a connection of its own, from its first byte: a resumed session could lead to what was cached.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rcgen::CertifiedKey;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    /// A server for this name that says "hello" to whoever trusts it; its certificate.
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

    fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        config(roots).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_must_be_trusted_and_for_the_name() {
        let (address, certificate) = server("issuer.example").await;
        let (_, other) = server("issuer.example").await;
        let ours = trusting(certificate);
        let dial = || async { TcpStream::connect(address).await.unwrap() };

        let mut said = String::new();
        let mut session = greet(dial().await, "issuer.example", &ours).await.unwrap();
        session.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");

        let refused = |outcome: Result<TlsStream<TcpStream>, Trouble>| match outcome {
            Ok(_) => panic!("a session with the wrong host"),
            Err(trouble) => trouble,
        };
        let name = refused(greet(dial().await, "other.example", &ours).await);
        assert!(matches!(&name, Trouble::NotSent(why) if why.contains("not valid for name")), "{name:?}");
        let issuer = refused(greet(dial().await, "issuer.example", &trusting(other)).await);
        assert!(matches!(issuer, Trouble::NotSent(_)), "{issuer:?}");
        assert_eq!(config(RootCertStore::empty()).map(|_| ()), Err(Trouble::NoRoots));
    }
}
