//! Whether the API server takes everything that the chart can render.

use anyhow::{Context, Result, ensure};
use carillon_tests::figures::Figures;

use crate::{
    cluster::root,
    command::{feed, run},
    stage::Stage,
};

pub(super) async fn of_every_render(_: &Stage) -> Result<Figures> {
    let root = root()?;
    let definitions = root.join("tests/e2e/crds").display().to_string();
    let definitions = run::<&str>(&definitions, &[]).await?;
    let words = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    feed("kubectl", &words, &definitions).await?;
    let words = ["wait", "--for=condition=Established", "crd", "--all"];
    run("kubectl", &words).await?;

    let script = root.join("scripts/chart").display().to_string();
    let said = run(&script, &["cluster"]).await?;
    let accepted = said.lines().filter_map(|line| {
        let count = line.strip_suffix(" objects accepted")?;
        count.rsplit(' ').next()?.parse::<usize>().ok()
    });
    let accepted: Vec<_> = accepted.collect();
    ensure!(!accepted.is_empty(), "nothing was looked at: {said}");
    let mut figures = Figures::new("what the API server takes, under the restricted profile");
    figures.row("value sets and overlays", accepted.len());
    figures.row(
        "objects, each accepted without a warning",
        accepted.iter().sum::<usize>(),
    );
    let strict = said.lines().find_map(|line| line.strip_prefix("Summary: "));
    figures.row(
        "kubeconform, strict",
        strict.context("kubeconform is missing")?,
    );
    Ok(figures)
}
