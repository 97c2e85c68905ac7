//! The LiteLLM proxy itself, with two workers: rotated by the shipped program while models are asked for. Like most
//! issuers, its issuer shows no connections, so each worker has to prove the new key itself. The provider's own log is
//! the judge: which key, which process, accepted or not.

pub(crate) mod proxy;

use proxy::{Proxy, SOURCES, Source};

/// `KEYROLL_AGENTS=full`: every source of a key; other words: those of which they are the names (`dot,env`); else the first.
fn full() -> bool {
    std::env::var("KEYROLL_AGENTS").is_ok_and(|word| word == "full")
}

fn sources() -> Vec<&'static Source> {
    let word = std::env::var("KEYROLL_AGENTS").unwrap_or_default();
    let wanted = |source: &&Source| match word.as_str() {
        "full" => true,
        "" => source.daily,
        names => names.split(',').any(|name| name == source.secret),
    };
    SOURCES.iter().filter(wanted).collect()
}

/// A split proxy is named, and healed; then each worker is replaced while another one answers, and shows the new key for
/// each of its models, the one that is otherwise a fallback too.
#[test]
fn litellm_moves_worker_by_worker_under_load() {
    let what = "litellm_moves_worker_by_worker_under_load";
    let sources = sources();
    if sources.is_empty() {
        eprintln!("left out: {what} (KEYROLL_AGENTS names none of its sources)");
        return;
    }
    let Some(proxy) = Proxy::start(what) else { return };
    for source in sources {
        if source.daily {
            proxy.split(source);
        }
        let before = proxy.workers();
        let calls = proxy.calls(source);
        let ran = proxy.rotate(source);
        let (sent, failed) = calls.end();
        println!("{}: {sent} requests, {failed} failed", source.secret);
        assert!(sent > 0, "no model was asked for");
        if source.rolls {
            assert_eq!(failed, 0, "{}", ran.text);
        }
        assert!(ran.events.iter().any(|event| event["downtimes"].is_array()) != source.rolls, "{}", ran.text);
        let after = proxy.workers();
        assert!(after.is_disjoint(&before) && after.len() == before.len(), "{before:?} {after:?}");
        proxy.on_its_new_key(source);
    }
}

/// The proxy was started with the variable in its environment: what stands in `.env` is written, and no worker reads
/// it, however often it is replaced. keyroll says so before anything is made.
#[test]
fn a_variable_of_its_environment_is_named_before_anything_is_made() {
    let what = "a_variable_of_its_environment_is_named_before_anything_is_made";
    if !full() {
        eprintln!(
            "left out: {what} (KEYROLL_AGENTS=full); workers of the same kind are refused so in keyroll-manager"
        );
        return;
    }
    let Some(proxy) = Proxy::start_with_its_variable(what) else { return };
    let made = proxy.scene.issuer.made();
    let ran = proxy.scene.run(&["plan", "dot"]);
    ran.exits(1).says(&["K0364", "DOT_KEY in its environment", "the file is not read"]);
    assert_eq!(proxy.scene.issuer.made(), made);
}
