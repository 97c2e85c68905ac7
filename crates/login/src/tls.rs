use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TLS with the server's certificate and name verified, by the roots of a PEM file or the system's.
///
/// # Errors
/// Why it cannot be had, as a clause.
pub fn client_config(roots: Option<&Path>) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    let found = match roots {
        Some(file) => {
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            read.map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (usable, _) = store.add_parsable_certificates(found);
    if usable == 0 {
        return Err("there is no root certificate to trust".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}
