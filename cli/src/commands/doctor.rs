//! `carillon doctor`

use std::process::ExitCode;

use carillon_common::{
    backend::{redis::link::Link, url::StoreUrl},
    checks::{
        Expected, Finding, Level, check_deployment, check_key_sets, check_local, check_node,
        gather, in_memory, recorded_partitions,
    },
    settings::Settings,
};
use clap::Args;
use serde_json::json;

use crate::{
    doctor::{check_access, check_cluster, refused},
    failure::Failure,
    store::{StoreArgs, link_failure, link_to},
    terminal::{Style, say},
};

const EXAMPLES: &str = "\
Examples:
  carillon doctor --config carillon.toml
  carillon doctor --backend redis+sentinel://a,b,c/main
  carillon doctor --config carillon.toml --json | jq '.findings[] | select(.level != \"ok\")'
  carillon doctor --kubernetes --namespace carillon

Run it as the services run: on such a machine, with their configuration and environment. It writes
nothing but one key of its own, for seconds.

With --kubernetes it looks at the cluster: the version, the dispatcher's access to pods, the gateway
pods and their grace period, versions, PodDisruptionBudget and Service. It uses the pod's own service
account or the kubeconfig's user, and looks at configuration, machine and Redis as well where --config
or --backend names them.

Exit code 0: all well, 1: warnings, 2: failures; 3: Redis cannot be reached, 64: the configuration
cannot be read.";

/// Check configuration, machine and Redis, and say what to change
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    #[command(flatten)]
    store: StoreArgs,
    /// Look at the deployment in its Kubernetes cluster
    #[arg(long)]
    kubernetes: bool,
    /// Its namespace there [default: kubernetes.namespace, else the service account's or the
    /// kubeconfig's]
    #[arg(long, requires = "kubernetes")]
    namespace: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let settings = self.store.settings()?;
        let mut findings = Vec::new();
        if self.kubernetes {
            findings = check_cluster(&settings, self.namespace.as_deref()).await?;
        }
        if !self.kubernetes || self.store.is_given() {
            findings.extend(check_services(&settings).await?);
        }
        let worst = findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok);
        if self.json {
            say(&json!({"verdict": worst, "findings": findings}).to_string())?;
        } else {
            show(&findings)?;
        }
        Ok(ExitCode::from(match worst {
            Level::Ok => 0,
            Level::Warning => 1,
            Level::Failure => 2,
        }))
    }
}

/// What the services see: configuration, machine and store.
async fn check_services(settings: &Settings) -> Result<Vec<Finding>, Failure> {
    let mut findings = check_local(settings);
    findings.extend(check_key_sets(settings).await);
    let url = match &settings.backend.store {
        StoreUrl::Memory => {
            findings.push(in_memory(true));
            return Ok(findings);
        }
        StoreUrl::Redis(url) => url,
    };
    findings.extend(check_access(url));
    match link_to(settings, url).await {
        Ok((link, options)) => {
            let expected = Expected::new(settings, url, &options);
            findings.extend(check_redis(&link, &expected, settings).await?);
        }
        // It answers, but not as a service needs it.
        Err(error) => findings.push(refused(&error).ok_or_else(|| link_failure(error))?),
    }
    Ok(findings)
}

async fn check_redis(
    link: &Link,
    expected: &Expected,
    settings: &Settings,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = match recorded_partitions(link, settings).await {
        Ok(recorded) => vec![check_deployment(recorded, expected)],
        Err(error) => vec![refused(&error).ok_or_else(|| link_failure(error))?],
    };
    for node in link.primaries() {
        match gather(link, &node, settings, &expected.library).await {
            Ok(facts) => findings.extend(check_node(&facts, expected)),
            Err(error) => {
                let unknown = || Finding::failure("node", error.to_string(), "look at this node");
                findings.push(Finding {
                    node: Some(node.to_string()),
                    ..refused(&error).unwrap_or_else(unknown)
                });
            }
        }
    }
    Ok(findings)
}

/// Those of no node first, then node by node.
fn show(findings: &[Finding]) -> Result<(), Failure> {
    let style = Style::stdout();
    let mut node = &None;
    for finding in findings {
        if finding.node != *node {
            node = &finding.node;
            say(&format!(
                "\n{}",
                style.bold(node.as_deref().unwrap_or_default())
            ))?;
        }
        let mark = match finding.level {
            Level::Ok => style.green("✓"),
            Level::Warning => style.yellow("!"),
            Level::Failure => style.red("✗"),
        };
        say(&format!("{mark} {:<12} {}", finding.what, finding.detail))?;
        if let Some(remedy) = &finding.remedy {
            say(&format!("  {:<12} {} {remedy}", "", style.dim("→")))?;
        }
    }
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (warnings, failures) = (count(Level::Warning), count(Level::Failure));
    say(&match (failures, warnings) {
        (0, 0) => style.green("\nall well"),
        (0, _) => style.yellow(&format!("\n{warnings} to look at")),
        _ => style.red(&format!("\n{failures} to repair, {warnings} to look at")),
    })?;
    Ok(())
}
