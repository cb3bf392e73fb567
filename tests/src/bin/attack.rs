//! `make attack`: what others notice while somebody attacks a gateway and a dispatcher.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_common::descriptors::raise_descriptors;
use carillon_tests::attack::{self, ATTACKS, Outcome, stopped_readers};
use carillon_tests::bench::rig::Rig;
use clap::Parser;

/// Runs each attack beside somebody who sends and connects, and prints what that one noticed; the floor is the same
/// attack at a listener that does nothing, or the same traffic without what is wrong with it, on the same machine
#[derive(Parser)]
struct Arguments {
    /// How long each lasts at a time, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u64,

    /// How many times over, with its floor before each: a single run says more of the machine than of the attack
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// Only those whose name has this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    raise_descriptors();
    let lasts = Duration::from_secs(arguments.seconds);
    println!(
        "{:<52} {:>13} {:>13} {:>7} {:>8} {:>10} {:>7} {:>5}  p99 to without, to the floor",
        "", "send p50/p99", "connect", "probe", "gateway", "dispatcher", "kernel", "cores"
    );
    let rig = Rig::as_deployed().await?;
    // Once to warm up.
    attack::run(&rig, None, Duration::from_secs(2)).await?;
    tell(&attack::run(&rig, None, lasts).await?, None);
    let mut failed = 0;
    for attack in ATTACKS
        .iter()
        .filter(|it| it.name.contains(&arguments.only))
    {
        let rig = Rig::as_deployed().await?;
        attack::run(&rig, None, Duration::from_secs(1)).await?;
        // The machine may be slower than a minute ago.
        let without = attack::run(&rig, None, lasts).await?;
        let (mut floor, mut outcome) = (Outcome::default(), Outcome::default());
        for _ in 0..arguments.rounds {
            floor = floor.and(attack::run_floor(&rig, attack, lasts).await?);
            outcome = outcome.and(attack::run(&rig, Some(attack), lasts).await?);
        }
        tell(&outcome, Some([&without, &floor]));
        let times = outcome.check_times(&floor);
        if let Err(why) = outcome.check().and(times) {
            println!("   ✗ {why}");
            failed += 1;
        }
    }
    if "stopped readers".contains(&arguments.only) {
        let held = stopped_readers(&Rig::as_deployed().await?).await?;
        println!(
            "{} stopped readers: {} KiB each ({} in the gateway, {} in the kernel), free again after {:.1} s",
            held.readers,
            (held.gateway + held.kernel) >> 10,
            held.gateway >> 10,
            held.kernel >> 10,
            held.until_free.as_secs_f64(),
        );
        if let Err(why) = held.check() {
            println!("   ✗ {why}");
            failed += 1;
        }
    }
    ensure!(failed == 0, "{failed} attacks were noticed");
    Ok(())
}

fn tell(outcome: &Outcome, others: Option<[&Outcome; 2]>) {
    let [send, connect] = outcome.noticed.at(0.5);
    let [slow_send, slow_connect] = outcome.noticed.at(0.99);
    let slower = others.map_or(String::new(), |others| {
        let [without, floor] = others.map(|other| {
            let [send, connect] = outcome.slower(other);
            format!("× {send:.1}, {connect:.1}")
        });
        format!("{without}; {floor}")
    });
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    println!(
        "{:<52} {:>13} {:>13} {:>7} {:>8} {:>10} {:>7} {:>5.2}  {slower}",
        outcome.attack.unwrap_or("no attack"),
        format!("{send:.1}/{slow_send:.1}"),
        format!("{connect:.1}/{slow_connect:.1}"),
        format!("{:.0} ms", outcome.noticed.probe.as_secs_f64() * 1e3),
        mib(outcome.gateway_memory),
        mib(outcome.dispatcher_memory),
        mib(outcome.kernel_memory),
        outcome.cores,
    );
}
