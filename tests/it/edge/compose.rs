//! The compose example: its secrets as `prepare` makes them, its file as Compose reads it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/compose");

/// The example in a folder of its own, after `./prepare`.
pub(super) struct Prepared(TempDir);

impl Prepared {
    pub(super) fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        for file in ["prepare", "carillon.toml"] {
            fs::copy(format!("{EXAMPLE}/{file}"), dir.path().join(file))?;
        }
        let prepared = Self(dir);
        prepared.prepare()?;
        Ok(prepared)
    }

    fn prepare(&self) -> Result<()> {
        let output = Command::new(self.0.path().join("prepare")).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success() && told.is_empty(),
            "prepare: {told}"
        );
        Ok(())
    }

    /// One of the files in `secrets/`.
    pub(super) fn secret(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(self.0.path().join("secrets").join(name))?;
        Ok(text.trim_end().to_owned())
    }

    /// The services' user, as `ACL SETUSER` takes it.
    pub(super) fn redis_user(&self) -> Result<String> {
        let users = self.secret("users.acl")?;
        let user = users
            .lines()
            .find_map(|line| line.strip_prefix("user carillon "));
        Ok(format!("carillon {}", user.context("no user carillon")?))
    }

    /// A folder with issuers and API keys, which Compose mounts for one service each.
    pub(super) fn auth(&self) -> Result<PathBuf> {
        let both = self.0.path().join("both");
        fs::create_dir_all(&both)?;
        for folder in ["auth", "keys"] {
            for file in fs::read_dir(self.0.path().join(folder))? {
                let file = file?;
                fs::copy(file.path(), both.join(file.file_name()))?;
            }
        }
        Ok(both)
    }
}

/// Its duration in seconds, as both Compose and Carillon write it here.
fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap()
}

fn compose() -> Value {
    let text = fs::read_to_string(format!("{EXAMPLE}/compose.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The value of a service's field, merged from its anchors.
fn field<'a>(compose: &'a Value, service: &str, field: &str) -> &'a Value {
    let value = &compose["services"][service][field];
    assert!(!value.is_null(), "{service} has no {field}");
    value
}

#[test]
fn the_file_says_what_the_configuration_needs() {
    let compose = compose();
    let upstreams = fs::read_to_string(format!("{EXAMPLE}/upstreams.conf")).unwrap();
    let settings: toml::Table = fs::read_to_string(format!("{EXAMPLE}/carillon.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let drain = |name: &str| seconds(settings["drain"][name].as_str().unwrap());
    for (service, port) in [
        ("gateway-1", 8080),
        ("gateway-2", 8080),
        ("dispatcher-1", 8081),
        ("dispatcher-2", 8081),
    ] {
        let program = service.split('-').next().unwrap();
        let image = field(&compose, service, "image").as_str().unwrap();
        assert!(
            image.starts_with(&format!("ghcr.io/carillon-io/carillon-{program}:")),
            "{image}"
        );
        let build = field(&compose, service, "build");
        let stage = format!("../../target/image/carillon-{program}");
        assert_eq!(
            build["context"],
            stage.as_str(),
            "as images/build leaves it"
        );
        let file = build["dockerfile"].as_str().unwrap();
        assert!(
            file.ends_with(&format!("/images/{program}.Dockerfile")),
            "{file}"
        );
        let address = field(&compose, service, "networks")["carillon"]["ipv4_address"]
            .as_str()
            .unwrap();
        assert!(
            upstreams.contains(&format!("server {address}:{port} ")),
            "{address}"
        );
        // What signs tokens is the gateways' alone.
        let mounts = field(&compose, service, "volumes").to_string();
        let (own, other) = match program {
            "gateway" => ("./auth:", "./keys:"),
            _ => ("./keys:", "./auth:"),
        };
        assert!(mounts.contains(own) && !mounts.contains(other), "{mounts}");
        assert_eq!(field(&compose, service, "user"), "65532:65532");
        assert_eq!(field(&compose, service, "read_only"), true);
        assert_eq!(field(&compose, service, "cap_drop")[0], "ALL");
        let needs_redis = &field(&compose, service, "depends_on")["redis"];
        assert_eq!(needs_redis["condition"], "service_healthy");
        let stop = seconds(
            field(&compose, service, "stop_grace_period")
                .as_str()
                .unwrap(),
        );
        let takes = drain("delay") + drain("window") + drain("close_grace");
        assert!(
            stop > takes,
            "{service} is killed after {stop} s, its drain takes {takes}"
        );
        // One that is started again ends what the one of its name had registered.
        let environment = field(&compose, service, "environment");
        if program == "gateway" {
            assert_eq!(environment["CARILLON__GATEWAY__NAME"], service);
        }
        assert!(environment["CARILLON_CONFIG"].is_string());
        // Nothing but files holds a secret.
        let environment = environment.to_string();
        assert!(
            !environment.to_lowercase().contains("secret"),
            "{environment}"
        );
    }
    for service in ["nginx", "redis"] {
        assert!(field(&compose, service, "healthcheck")["test"].is_array());
    }
    let redis = field(&compose, "redis", "command").as_str().unwrap();
    for option in [
        "--appendonly yes",
        "--maxmemory-policy noeviction",
        "--aclfile /run/secrets/redis_users",
        // With a default user without a password it would refuse all but its own host.
        "--protected-mode no",
    ] {
        assert!(redis.contains(option), "{redis}");
    }
    let version = concat!(":${CARILLON_VERSION:-", env!("CARGO_PKG_VERSION"), "}");
    let image = field(&compose, "carillon", "image").as_str().unwrap();
    assert!(
        image.ends_with(version),
        "{image} is not of version {version}"
    );
}

#[test]
fn its_secrets_are_kept_and_its_configuration_is_in_order() -> Result<()> {
    let prepared = Prepared::new()?;
    let compose = compose();
    let before = prepared.secret("api.key")?;
    prepared.prepare()?;
    ensure!(prepared.secret("api.key")? == before, "another key");
    let dir = prepared.0.path().join("secrets");
    let mut text = fs::read_to_string(prepared.0.path().join("carillon.toml"))?;
    // Where Compose mounts each of them.
    let secrets = compose["secrets"].as_object().context("no secrets")?;
    for (name, secret) in secrets {
        let file = secret["file"].as_str().context("no file")?;
        let file = file.trim_start_matches("./secrets/");
        ensure!(dir.join(file).exists(), "prepare does not make {file}");
        let mounted = format!("/run/secrets/{name}\"");
        text = text.replace(&mounted, &format!("{}\"", dir.join(file).display()));
    }
    text = text.replace(
        "/etc/carillon/auth",
        &prepared.auth()?.display().to_string(),
    );
    ensure!(
        !text.contains("/run/secrets"),
        "an unknown secret in {text}"
    );
    let config = prepared.0.path().join("checked.toml");
    fs::write(&config, text)?;
    let output = Command::new(super::carillon())
        .args(["config", "check"])
        .arg(&config)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}");
    Ok(())
}
