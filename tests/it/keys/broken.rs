//! Files in `auth.dir` that are not in order.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::child::Child;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use serde_json::Value;

use super::{ApiKey, FIRST, Mount, SUCCESS, issuer, on_this_machine, page, reloads, says};
use crate::world::{SOON, metric_of, silent};

const SUCCESS_AT: &str = "carillon_config_last_reload_success_timestamp_seconds";

async fn shows(process: &Process, success: f64) -> Result<()> {
    eventually("the gauge", SOON, async || {
        let now = metric_of(process, SUCCESS).await?;
        ensure!(now == success, "{now}");
        Ok(())
    })
    .await
}

/// A command that looks at this folder.
fn command(mount: &Mount, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(Service::built("carillon"))
        .args(arguments)
        .env("CARILLON__AUTH__DIR", mount.path())
        .output()?;
    Ok(output)
}

fn broken(key: &ApiKey) -> String {
    key.table.replace("hash = \"", "hash = \"zz")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_breaks_keeps_what_it_held_and_holds_up_no_other() -> Result<()> {
    let (orders, billing, late) = (
        ApiKey::of("orders"),
        ApiKey::of("billing"),
        ApiKey::of("late"),
    );
    let issuers = issuer("a", FIRST).replace(
        &format!("secret = \"{FIRST}\""),
        "secret_file = \"jwt.secret\"",
    );
    let good = [
        ("issuers.toml", issuers.as_str()),
        ("jwt.secret", FIRST),
        ("orders.toml", &orders.table),
    ];
    let mut mount = Mount::with(&good)?;
    let process = on_this_machine(Service::standalone(), mount.path())
        .start()
        .await?;
    shows(&process, 1.0).await?;
    let started = metric_of(&process, SUCCESS_AT).await?;
    ensure!(started > 1.7e9, "{started}");
    let mut socket = page(&process, FIRST, "carol").await?;

    // Both break, and a third comes.
    let (half, wrong) = (&issuers[..30], broken(&orders));
    mount.publish(&[
        ("issuers.toml", half),
        ("jwt.secret", FIRST),
        ("orders.toml", &wrong),
        ("billing.toml", &billing.table),
    ])?;
    billing.until(&process, 200).await?;
    shows(&process, 0.0).await?;
    ensure!(orders.sends(&process).await? == 200);
    page(&process, FIRST, "bob").await?;
    let log = process.log()?;
    for words in [
        "orders.toml: api_keys.0.hash: is not a SHA-256 hash",
        "issuers.toml",
        "until then what the file held before stays in force",
    ] {
        ensure!(
            log.lines()
                .any(|it| it.contains("ERROR") && it.contains(words)),
            "{words}: {log}"
        );
    }
    ensure!(reloads(&process, "faulty").await? == 1.0);
    ensure!(metric_of(&process, SUCCESS_AT).await? == started);

    // What is known is not said again with what comes after it; whoever asks is told.
    let count = |log: &str| log.matches("orders.toml: api_keys.0.hash").count();
    mount.publish(&[
        ("issuers.toml", half),
        ("jwt.secret", FIRST),
        ("orders.toml", &wrong),
        ("late.toml", &late.table),
    ])?;
    late.until(&process, 200).await?;
    billing.until(&process, 401).await?;
    ensure!(count(&process.log()?) == count(&log), "{}", process.log()?);
    process.signal(libc::SIGHUP);
    eventually("it is told again", SOON, async || {
        ensure!(count(&process.log()?) > count(&log), "not yet");
        Ok(())
    })
    .await?;

    mount.publish(&good)?;
    shows(&process, 1.0).await?;
    says(&process, "every file in auth.dir are in order again").await?;
    ensure!(metric_of(&process, SUCCESS_AT).await? > started);
    late.until(&process, 401).await?;
    silent(&mut socket).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_does_without_a_file_that_is_broken() -> Result<()> {
    let (orders, billing) = (ApiKey::of("orders"), ApiKey::of("billing"));
    let wrong = broken(&billing);
    let mut mount = Mount::with(&[
        ("issuers.toml", &issuer("a", FIRST)),
        ("orders.toml", &orders.table),
        ("billing.toml", &wrong),
    ])?;
    for program in [
        Service::gateway(),
        Service::dispatcher(),
        Service::standalone(),
    ] {
        let process = on_this_machine(program, mount.path()).start().await?;
        shows(&process, 0.0).await?;
        says(&process, "until then the file is left out").await?;
        ensure!(process.log()?.contains("billing.toml: api_keys.0.hash"));
    }
    let process = on_this_machine(Service::standalone(), mount.path())
        .start()
        .await?;
    ensure!(orders.sends(&process).await? == 200 && billing.sends(&process).await? == 401);
    page(&process, FIRST, "alice").await?;

    let doctor = command(&mount, &["doctor", "--json", "--backend", "memory://"])?;
    ensure!(doctor.status.code() == Some(2), "{doctor:?}");
    let report: Value = serde_json::from_slice(&doctor.stdout)?;
    let findings = report["findings"].as_array().context("no findings")?;
    let of = |what: &str| findings.iter().find(|it| it["what"] == what);
    let folder = of("auth.dir").context("nothing of the folder")?;
    ensure!(folder["level"] == "failure", "{folder}");
    let detail = folder["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("billing.toml: api_keys.0.hash"), "{detail}");
    ensure!(
        of("API keys").is_some_and(|it| it["detail"] == "1 configured"),
        "{report:#}"
    );

    let check = command(&mount, &["config", "check"])?;
    let told = String::from_utf8_lossy(&check.stderr);
    ensure!(check.status.code() == Some(64), "{check:?}");
    ensure!(told.contains("billing.toml: api_keys.0.hash"), "{told}");

    // Repaired while it runs.
    mount.publish(&[
        ("issuers.toml", &issuer("a", FIRST)),
        ("orders.toml", &orders.table),
        ("billing.toml", &billing.table),
    ])?;
    billing.until(&process, 200).await?;
    shows(&process, 1.0).await?;
    ensure!(command(&mount, &["config", "check"])?.status.success());
    let doctor = command(&mount, &["doctor", "--json", "--backend", "memory://"])?;
    let report: Value = serde_json::from_slice(&doctor.stdout)?;
    ensure!(report.to_string().contains("every file in"), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_start_with_nothing_that_is_usable_fails() -> Result<()> {
    let wrong = broken(&ApiKey::of("orders"));
    let issuers = issuer("a", FIRST);
    for (program, files) in [
        (
            "carillon-gateway",
            [("a.toml", "[[issuers"), ("b.toml", "")],
        ),
        (
            "carillon-dispatcher",
            [("a.toml", issuers.as_str()), ("b.toml", &wrong)],
        ),
        ("carillon", [("a.toml", "[[issuers"), ("b.toml", &wrong)]),
    ] {
        let mount = Mount::with(&files)?;
        let mut command = Command::new(Service::built(program));
        if program == "carillon" {
            command.arg("standalone");
        }
        let log = mount.at("log");
        command
            .env("CARILLON__AUTH__DIR", mount.path())
            .env("CARILLON__BACKEND__URL", "memory://")
            .env("CARILLON__ADMIN__LISTEN", "127.0.0.1:0")
            .stderr(std::fs::File::create(&log)?);
        let status = Child::spawn(command)?.wait(SOON).await?;
        let told = std::fs::read_to_string(log)?;
        ensure!(status.code() == Some(64), "{program}: {status}: {told}");
        ensure!(told.contains("a.toml") || told.contains("b.toml"), "{told}");
    }
    Ok(())
}

/// It is mounted late, or was unmounted.
#[tokio::test]
async fn a_folder_that_goes_takes_nothing_with_it() -> Result<()> {
    let orders = ApiKey::of("orders");
    let mount = Mount::with(&[])?;
    let dir = mount.at("auth");
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("orders.toml"), &orders.table)?;
    let process = on_this_machine(Service::dispatcher(), &dir).start().await?;
    std::fs::rename(&dir, mount.at("elsewhere"))?;
    shows(&process, 0.0).await?;
    ensure!(process.log()?.contains("auth.dir: cannot be read"));
    ensure!(orders.sends(&process).await? == 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(orders.sends(&process).await? == 200);
    std::fs::rename(mount.at("elsewhere"), &dir)?;
    shows(&process, 1.0).await
}
