//! Tells the crate which compiler builds it, for `carillon_build_info`.

use std::{env, process::Command};

fn main() {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let answer = Command::new(compiler).arg("--version").output();
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned());
    let text = text.unwrap_or_default();
    // rustc 1.95.0 (…)
    let version = text.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=CARILLON_RUSTC={version}");
    println!("cargo::rerun-if-changed=build.rs");
}
