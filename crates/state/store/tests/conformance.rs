//! The store's conformance suite, run by the sealed store.

use async_trait::async_trait;
use keyroll_port::conformance::store::{SECRET, StoreHarness, run};
use keyroll_port::{Staging, Store};
use keyroll_secret::Credential;
use keyroll_store::SealedStore;

use crate::sample::{Place, credential, value, with_id};

/// An open store in its folder.
struct Sealed {
    place: Place,
    store: Option<SealedStore>,
}

impl Sealed {
    fn open(&self) -> &SealedStore {
        self.store.as_ref().expect("an open store")
    }
}

#[async_trait]
impl StoreHarness for Sealed {
    async fn fresh(&mut self) {
        self.store = None;
        self.place = Place::new();
        self.store = Some(self.place.open());
    }

    async fn reopen(&mut self) {
        // One at a time: writes that the first one has not finished are lost.
        self.store = None;
        self.store = Some(self.place.open());
    }

    fn store(&self) -> &dyn Store {
        self.open()
    }

    fn staging(&self) -> &dyn Staging {
        self.open()
    }

    async fn found(&mut self) -> bool {
        self.open().found(SECRET).await.unwrap();
        true
    }

    fn credential(&mut self, id: Option<&str>) -> Credential {
        id.map_or_else(|| credential(&value()), |id| with_id(id, &value()))
    }
}

#[tokio::test]
async fn the_sealed_store_keeps_every_rule() {
    run(&mut Sealed { place: Place::new(), store: None }).await.unwrap();
}
