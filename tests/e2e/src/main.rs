//! Tests of Carillon in a real Kubernetes: scenarios by name, figures, JUnit.
//!
//! `tests/e2e/run` prepares what they need: an engine, kind, helm, the images.

mod access;
mod cluster;
mod command;
mod deployment;
mod entrance;
mod guest;
mod junit;
mod load;
mod mounted;
mod pods;
mod scenarios;
mod stage;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::{
    cluster::Cluster,
    junit::Outcome,
    scenarios::{SCENARIOS, Scenario},
    stage::{Sizes, Stage},
};

/// Runs scenarios in a cluster of kind's
#[derive(Parser)]
#[command(name = "e2e")]
struct Arguments {
    /// Which; all without
    scenarios: Vec<String>,
    /// Name them, with what they assert
    #[arg(long)]
    list: bool,
    /// The cluster; one of this name that is there is used
    #[arg(long, default_value = "carillon-e2e")]
    cluster: String,
    /// Leave the cluster there
    #[arg(long)]
    keep: bool,
    /// Sockets of the traffic
    #[arg(long, default_value_t = 1000)]
    sockets: usize,
    /// Sends a second
    #[arg(long, default_value_t = 100)]
    rate: usize,
    /// Where to write results as JUnit XML and, after a failure, what the cluster says
    #[arg(long, default_value = "target/e2e")]
    results: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for Scenario { name, asserts, .. } in SCENARIOS {
            println!("{name:<22}{asserts}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments.scenarios)?;
    std::fs::create_dir_all(&arguments.results)?;
    let began = Instant::now();
    let cluster = Cluster::up(&arguments.cluster, arguments.keep).await?;
    println!("a cluster after {:.0?}", began.elapsed());
    let sizes = Sizes {
        sockets: arguments.sockets,
        rate: arguments.rate,
    };
    let stage = Stage::new(cluster, sizes);
    let mut outcomes = Vec::new();
    for scenario in chosen {
        let outcome = perform(scenario, &stage).await;
        if outcome.failure.is_some() {
            stage.describe(&arguments.results.join(scenario.name)).await;
        }
        outcomes.push(outcome);
        std::fs::write(arguments.results.join("e2e.xml"), junit::xml(&outcomes))?;
    }
    stage.cluster.down().await?;
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    for outcome in &outcomes {
        println!("{outcome}");
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Those of these names, in the order in which they run.
fn choose(names: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in names {
        let there = SCENARIOS.iter().any(|scenario| scenario.name == name);
        ensure!(there, "there is no scenario {name}; --list names them");
    }
    let all = names.is_empty();
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| all || names.iter().any(|name| name == scenario.name));
    Ok(chosen.collect())
}

async fn perform(scenario: &'static Scenario, stage: &Stage) -> Outcome {
    println!("\n=== {}: {}", scenario.name, scenario.asserts);
    let began = Instant::now();
    let result = (scenario.run)(stage).await;
    let seconds = began.elapsed().as_secs_f64();
    let (figures, failure) = match result {
        Ok(figures) => (figures, None),
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    print!("{figures}");
    if let Some(failure) = &failure {
        println!("FAILED: {failure}");
    }
    println!("--- {} after {seconds:.0} s", scenario.name);
    Outcome {
        name: scenario.name,
        seconds,
        figures,
        failure,
    }
}

/// A program of this workspace, beside this one.
fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    Ok(own.with_file_name(name))
}
