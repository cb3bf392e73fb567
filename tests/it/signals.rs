//! What signals do to the programs.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use carillon_tests::child::Child;
use carillon_tests::client::{Handshake, Socket, TokenIn, notification};
use carillon_tests::deployment::{Deployment, Plan};
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use tempfile::TempDir;

use crate::world::SOON;

/// Longer than any test: an end that came within `SOON` was not in this time's way.
const LONG: &str = "600s";

/// Each program, by itself: what it would take an hour to do in order.
fn programs() -> [(&'static str, Service); 3] {
    [
        ("gateway", Service::gateway()),
        ("dispatcher", Service::dispatcher()),
        ("standalone", Service::standalone()),
    ]
    .map(|(name, service)| {
        let service = service
            .set("backend.url", "memory://")
            .set("gateway.listen", "127.0.0.1:0")
            .set("dispatcher.listen", "127.0.0.1:0")
            .set("admin.listen", "127.0.0.1:0")
            .set("drain.delay", LONG)
            .set("drain.window", LONG);
        (name, service)
    })
}

/// Waits for a line of its log.
async fn says(process: &Process, what: &str) -> Result<()> {
    eventually(what, SOON, async || {
        ensure!(process.log()?.contains(what), "{}", process.log()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_nothing_is_ignored_and_said() -> Result<()> {
    for (name, service) in programs() {
        let process = service.start().await?;
        for (signal, says_so) in [
            (libc::SIGHUP, "\"SIGHUP\""),
            (libc::SIGUSR1, "\"SIGUSR1\""),
            (libc::SIGUSR2, "\"SIGUSR2\""),
        ] {
            process.signal(signal);
            says(&process, says_so).await.context(name)?;
        }
        let log = process.log()?;
        ensure!(log.contains("nothing has changed"), "{name}: {log}");
        ensure!(log.matches("ignored").count() == 2, "{name}: {log}");
        ensure!(process.is_running(), "{name}: {log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigquit_is_a_quick_end_and_hastens_one_that_is_under_way() -> Result<()> {
    for (name, service) in programs() {
        let process = service.start().await?;
        process.signal(libc::SIGQUIT);
        let status = process.wait(SOON).await?;
        ensure!(status.code() == Some(0), "{name}: {status}");

        let process = service.start().await?;
        process.terminate();
        says(&process, "told to stop; finishing")
            .await
            .context(name)?;
        ensure!(process.is_running(), "{name} does not drain");
        process.signal(libc::SIGQUIT);
        let status = process.wait(SOON).await?;
        ensure!(status.code() == Some(0), "{name}: {status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_at_once_says_that_it_did() -> Result<()> {
    for (name, service) in programs() {
        let process = service.start().await?;
        for end in ["told to stop; finishing", "told to stop again"] {
            process.signal(libc::SIGINT);
            says(&process, end).await.context(name)?;
        }
        let status = process.wait(SOON).await?;
        ensure!(status.code() == Some(1), "{name}: {status}");
    }
    Ok(())
}

async fn deployment(redis: &Standalone) -> Result<Deployment> {
    let plan = Plan::over(redis.url()).gateways(2).dispatchers(1);
    plan.short_leases()
        .set("drain.delay", LONG)
        .set("drain.window", LONG)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_end_closes_every_connection_and_gives_up_the_lease() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = deployment(&redis).await?;
    let leaving = &deployment.gateways()[0];
    let handshake =
        |user: &str| Handshake::to(&leaving.ws()).token(TokenIn::Query, &deployment.token(user));
    let mut page = Socket::connect(&handshake("alice")).await?;
    let mut phone = Socket::connect(&handshake("bob").protocol("carillon.v1")).await?;
    deployment.online(2, SOON).await?;
    for user in ["alice", "bob"] {
        let last = notification(user, "t", "last");
        deployment.api().send(&last, None).await?;
    }
    // What is still on its way over the bus then is read from the inbox at the next connection.
    for socket in [&mut page, &mut phone] {
        while socket.frame(SOON).await?["content"] != "last" {}
    }
    let told = Instant::now();
    leaving.signal(libc::SIGQUIT);
    for socket in [&mut page, &mut phone] {
        ensure!(socket.closed(SOON).await?.0 == 1001);
    }
    ensure!(leaving.wait(SOON).await?.code() == Some(0));
    println!("signals: gone {:?} after SIGQUIT", told.elapsed());
    // Nothing has to be waited for: neither the lease's end nor a reaper.
    let there = deployment.api().gateways().await?;
    ensure!(there.len() == 1, "{there:?}");
    let log = leaving.log()?;
    ensure!(log.contains("drained") && !log.contains("reaped"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_dispatcher_that_drains_ends_each_connection_with_its_answer() -> Result<()> {
    let [_, (_, service), _] = programs();
    let dispatcher = service.start().await?;
    let ask = async || -> Result<Option<String>> {
        let url = format!("{}/api/gateways", dispatcher.http());
        let answer = reqwest::get(url).await?;
        let header = answer.headers().get("connection");
        Ok(header
            .map(|value| value.to_str().map(str::to_owned))
            .transpose()?)
    };
    assert_eq!(ask().await?, None);
    dispatcher.terminate();
    eventually("answers end their connections", SOON, async || {
        let header = ask().await?;
        ensure!(header.as_deref() == Some("close"), "{header:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_online_once_the_last_gateway_was_killed() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = deployment(&redis).await?;
    let [one, other] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let mut sockets = Vec::new();
    for (gateway, user) in [(one, "alice"), (other, "alice"), (other, "bob")] {
        let token = deployment.token(user);
        let handshake = Handshake::to(&gateway.ws()).token(TokenIn::Query, &token);
        sockets.push(Socket::connect(&handshake).await?);
    }
    deployment.online(2, SOON).await?;
    other.kill().await?;
    deployment.online(1, SOON).await?;
    one.kill().await?;
    deployment.online(0, SOON).await?;
    ensure!(deployment.api().gateways().await?.is_empty());
    Ok(())
}

/// A command whose output nobody reads: neither its words nor its complaints.
fn unread(arguments: &[&str]) -> Result<(std::process::ExitStatus, String)> {
    let mut child = Command::new(Service::built("carillon"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let mut told = String::new();
    child
        .stderr
        .take()
        .context("no stderr")?
        .read_to_string(&mut told)?;
    Ok((child.wait()?, told))
}

#[test]
fn a_command_that_is_piped_into_head_ends_well() -> Result<()> {
    for arguments in [
        &["completions", "bash"][..],
        &["config", "defaults"],
        &["apikey", "new", "--name", "x", "--scopes", "send"],
        &["--help"],
    ] {
        let (status, told) = unread(arguments)?;
        ensure!(
            status.success() && told.is_empty(),
            "{arguments:?}: {status}: {told}"
        );
    }
    Ok(())
}

#[test]
fn a_failure_that_nobody_reads_still_has_its_exit_code() -> Result<()> {
    let mut child = Command::new(Service::built("carillon"))
        .args(["online", "--api", "http://127.0.0.1:1", "--key", "x"])
        .args(["--retry-for", "1s"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stderr.take());
    let status = child.wait()?;
    ensure!(status.code() == Some(3), "{status}");
    Ok(())
}

/// A terminal of its own: the end that a terminal emulator holds, and the one that programs get.
fn terminal() -> Result<(File, File)> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let held = options.open("/dev/ptmx")?;
    let (mut locked, mut number): (libc::c_int, libc::c_int) = (0, 0);
    #[expect(unsafe_code, reason = "ioctl(2) has no safe wrapper in std")]
    // SAFETY: both calls are given a valid descriptor and the integer that they read or write.
    let done = unsafe {
        libc::ioctl(held.as_raw_fd(), libc::TIOCSPTLCK, &raw mut locked)
            | libc::ioctl(held.as_raw_fd(), libc::TIOCGPTN, &raw mut number)
    };
    ensure!(done == 0, "{}", std::io::Error::last_os_error());
    let given = options.open(format!("/dev/pts/{number}"))?;
    Ok((held, given))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_ends_a_program_whose_terminal_is_gone() -> Result<()> {
    let (held, given) = terminal()?;
    let dir = TempDir::new()?;
    let addresses = dir.path().join("addresses.json");
    let mut command = Command::new(Service::built("carillon"));
    command
        .args(["standalone", "--dev", "--listen", "127.0.0.1:0"])
        .arg("--addresses-file")
        .arg(&addresses)
        .env("CARILLON__ADMIN__LISTEN", "127.0.0.1:0")
        .env("CARILLON__DRAIN__DELAY", "0s")
        .stdout(Stdio::null())
        .stderr(given);
    let child = Child::spawn(command)?;
    eventually("it listens", SOON, async || {
        ensure!(addresses.exists(), "not yet");
        Ok(())
    })
    .await?;
    child.signal(libc::SIGHUP);
    // It hangs up only once it has said that it ignores the signal.
    let mut said = Vec::new();
    eventually("it says that it goes on", SOON, async || {
        let mut more = [0; 4096];
        let length = (&held).read(&mut more)?;
        said.extend_from_slice(&more[..length]);
        let said = String::from_utf8_lossy(&said);
        ensure!(said.contains("ignored"), "{said}");
        Ok(())
    })
    .await?;
    drop(held);
    child.signal(libc::SIGHUP);
    ensure!(child.wait(SOON).await?.code() == Some(0));
    Ok(())
}
