//! Keys that come over TLS, as they do everywhere but on one machine.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use carillon_tests::poll::eventually;
use carillon_tests::process::Service;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::host::{Key, Mood, openssl, set};
use super::{device, fetched, service};
use crate::world::SOON;

/// An authority, and what it certifies this machine with.
fn certify(folder: &Path) -> Result<()> {
    let new = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    for name in ["ca", "other"] {
        let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
        let words = [
            "-days", "2", "-subj", "/CN=x", "-keyout", &key, "-out", &cert,
        ];
        openssl(&[&new[..], &words].concat(), folder)?;
    }
    let words = [
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
    ];
    let names = ["-addext", "subjectAltName=DNS:localhost"];
    // An authority may not stand for a server itself in webpki.
    let constraints = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let files = ["-keyout", "host.key", "-out", "host.pem"];
    let all = [&new[..], &words, &names, &constraints, &files].concat();
    openssl(&all, folder).map(drop)
}

/// Serves the files of a folder over TLS; the port that it has chosen.
async fn serve(folder: &Path) -> Result<(Child, u16)> {
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-WWW"])
        .args(["-cert", "host.pem", "-key", "host.key"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("openssl")?;
    let stdout = server.stdout.take().context("its output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            let port = address.rsplit(':').next().context("a port")?.parse()?;
            // What it says later is not read, and is less than a pipe holds.
            server.stdout = Some(lines.into_inner().into_inner());
            return Ok((server, port));
        }
    }
    anyhow::bail!("openssl does not say where it listens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_of_a_host_whose_authority_is_trusted() -> Result<()> {
    let folder = TempDir::new()?;
    certify(folder.path())?;
    let key = Key::new("a")?;
    let Mood::Serves(text) = set(&[&key]) else {
        anyhow::bail!("a set is served")
    };
    std::fs::write(folder.path().join("jwks.json"), text)?;
    let (_server, port) = serve(folder.path()).await?;
    let url = format!("https://localhost:{port}/jwks.json");
    let start = |trusted: Option<&str>| {
        let gateway = service(Service::gateway(), &url, &[("auth.jwks_interval", "1s")]);
        let path = trusted.map(|name| folder.path().join(name).display().to_string());
        match path {
            None => gateway,
            Some(path) => gateway
                .set("auth.issuers.0.jwks_ca_file", &path)
                .set("auth.issuers.1.jwks_ca_file", &path),
        }
    };
    let trusting = start(Some("ca.pem")).start().await?;
    eventually("the keys have come", SOON, async || {
        device(&trusting, &key.token("alice")).await
    })
    .await?;
    for distrusting in [start(None), start(Some("other.pem"))] {
        let gateway = distrusting.start().await?;
        fetched(&gateway, "unreachable", 0.0).await?;
        let log = gateway.log()?;
        ensure!(log.contains("certificate"), "{log}");
    }
    Ok(())
}
