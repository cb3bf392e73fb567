//! `make pictures`: docs/dashboards/, drawn from a running deployment.

use std::path::Path;

use anyhow::Result;
use carillon_tests::pictures::{draw_all, play};

const CHART: &str = "helm/carillon/files";
const PICTURES: &str = "docs/dashboards";

#[tokio::main]
async fn main() -> Result<()> {
    let rules: Result<Vec<_>, _> = ["alerts", "levels"]
        .iter()
        .map(|name| std::fs::read_to_string(format!("{CHART}/rules/{name}.yaml")))
        .collect();
    std::fs::create_dir_all(PICTURES)?;
    eprintln!("four minutes of a deployment's life");
    let draw = async |prometheus: &_, seconds| {
        let dashboards = format!("{CHART}/dashboards");
        draw_all(
            prometheus,
            Path::new(&dashboards),
            Path::new(PICTURES),
            seconds,
        )
        .await
    };
    let names = play(&rules?, draw).await?;
    println!("{PICTURES}: {}", names.join(", "));
    Ok(())
}
