//! `make overhead`: what metrics cost, in instructions and in series.

use anyhow::{Result, ensure};
use carillon_common::descriptors::raise_descriptors;
use carillon_tests::bench::proc;
use carillon_tests::overhead::{SERIES_TARGET, Scale, TARGET, instructions, series};
use clap::Parser;

/// Counts the instructions of sends and deliveries, and how many of them are those of metrics; then the series
/// of a gateway that is full
#[derive(Parser)]
struct Arguments {
    /// Small numbers, only to see that everything works
    #[arg(long)]
    quick: bool,

    /// Connections of the gateway whose series are counted
    #[arg(long, default_value_t = 15_000)]
    connections: usize,

    /// Writes the result to docs/proof/overhead.md
    #[arg(long)]
    record: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    raise_descriptors();
    let (scale, connections) = match arguments.quick {
        true => (
            Scale {
                users: 5,
                sends: 50,
                broadcasts: 3,
            },
            100,
        ),
        false => (
            Scale {
                users: 100,
                sends: 4_000,
                broadcasts: 40,
            },
            arguments.connections,
        ),
    };
    let lines = instructions(&scale).await?;
    let series = series(connections).await?;

    let mut table = String::from(
        "| | how often | instructions each | of metrics | with : without |\n|---|---|---|---|---|\n",
    );
    for line in &lines {
        let each = |count: u64| count / line.count.max(1);
        table += &format!(
            "| {} | {} | {} | {} | {:.4} |\n",
            line.name,
            line.count,
            each(line.cost.all),
            each(line.cost.metrics),
            line.cost.ratio()
        );
    }
    table += &format!(
        "\nTarget: {TARGET}. A gateway with {connections} connections has {series} series; target {SERIES_TARGET}.\n"
    );
    println!("{}\n\n{table}", proc::machine());
    if arguments.record {
        let text = format!(
            "# What metrics cost\n\n\
             `make overhead ARGS=--record` on {}. Callgrind counts the instructions of the programs as they are \
             shipped, with metrics on and traces off, under sends to online users who ack, and under broadcasts; \
             those of metrics are those of the registry's crate, of the files that count, and of all that these \
             call (the clock included). \"Without\" is the rest. What a process does by itself meanwhile is in \
             \"instructions each\".\n\n{table}",
            proc::machine()
        );
        std::fs::write("docs/proof/overhead.md", text)?;
    }
    for line in &lines {
        let ratio = line.cost.ratio();
        ensure!(
            ratio <= TARGET,
            "{}: {ratio:.4} is above {TARGET}",
            line.name
        );
    }
    ensure!(
        series <= SERIES_TARGET,
        "{series} series are above {SERIES_TARGET}"
    );
    Ok(())
}
