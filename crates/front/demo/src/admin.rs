use std::fs;
use std::net::SocketAddr;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::folder::Folder;
use crate::http::{Call, CallError, Connection, Response};

/// The issuer's admin calls, as the demo itself makes them.
pub(crate) struct Admin {
    issuer: SocketAddr,
    key: SecretBytes,
}

impl Admin {
    pub(crate) fn open(folder: &Folder) -> Result<Self, Failure> {
        let path = folder.admin_key();
        let key = fs::read(&path).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("read {}", path.display()))
                .because(error)
        })?;
        Ok(Self { issuer: folder.ports()?.issuer(), key: SecretBytes::new(key) })
    }

    /// One call on a new connection. Any answer but success is a failure.
    pub(crate) async fn call(&self, method: &str, target: &str, body: &[u8]) -> Result<Response, Failure> {
        let response = self.attempt(method, target, &self.key, body).await;
        let failed = || {
            Failure::new(Class::Unknown, Code::DemoFailed, format!("{method} {target} at the demo's issuer"))
        };
        let response = response.map_err(|error| failed().because(error))?;
        match response.status {
            200..=299 => Ok(response),
            status => Err(failed().because(format!("it answered {status}"))),
        }
    }

    /// Whether a key is accepted at this moment.
    pub(crate) async fn accepts(&self, key: &SecretBytes) -> bool {
        self.attempt("GET", "/v1/me", key, b"").await.is_ok_and(|response| response.status == 200)
    }

    async fn attempt(
        &self,
        method: &str,
        target: &str,
        bearer: &SecretBytes,
        body: &[u8],
    ) -> Result<Response, CallError> {
        let call = Call { method, target, bearer: Some(bearer), headers: &[], body };
        Connection::open(self.issuer).await?.call(&call).await
    }
}
