//! A release without publishing it, and the workflows that publish it.

mod workflows;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROGRAMS: [&str; 3] = ["carillon", "carillon-gateway", "carillon-dispatcher"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A checkout of its own, so that nothing in this one changes, with the programs that were built.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(TempDir::new().unwrap());
        let path = checkout.0.path();
        for name in [
            "Cargo.toml",
            "Cargo.lock",
            "CHANGELOG.md",
            "LICENSE",
            "README.md",
            "carillon.toml",
        ] {
            fs::copy(root().join(name), path.join(name)).unwrap();
        }
        // Of the package the version alone: what is installed for it is large.
        fs::create_dir_all(path.join("client/js")).unwrap();
        let package = "client/js/package.json";
        fs::copy(root().join(package), path.join(package)).unwrap();
        let folders = [
            "scripts",
            "examples",
            "images",
            "helm",
            "common",
            "gateway",
            "dispatcher",
            "client/rust",
            "cli",
            "observability",
            "tests",
        ];
        for name in folders.iter().filter(|name| root().join(name).exists()) {
            let copied = Command::new("cp")
                .arg("-R")
                .arg(root().join(name))
                .arg(path.join(name))
                .status();
            assert!(copied.unwrap().success(), "{name}");
        }
        let bin = path.join("target/bin");
        fs::create_dir_all(&bin).unwrap();
        for program in PROGRAMS {
            std::os::unix::fs::symlink(built(program), bin.join(program)).unwrap();
        }
        for arguments in [
            &["init", "--quiet"][..],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
                "commit",
                "--quiet",
                "--allow-empty",
                "-m",
                "t",
            ],
        ] {
            let git = Command::new("git")
                .args(arguments)
                .current_dir(path)
                .status();
            assert!(git.unwrap().success(), "git {arguments:?}");
        }
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn release(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("scripts/release"))
            .args(arguments)
            // The rest of the world is not needed.
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.release(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], reason: &str) {
        let output = self.release(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} succeeds");
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }
}

fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join(program)
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

#[test]
fn a_dry_run_makes_what_would_be_published() {
    let checkout = Checkout::new();
    let told = checkout.succeeds(&["dry-run"]);
    for program in PROGRAMS {
        let image = format!("ghcr.io/carillon-io/{program}:{VERSION} (linux/amd64 linux/arm64)");
        assert!(told.contains(&image), "{told}");
    }
    let dist = checkout.path("target/dist");
    let name = format!("carillon-{VERSION}-linux-{}", architecture());
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    let mut listed: BTreeSet<_> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    assert_eq!(listed.len(), sums.lines().count());
    let sboms = PROGRAMS.map(|program| format!("{program}-{VERSION}.cdx.json"));
    for file in std::iter::once(format!("{name}.tar.gz")).chain(sboms) {
        let before = listed.len();
        listed.retain(|(_, listed)| **listed != *file);
        assert_eq!(listed.len(), before - 1, "{file} is not in {sums}");
    }

    // A program from the archive runs, and is of this version.
    let out = TempDir::new().unwrap();
    let unpacked = Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(dist.join(format!("{name}.tar.gz")))
        .arg("--directory")
        .arg(out.path())
        .status();
    assert!(unpacked.unwrap().success());
    let folder = out.path().join(&name);
    for program in PROGRAMS {
        let output = Command::new(folder.join(program))
            .arg("--version")
            .output()
            .unwrap();
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            version.starts_with(&format!("{program} {VERSION}")),
            "{version}"
        );
    }
    for file in [
        "LICENSE",
        "carillon.toml",
        "examples/systemd/carillon-gateway.service",
        "examples/nginx/nginx.conf",
    ] {
        assert!(folder.join(file).exists(), "{file}");
    }

    // What the licences of what is linked into them ask for.
    let notices = fs::read_to_string(folder.join("NOTICES.txt")).unwrap();
    let mut parts = vec![
        "\ntokio 1.",
        "\nrust-std ",
        "Copyright (c) Tokio Contributors",
    ];
    if cfg!(target_env = "gnu") {
        parts.push("LESSER GENERAL PUBLIC LICENSE");
    }
    for part in parts {
        assert!(notices.contains(part), "no {part} in the notices");
    }
    assert!(!notices.contains("\ntempfile "), "what only tests need");

    // A bill of materials for each program.
    for program in PROGRAMS {
        let file = format!("{program}-{VERSION}.cdx.json");
        let sbom: Value =
            serde_json::from_str(&fs::read_to_string(dist.join(file)).unwrap()).unwrap();
        assert_eq!(sbom["bomFormat"], "CycloneDX");
        assert_eq!(sbom["metadata"]["component"]["name"], program);
        let components = sbom["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|it| it["name"] == name);
        assert!(
            has("tokio") && has("redis") && !has("tempfile"),
            "{program}"
        );
    }
    println!("release: {} files in SHA256SUMS", sums.lines().count());
}

#[test]
fn the_same_commit_gives_the_same_archive() {
    let checkout = Checkout::new();
    let archive = checkout.path(&format!(
        "target/dist/carillon-{VERSION}-linux-{}.tar.gz",
        architecture()
    ));
    checkout.succeeds(&["archive"]);
    let first = fs::read(&archive).unwrap();
    fs::remove_file(&archive).unwrap();
    checkout.succeeds(&["archive"]);
    assert!(fs::read(&archive).unwrap() == first, "the archive differs");
}

#[test]
fn versions_that_differ_are_refused() {
    let checkout = Checkout::new();
    checkout.fails(&["plan", "v9.9.9"], "the tag is v9.9.9");
    fs::write(
        checkout.path("CHANGELOG.md"),
        "# Changelog\n\n## [Unreleased]\n- x\n",
    )
    .unwrap();
    let tag = format!("v{VERSION}");
    checkout.fails(&["plan", &tag], "name the release there");
    let notes =
        format!("## [{VERSION}] - 2026-12-01\n### Added\n- Everything.\n\n## [0.0.1]\n- old\n");
    fs::write(checkout.path("CHANGELOG.md"), notes).unwrap();
    checkout.succeeds(&["plan", &tag]);
    assert_eq!(
        checkout.succeeds(&["notes"]).trim(),
        "### Added\n- Everything."
    );

    fs::create_dir_all(checkout.path("helm/carillon")).unwrap();
    let chart = |app: &str| {
        format!("apiVersion: v2\nname: carillon\nversion: 1.2.3\nappVersion: \"{app}\"\n")
    };
    fs::write(checkout.path("helm/carillon/Chart.yaml"), chart("0.0.9")).unwrap();
    checkout.fails(&["plan"], "appVersion '0.0.9'");
    fs::write(checkout.path("helm/carillon/Chart.yaml"), chart(VERSION)).unwrap();
    let told = checkout.succeeds(&["plan"]);
    assert!(
        told.contains("oci://ghcr.io/carillon-io/charts/carillon:1.2.3"),
        "{told}"
    );

    fs::remove_file(checkout.path("target/bin/carillon")).unwrap();
    checkout.fails(&["archive"], "target/bin/carillon is missing");
    checkout.replace(
        "Cargo.toml",
        &format!("version = \"{VERSION}\""),
        "version = \"next\"",
    );
    checkout.fails(&["plan"], "no version");
}

#[test]
fn checksums_are_of_what_is_there() {
    let checkout = Checkout::new();
    checkout.fails(&["checksums"], "No such file");
    fs::create_dir_all(checkout.path("target/dist")).unwrap();
    checkout.fails(&["checksums"], "is empty");
    fs::write(checkout.path("target/dist/a"), "a").unwrap();
    checkout.succeeds(&["checksums"]);
    // Made again, they do not list themselves.
    checkout.succeeds(&["checksums"]);
    let sums = fs::read_to_string(checkout.path("target/dist/SHA256SUMS")).unwrap();
    assert_eq!(
        sums,
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n"
    );
}

#[test]
fn every_image_has_a_dockerfile_that_the_workflow_finds() {
    // Where the images are made here at all, they are made for all programs.
    let folder = root().join("images");
    if !folder.exists() {
        println!("release: SKIPPED, no images/ in this tree");
        return;
    }
    for program in PROGRAMS {
        let file = format!("{}.Dockerfile", program.trim_start_matches("carillon-"));
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        assert!(text.contains("FROM scratch"), "{file}");
        let entry = format!("ENTRYPOINT [\"/{program}\"]");
        assert!(text.contains(&entry), "{file} has no {entry}");
        let copies: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("COPY "))
            .collect();
        assert!(
            copies.iter().any(|line| line.contains(program)),
            "{file}: {copies:?}"
        );
    }
}
