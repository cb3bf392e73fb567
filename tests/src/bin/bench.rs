//! `make bench`: what Carillon costs, against a floor, in one run on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use carillon_common::descriptors::raise_descriptors;
use carillon_tests::bench::figures::table;
use carillon_tests::bench::phases::{self, Phase, Scale};
use carillon_tests::bench::{floor, proc, record};
use clap::{Parser, Subcommand, ValueEnum};

/// Measures memory, CPU and latency of a gateway, a dispatcher and their Redis, against a floor
#[derive(Parser)]
struct Arguments {
    /// Small numbers, only to see that everything works
    #[arg(long)]
    quick: bool,

    /// Only these phases
    #[arg(long, value_delimiter = ',', value_name = "PHASE,…")]
    only: Vec<Phase>,

    /// Redis keeps its append-only file (appendfsync everysec)
    #[arg(long)]
    aof: bool,

    /// Writes the results to docs/proof/`bench-COMMIT.md` and `.json`
    #[arg(long)]
    record: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The floor itself; started by the bench
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        redis: Option<SocketAddr>,
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long)]
        addresses_file: PathBuf,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Floor {
        redis,
        addresses_file,
        ..
    }) = arguments.command
    {
        return Ok(floor::run(&addresses_file, redis)?);
    }
    raise_descriptors();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench(&arguments))
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let scale = Scale {
        keeps: arguments.aof,
        ..if arguments.quick {
            Scale::QUICK
        } else {
            Scale::FULL
        }
    };
    let phases = match &arguments.only[..] {
        [] => Phase::value_variants(),
        only => only,
    };
    println!("{}", proc::machine());
    let start = Instant::now();
    let mut figures = Vec::new();
    for phase in phases {
        eprintln!("{phase:?} ({:.0?})", start.elapsed());
        let measured = phases::run(*phase, &scale, &figures).await;
        figures.extend(measured.with_context(|| format!("{phase:?}"))?);
    }
    eprintln!("done in {:.0?}", start.elapsed());
    println!("\n{}", table(&figures));
    if arguments.record {
        println!(
            "{}",
            record::write("docs/proof".as_ref(), &figures, arguments.aof)?
        );
    }
    Ok(())
}
