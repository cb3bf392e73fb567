//! The configuration as its operator meets it.

mod credentials;
mod pages;
mod store;
mod traces;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::read::Section;
use super::*;
use crate::auth::{NewToken, mint};

/// Loads a file's text and variables.
fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
    let folder = scratch_folder();
    let path = folder.join("carillon.toml");
    std::fs::write(&path, file).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = Settings::load(Some(&path), env);
    std::fs::remove_dir_all(&folder).unwrap();
    loaded
}

fn scratch_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("carillon-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// The errors, one line each, without the folder of the test.
#[track_caller]
fn errors(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    let errors = load(file, env).unwrap_err().0;
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_error(errors: &[String], parts: &[&str]) {
    let found = errors
        .iter()
        .any(|error| parts.iter().all(|part| error.contains(part)));
    assert!(found, "no error with {parts:?} in {errors:#?}");
}

/// Keys of the table at `path` of a TOML text.
fn keys(text: &str, path: &[&str]) -> BTreeSet<String> {
    let root: toml::Table = text.parse().unwrap();
    let table = path
        .iter()
        .fold(toml::Value::Table(root), |value, key| value[*key].clone());
    let first = table.as_array().map_or(&table, |items| &items[0]);
    first.as_table().unwrap().keys().cloned().collect()
}

fn keys_of<T: Section>() -> BTreeSet<String> {
    T::KEYS.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn defaults_file_and_structs_have_the_same_keys() {
    let text = Settings::default_toml();
    assert_eq!(keys(text, &[]), keys_of::<Settings>());
    assert_eq!(keys(text, &["backend"]), keys_of::<BackendSettings>());
    assert_eq!(keys(text, &["redis"]), keys_of::<RedisSettings>());
    assert_eq!(keys(text, &["durability"]), keys_of::<DurabilitySettings>());
    assert_eq!(keys(text, &["inbox"]), keys_of::<InboxSettings>());
    assert_eq!(keys(text, &["channels"]), keys_of::<ChannelSettings>());
    assert_eq!(
        keys(text, &["idempotency"]),
        keys_of::<IdempotencySettings>()
    );
    assert_eq!(keys(text, &["lease"]), keys_of::<LeaseSettings>());
    assert_eq!(keys(text, &["audit"]), keys_of::<AuditSettings>());
    assert_eq!(keys(text, &["gateway"]), keys_of::<GatewaySettings>());
    assert_eq!(keys(text, &["socket"]), keys_of::<SocketSettings>());
    assert_eq!(keys(text, &["drain"]), keys_of::<DrainSettings>());
    assert_eq!(keys(text, &["dispatcher"]), keys_of::<DispatcherSettings>());
    assert_eq!(keys(text, &["tracing"]), keys_of::<TracingSettings>());
    assert_eq!(keys(text, &["canary"]), keys_of::<CanarySettings>());
    assert_eq!(keys(text, &["admin"]), keys_of::<AdminSettings>());
    assert_eq!(keys(text, &["log"]), keys_of::<LogSettings>());
    assert_eq!(keys(text, &["kubernetes"]), keys_of::<KubernetesSettings>());
    let mut auth = keys_of::<AuthSettings>();
    auth.retain(|key| key != "issuers" && key != "api_keys");
    assert_eq!(keys(text, &["auth"]), auth);
}

/// The tables that have no default are documented as comments; uncommented, they hold every key.
#[test]
fn documented_tables_and_structs_have_the_same_keys() {
    let example = |table: &str| -> String {
        let lines = Settings::default_toml()
            .lines()
            .skip_while(|line| *line != table);
        let lines = lines.map_while(|line| line.strip_prefix("# "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let issuers = example("# [[auth.issuers]]");
    assert_eq!(
        keys(&issuers, &["auth", "issuers"]),
        keys_of::<IssuerSettings>()
    );
    let api_keys = example("# [[auth.api_keys]]");
    assert_eq!(
        keys(&api_keys, &["auth", "api_keys"]),
        keys_of::<ApiKeySettings>()
    );
    assert_eq!(
        NamespaceSettings::KEYS,
        ["prefix", "kind", "policy", "history", "ttl"],
        "the comment above [[namespaces]] names every key"
    );
}

#[test]
fn every_default_is_what_the_file_says() {
    let settings = Settings::default();
    assert_eq!(settings.backend.url.expose(), "memory://");
    assert_eq!(settings.inbox.ttl, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(
        settings.channels.broadcast_ttl,
        Duration::from_secs(600),
        "10m is minutes"
    );
    assert_eq!(settings.durability.replicas, Auto::Auto);
    assert_eq!(settings.gateway.name, None);
    assert_eq!(settings.gateway.origins, Vec::<String>::new());
    assert_eq!(settings.namespaces.len(), 3);
}

#[test]
fn file_then_environment_override_the_defaults() {
    let file = r#"
        [inbox]
        ttl = "3d"
        max = 500
        [[namespaces]]
        prefix = "open:"
        kind = "public"
        policy = "latest"
        ttl = "1h"
    "#;
    let env = [
        ("CARILLON__INBOX__MAX", "200"),
        ("CARILLON__DURABILITY__REPLICAS", "2"),
        (
            "CARILLON__GATEWAY__ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("CARILLON__GATEWAY__QUERY_TOKEN", "false"),
        ("CARILLON__GATEWAY__MAX_AGE_JITTER", "0.5"),
        ("CARILLON_OTHER", "ignored"),
        ("PATH", "/bin"),
    ];
    let settings = load(file, &env).unwrap();
    assert_eq!(settings.inbox.ttl, Duration::from_secs(3 * 24 * 3600));
    assert_eq!(settings.inbox.max, 200);
    assert_eq!(settings.inbox.page, 256, "what nobody sets stays");
    assert_eq!(settings.durability.replicas, Auto::Value(2));
    assert_eq!(
        settings.gateway.origins,
        ["https://a.example", "https://b.example"]
    );
    assert!(!settings.gateway.query_token);
    assert_eq!(settings.gateway.max_age_jitter, 0.5);
    assert_eq!(settings.namespaces.len(), 1, "a list replaces the list");
    assert_eq!(settings.namespaces[0].ttl, Some(Duration::from_secs(3600)));
}

#[test]
fn tables_of_an_array_can_come_from_the_environment() {
    let secret = "0123456789abcdef0123456789abcdef";
    let mut env = Vec::new();
    for index in 0..11 {
        let name = |key: &str| format!("CARILLON__AUTH__ISSUERS__{index}__{key}");
        env.push((name("SECRET"), secret.to_owned()));
        env.push((name("NAME"), format!("issuer-{index}")));
        env.push((name("ALGORITHMS"), "HS256".to_owned()));
    }
    let settings = Settings::load(None, env.into_iter()).unwrap();
    assert_eq!(settings.auth.issuers.len(), 11);
    assert_eq!(settings.auth.issuers[10].name, "issuer-10");
    assert_eq!(settings.auth.issuers[0].algorithms, [TokenAlgorithm::Hs256]);

    let sparse = errors("", &[("CARILLON__AUTH__ISSUERS__1__NAME", "x")]);
    assert_error(&sparse, &["auth.issuers.1.name", "without a gap"]);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let file = "[inbox]\nttl = \"7x\"\nmxa = 5\nkeep = -1\n\n[gatway]\nname = \"x\"\n\n\
                [socket]\npong_timeout = 10\n\n[log]\nformat = \"xml\"\n[lease]\nrenew = [1]\n\
                [idempotency]\nttl = \"0s\"\n";
    let env = [
        ("CARILLON__INBOX__PAGE", "many"),
        ("CARILLON__ADMIN__LISTEN", "localhost"),
    ];
    let errors = errors(file, &env);
    assert_error(&errors, &["inbox.ttl: \"7x\"", "line 2)", "\"25s\""]);
    assert_error(
        &errors,
        &["inbox.mxa: unknown", "line 3)", "did you mean `inbox.max`?"],
    );
    assert_error(&errors, &["inbox.keep: -1", "line 4)", "0 or more"]);
    assert_error(
        &errors,
        &["gatway: unknown", "line 6)", "did you mean `gateway`?"],
    );
    assert_error(&errors, &["socket.pong_timeout: 10", "unit"]);
    assert_error(&errors, &["log.format: \"xml\"", "\"human\" \"json\""]);
    assert_error(&errors, &["lease.renew: [1]"]);
    assert_error(
        &errors,
        &["inbox.page: \"many\"", "variable CARILLON__INBOX__PAGE"],
    );
    assert_error(
        &errors,
        &["admin.listen: \"localhost\"", "\"0.0.0.0:8080\""],
    );
    assert_error(&errors, &["idempotency.ttl: 0s"]);
    assert_eq!(errors.len(), 10, "{errors:#?}");
}

#[test]
fn what_cannot_be_read_hides_no_other_mistake() {
    // Syntax, a type, a range, a rule, and the tables beside one that cannot be read.
    let file = "[inbox]\nttl = \"7d\nkeep = 5000\n[lease]\nrenew = \"10s\"\n\
                [socket]\nping_interval = 25\nack_batch = 0\n\
                [[namespaces]]\nprefix = \"a\"\nkind = \"secret\"\n\
                [[namespaces]]\nprefix = \"b c\"\nkind = \"public\"\n\
                [[auth.issuers]]\nname = \"one\"\nalgorithms = [\"none\"]\nsecret = \"x\"\n\
                [[auth.issuers]]\nname = \"two\"\nalgorithms = [\"HS256\"]\nsecret = \"x\"\ncolour = 1\n";
    let errors = errors(file, &[]);
    assert_error(&errors, &["not valid TOML", "line 2)"]);
    assert_error(&errors, &["inbox.keep: more would be kept", "line 3)"]);
    assert_error(&errors, &["lease.renew: one missed", "line 5)"]);
    assert_error(&errors, &["socket.ping_interval: 25", "unit"]);
    assert_error(&errors, &["socket.ack_batch: 0"]);
    assert_error(&errors, &["namespaces.0.kind", "line 11)"]);
    assert_error(&errors, &["namespaces.1.prefix", "line 13)"]);
    assert_error(&errors, &["auth.issuers.0.algorithms", "line 17)"]);
    assert_error(
        &errors,
        &["auth.issuers.1.secret", "has 1 bytes", "line 22)"],
    );
    assert_error(&errors, &["auth.issuers.1.colour: unknown"]);
    assert_eq!(errors.len(), 10, "{errors:#?}");
}

#[test]
fn a_rule_does_not_judge_the_default_of_what_cannot_be_read() {
    // 10 s is more than half of the default of lease.ttl, and less than half of what was meant.
    let errors = errors("[lease]\nttl = \"40\"\nrenew = \"10s\"\n", &[]);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_error(&errors, &["lease.ttl: \"40\""]);
}

#[test]
fn files_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("jwt");
    std::fs::write(&secret, "\u{feff}0123456789abcdef0123456789abcdef\r\n").unwrap();
    let file = "\u{feff}[[auth.issuers]]\nname='a'\nalgorithms=['HS256']\n";
    let text = format!("{file}secret_file={:?}\n", secret.display().to_string());
    let settings = load(&text, &[]).unwrap();
    let token = NewToken {
        sub: "alice",
        exp: 2_000_000_000,
        ..NewToken::default()
    };
    let issuer = IssuerSettings::hs256("a", "0123456789abcdef0123456789abcdef");
    let token = mint(&issuer, &token).unwrap();
    let verifier = settings.auth.credentials().unwrap().verifier;
    assert!(verifier.verify(&token, 1_900_000_000_000).is_ok());

    std::fs::write(&secret, b"\xff\xfe0\0").unwrap();
    assert_error(
        &errors(&text, &[]),
        &["auth.issuers.0.secret_file", "UTF-16"],
    );
}

#[test]
fn settings_that_do_not_fit_each_other_are_refused() {
    let cases = [
        ("lease.renew", "[lease]\nrenew = \"7500ms\""),
        (
            "lease.isolation_deadline",
            "[lease]\nisolation_deadline = \"15s\"",
        ),
        ("socket.pong_timeout", "[socket]\npong_timeout = \"25s\""),
        ("socket.ping_interval", "[socket]\nidle_timeout = \"25s\""),
        ("socket.outbox_bytes", "[socket]\noutbox_bytes = 73727"),
        ("socket.ack_batch", "[socket]\nack_batch = 0"),
        ("inbox.keep", "[inbox]\nmax = 49"),
        ("inbox.ttl", "[inbox]\nttl = \"0s\""),
        ("backend.partitions", "[backend]\npartitions = 0"),
        ("backend.partitions", "[backend]\npartitions = 1025"),
        (
            "backend.url",
            "[backend]\nurl = \"postgres://u:hunter2@db\"",
        ),
        ("backend.url", "[backend]\nurl = \"hunter2\""),
        ("redis.prefix", "[redis]\nprefix = \"{a}\""),
        ("gateway.path", "[gateway]\npath = \"ws\""),
        (
            "gateway.origins",
            "[gateway]\norigins = [\"https://a.example/\"]",
        ),
        ("gateway.max_age_jitter", "[gateway]\nmax_age_jitter = 1.5"),
        (
            "gateway.refusal_hold_min",
            "[gateway]\nrefusal_hold_min = \"1m\"",
        ),
        ("gateway.listen", "[gateway]\nlisten = \"0.0.0.0:9090\""),
        (
            "kubernetes.pod_name",
            "[kubernetes]\npod_name = \"a b-c-d e\"",
        ),
        (
            "kubernetes.gateway_selector",
            "[kubernetes]\nwatch = true\ngateway_selector = \" \"",
        ),
        ("log.level", "[log]\nlevel = \"carillon=loud\""),
        (
            "namespaces.0.prefix",
            "[[namespaces]]\nprefix = \"a b\"\nkind = \"public\"",
        ),
        ("namespaces.0.kind", "[[namespaces]]\nprefix = \"a\""),
        ("gateway", "gateway = 5"),
        (
            "auth.issuers.0.secret",
            "[[auth.issuers]]\nname='a'\nalgorithms=['HS256']\nsecret='hunter2'",
        ),
        (
            "auth.issuers.0.algorithms",
            "[[auth.issuers]]\nname='a'\nalgorithms=['none']\nsecret='x'",
        ),
        (
            "auth.api_keys.0.hash",
            "[[auth.api_keys]]\nname='a'\nhash='hunter2'\nscopes=['send']",
        ),
    ];
    for (path, file) in cases {
        let errors = errors(file, &[]);
        assert_eq!(errors.len(), 1, "{file}: {errors:#?}");
        assert!(
            errors[0].starts_with(&format!("{path}: ")),
            "{file}: {errors:#?}"
        );
        assert!(
            !errors[0].contains("hunter2"),
            "a secret is shown: {errors:#?}"
        );
        assert!(
            errors[0].contains("carillon.toml") || path != "gateway.path",
            "{errors:#?}"
        );
    }
    // What looks like a mistake and is none.
    load(
        "[lease]\nisolation_deadline = \"0s\"\n[gateway]\nlisten = \"0.0.0.0:0\"",
        &[],
    )
    .unwrap();
}

#[test]
fn broken_files_are_named() {
    assert_error(&errors("[inbox\n", &[]), &["not valid TOML", "line 1"]);
    let missing = Settings::load(Some(Path::new("/nonexistent/c.toml")), std::iter::empty());
    assert_error(
        &[missing.unwrap_err().to_string()],
        &["/nonexistent/c.toml", "cannot be read"],
    );
    let errors = errors("[backend]\nurl_file = \"gone\"", &[]);
    assert_error(&errors, &["backend.url_file", "cannot be read"]);
}

#[test]
fn a_deployment_of_several_hosts_is_a_backend() {
    for url in [
        "redis+sentinel://a:26379,b:26379,c:26379/main",
        "redis+cluster://user:secret@10.0.0.1:7000,10.0.0.2:7001",
    ] {
        let settings = load("", &[("CARILLON__BACKEND__URL", url)]).unwrap();
        assert_eq!(settings.backend.url.expose(), url);
    }
}

#[test]
fn a_gateway_is_called_by_the_configuration_then_by_its_pod() {
    let pod = ("CARILLON__KUBERNETES__POD_NAME", "shop-gateway-5d8f7-x2x4z");
    let name = |env: &[(&str, &str)]| load("", env).unwrap().gateway_name().unwrap();
    assert_eq!(name(&[]), None);
    assert_eq!(name(&[pod]).unwrap().as_str(), "5d8f7-x2x4z");
    let own = ("CARILLON__GATEWAY__NAME", "one");
    assert_eq!(name(&[pod, own]).unwrap().as_str(), "one");
}
