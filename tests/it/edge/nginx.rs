//! The files of the examples are what nginx takes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use carillon_tests::nginx::{EXAMPLES, configure, nginx};
use tempfile::TempDir;

/// The files of both examples as they are, but for their addresses and logs, mean what nginx takes.
#[test]
fn the_examples_are_valid() {
    for example in ["compose", "systemd"] {
        let dir = TempDir::new().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        configure(dir.path(), address, &[address], &[address]).unwrap();
        for file in ["listen.conf", "upstreams.conf"] {
            let text = fs::read_to_string(format!("{EXAMPLES}/{example}/{file}")).unwrap();
            let own = fs::read_to_string(dir.path().join(file)).unwrap();
            // Its temporary folders, and a port that needs no rights.
            let folders = own.lines().filter(|line| line.contains("_temp_path"));
            let mut all = text.replace("listen 80;", "listen 127.0.0.1:8089;");
            all.extend(folders.map(|line| format!("{line}\n")));
            fs::write(dir.path().join(file), all).unwrap();
        }
        let output = nginx(dir.path()).arg("-t").output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{example}: {told}");
        assert!(!told.contains("[warn]"), "{example}: {told}");
    }
}

/// With the lines for TLS, which are comments in the example.
#[test]
fn the_lines_for_tls_are_valid() {
    let dir = TempDir::new().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
    configure(dir.path(), address, &[address], &[address]).unwrap();
    let certificate = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
        ])
        .args([
            "-subj",
            "/CN=push.example",
            "-keyout",
            "key.pem",
            "-out",
            "fullchain.pem",
        ])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(certificate.status.success());
    let text = fs::read_to_string(format!("{EXAMPLES}/compose/listen.conf")).unwrap();
    let tls: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.ends_with(';'))
        .map(|line| {
            line.replace("listen 443", &format!("listen {address}"))
                .replace("/etc/nginx/tls", &dir.path().to_string_lossy())
        })
        .collect();
    assert!(tls.len() >= 5, "{tls:?}");
    fs::write(dir.path().join("listen.conf"), tls.join("\n")).unwrap();
    let output = nginx(dir.path()).arg("-t").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}
