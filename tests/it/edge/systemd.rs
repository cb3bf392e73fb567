//! The units of the systemd example.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/systemd");
const UNITS: [&str; 2] = ["carillon-gateway.service", "carillon-dispatcher.service"];
/// 0 is a program that can do nothing, 10 one that can do everything.
const EXPOSURE: &str = "20";

fn unit(name: &str) -> String {
    fs::read_to_string(format!("{EXAMPLE}/{name}")).unwrap()
}

/// The values of a directive.
fn values<'a>(unit: &'a str, directive: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.strip_prefix(directive)?.strip_prefix('=');
    unit.lines().filter_map(value).collect()
}

/// `systemd-analyze`, if it is here.
fn analyze(arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new("systemd-analyze");
    if command.arg("--version").output().is_err() {
        println!("edge: SKIPPED, no systemd-analyze on this machine: {arguments:?}");
        return None;
    }
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    Some(command)
}

#[test]
fn systemd_understands_the_units() -> Result<()> {
    let dir = TempDir::new()?;
    let bin = super::carillon();
    let bin = bin.parent().context("no folder")?.display().to_string();
    for name in UNITS {
        let text = unit(name).replace("/usr/local/bin", &bin);
        fs::write(dir.path().join(name), text)?;
    }
    for name in UNITS {
        let path = dir.path().join(name);
        let path = path.to_string_lossy();
        if let Some(mut verify) = analyze(&["verify", &path]) {
            let output = verify.output()?;
            let told = String::from_utf8_lossy(&output.stderr);
            // Of other units it complains as well.
            let own: Vec<_> = told.lines().filter(|it| it.contains("carillon")).collect();
            ensure!(output.status.success() && own.is_empty(), "{name}: {told}");
        }
        let threshold = format!("--threshold={EXPOSURE}");
        let security = [
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &path,
        ];
        if let Some(mut security) = analyze(&security) {
            let output = security.output()?;
            let told = String::from_utf8_lossy(&output.stdout);
            let last = told.lines().last().unwrap_or_default();
            ensure!(output.status.success(), "{name}: {last}");
            println!("edge: {}", last.trim_start_matches(['→', ' ']));
        }
    }
    Ok(())
}

#[test]
fn a_gateway_is_given_the_time_of_its_drain() {
    let settings: toml::Table = fs::read_to_string(format!("{EXAMPLE}/carillon.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let seconds = |text: &str| -> u64 { text.trim_end_matches('s').parse().unwrap() };
    let drain = |name: &str| seconds(settings["drain"][name].as_str().unwrap());
    let takes = drain("delay") + drain("window") + drain("close_grace");
    let stop = unit(UNITS[0]);
    let stop = seconds(values(&stop, "TimeoutStopSec")[0]);
    assert!(
        stop > takes,
        "killed after {stop} s, its drain takes {takes}"
    );
    for name in UNITS {
        let unit = unit(name);
        let files: u64 = values(&unit, "LimitNOFILE")[0].parse().unwrap();
        // The limit of connections is 1000 below it, and at most 20 000.
        let enough = if name.contains("gateway") {
            21_000
        } else {
            8_192
        };
        assert!(files >= enough, "{name}: {files}");
        // A mistake in the configuration is not tried again and again.
        assert_eq!(values(&unit, "RestartPreventExitStatus"), ["64"]);
    }
}

#[test]
fn what_signs_tokens_is_the_gateways_alone() {
    let [gateway, dispatcher] = UNITS.map(unit);
    assert!(gateway.contains("jwt.secret"));
    assert!(!dispatcher.contains("jwt"));
}

/// What the programs say then is the subject of `supervised.rs`.
#[test]
fn the_units_wait_for_what_the_programs_say() {
    for name in UNITS {
        let unit = unit(name);
        assert_eq!(values(&unit, "Type"), ["notify"], "{name}");
        // A start that waits for Redis is not given up.
        assert_eq!(values(&unit, "TimeoutStartSec"), ["infinity"], "{name}");
        assert_eq!(values(&unit, "WatchdogSec").len(), 1, "{name}");
        // It is a datagram to the host's systemd.
        let families = values(&unit, "RestrictAddressFamilies")[0];
        assert!(families.contains("AF_UNIX"), "{name}: {families}");
    }
}

#[test]
fn what_the_units_set_makes_the_configuration_complete() -> Result<()> {
    let dir = TempDir::new()?;
    fs::write(dir.path().join("redis.url"), "redis://localhost:6379\n")?;
    fs::write(
        dir.path().join("jwt.secret"),
        "0123456789abcdef0123456789abcdef",
    )?;
    for name in UNITS {
        let unit = unit(name);
        let credentials: Vec<_> = values(&unit, "LoadCredential")
            .iter()
            .filter_map(|it| it.split(':').next())
            .collect();
        let here = dir.path().display().to_string();
        let text = fs::read_to_string(format!("{EXAMPLE}/carillon.toml"))?;
        ensure!(text.contains("/etc/carillon/auth"));
        let config = dir.path().join("carillon.conf");
        fs::write(&config, text.replace("/etc/carillon/auth", &here))?;
        let mut check = Command::new(super::carillon());
        check.args(["config", "check"]).arg(config);
        for variable in values(&unit, "Environment") {
            let (name, value) = variable.split_once('=').context("no value")?;
            if let Some(credential) = value.strip_prefix("%d/") {
                ensure!(
                    credentials.contains(&credential),
                    "{credential} is not loaded"
                );
            }
            let value = value.replace("%d", &dir.path().to_string_lossy());
            check.env(name, value.replace("%H", "app1.example.org"));
        }
        let output = check.output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name}: {told}");
    }
    Ok(())
}
