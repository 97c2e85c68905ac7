//! The port's own suite, on an API server that keeps what is written.

use keyroll_port::Host as _;
use keyroll_port::conformance::host;

use super::shop::{Shop, plain, versioned};

/// Every case but `remembered`: the issuer's mark stays on the host that keyroll runs on, which alone is asked for it, so a
/// cluster keeps none.
async fn cases(shop: &mut Shop) {
    host::delivered(shop).await.unwrap();
    host::foreign(shop).await.unwrap();
    host::too_late(shop).await.unwrap();
    host::unmade(shop).await.unwrap();
    host::looked(shop).await.unwrap();
}

#[tokio::test]
async fn a_key_of_a_secret_is_a_file_as_the_port_wants_it() {
    cases(&mut Shop::new(plain)).await;
}

#[tokio::test]
async fn a_reference_to_the_secret_of_a_version_is_a_file_as_the_port_wants_it() {
    cases(&mut Shop::new(versioned)).await;
}

#[tokio::test]
async fn a_cluster_keeps_no_mark_of_the_issuer() {
    let shop = Shop::new(plain);
    shop.host.watch_refusals(Some("4711")).await.unwrap();
    assert_eq!(shop.host.refusals_mark().await.unwrap(), None);
}
