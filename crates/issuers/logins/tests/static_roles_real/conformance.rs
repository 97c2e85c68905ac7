//! The port's suite over the real Vault and a real server, each behind a relay that can lose requests and answers.

use keyroll_port::Issuer;
use keyroll_secret::Credential;
use keyroll_testkit::Postgres as Server;
use serde_json::json;

use crate::static_roles::conformance::{Ground, Harness};
use crate::static_roles::stage::ROLES;
use crate::static_roles_real::stage::Stage;

impl Ground for Stage {
    fn server(&self) -> &Server {
        &self.server
    }

    fn vault_port(&self) -> u16 {
        self.vault.port()
    }

    fn direct(&self) -> &dyn Issuer {
        &*self.issuer
    }

    fn through(&self, vault_port: u16, server_port: u16, request_ms_max: u64) -> Box<dyn Issuer> {
        self.through(vault_port, server_port, request_ms_max)
    }

    fn renew(&self) {
        for role in ROLES {
            self.vault.post(&format!("database/rotate-role/{role}"), &json!({}));
        }
    }

    fn shown_at(&self, slot: usize) -> Credential {
        self.shown(slot)
    }
}

async fn start(request_ms_max: u64) -> Option<Harness<Stage>> {
    let stage = Stage::new("the issuer's conformance suite over the real Vault").await?;
    Some(Harness::over(stage, request_ms_max).await)
}

keyroll_port::conformance_tests!(start: ok, dead, timeout, odd, absent, lost, refused);
