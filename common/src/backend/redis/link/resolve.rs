//! Asking a deployment who its primaries are, at intervals and on suspicion.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::dial::of_sentinel;
use super::error::LinkError;
use super::node::Node;
use super::settings::Failures;
use super::topology::{Topology, is_primary, read_sentinel_primary};
use super::{Inner, REFRESH_GAP};
use crate::backend::url::{Address, Deployment};
use crate::backend::{Fault, FaultKind};

/// Looks the topology up at intervals and on suspicion, until cancelled.
pub(super) async fn keep_topology(inner: Arc<Inner>, stop: CancellationToken) {
    let settings = &inner.dialer.settings;
    let mut failures = Failures::default();
    let mut pause = None;
    let mut last = Instant::now();
    loop {
        let due = async {
            if let Some(pause) = pause {
                return sleep(pause).await;
            }
            let interval = settings
                .refresh_interval
                .mul_f64(rand::random_range(0.8..=1.2));
            tokio::select! {
                () = inner.suspicion.notified() => sleep_until(last + REFRESH_GAP).await,
                () = sleep(interval) => {}
            }
        };
        let known = tokio::select! {
            () = stop.cancelled() => return,
            () = due => inner.topology.borrow().clone(),
        };
        let resolved = tokio::select! {
            () = stop.cancelled() => return,
            resolved = resolve(&inner, Some(&known)) => resolved,
        };
        last = Instant::now();
        match resolved {
            Ok(topology) => {
                (failures, pause) = (Failures::default(), None);
                inner.adopt(topology);
            }
            Err(error) => {
                inner.dialer.stats.faults.report(&error);
                if failures.none() && error.fault().is_none() {
                    tracing::warn!(%error, "cannot look up the Redis topology");
                }
                pause = Some(failures.pause(settings));
                inner.dialer.stats.topology_failures.inc();
            }
        }
        inner.refreshed.send_modify(|count| *count += 1);
    }
}

/// The topology as the deployment tells it now; `known` is the last one, if any.
pub(crate) async fn resolve(
    inner: &Inner,
    known: Option<&Topology>,
) -> Result<Topology, LinkError> {
    match &inner.dialer.url.deployment {
        Deployment::Standalone(address) => Ok(Topology::single(address.clone(), inner.tags.len())),
        Deployment::Sentinel { sentinels, service } => {
            ask_sentinels(inner, sentinels, service).await
        }
        Deployment::Cluster { seeds } => {
            if let Some(known) = known
                && let Ok(topology) = ask_cluster(inner, known.primaries()).await
            {
                return Ok(topology);
            }
            ask_cluster(inner, seeds).await
        }
    }
}

/// Each sentinel in turn, until one names a node that says itself that it is the primary.
async fn ask_sentinels(
    inner: &Inner,
    sentinels: &[Address],
    service: &str,
) -> Result<Topology, LinkError> {
    let mut last = LinkError::Unavailable("there are no sentinels to ask".into());
    for sentinel in sentinels {
        match ask_sentinel(inner, sentinel, service).await {
            Ok(primary) => return Ok(Topology::single(primary, inner.tags.len())),
            // A fault says more than an outage of the next.
            Err(error) if last.fault().is_none() || error.fault().is_some() => last = error,
            Err(_) => {}
        }
    }
    Err(last)
}

async fn ask_sentinel(
    inner: &Inner,
    sentinel: &Address,
    service: &str,
) -> Result<Address, LinkError> {
    let mut connection = inner.dialer.open_sentinel(sentinel).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    let reply = connection
        .send_packed_command(&question)
        .await
        .map_err(|error| unavailable(format!("sentinel {sentinel}: {error}")))?;
    if let Value::ServerError(error) = &reply {
        return Err(refused_by_sentinel(sentinel, &error.into()));
    }
    let primary = read_sentinel_primary(&reply).ok_or_else(|| unknown(sentinel, service))?;
    let role = inner.node(&primary).send(&redis::cmd("ROLE")).await?;
    if let Value::ServerError(error) = &role {
        return Err(about(
            format!("{primary} does not tell its role"),
            &error.into(),
        ));
    }
    match is_primary(&role) {
        true => Ok(primary),
        false => Err(unavailable(format!(
            "sentinel {sentinel} names {primary}, not a primary"
        ))),
    }
}

/// All `nodes` at once, until more than half agree; else the view that most share. One node that
/// is cut off from the others, or frozen, neither misleads nor delays.
async fn ask_cluster(inner: &Inner, nodes: &[Address]) -> Result<Topology, LinkError> {
    let mut answers: FuturesUnordered<_> = nodes
        .iter()
        .map(|address| ask_node(inner, inner.node(address)))
        .collect();
    let mut views: Vec<(Topology, usize)> = Vec::new();
    let mut last = unavailable("there are no cluster nodes to ask".into());
    while let Some(answer) = answers.next().await {
        let view = match answer {
            Ok(view) => view,
            Err(error) => {
                if last.fault().is_none() || error.fault().is_some() {
                    last = error;
                }
                continue;
            }
        };
        let votes = match views.iter_mut().find(|(known, _)| *known == view) {
            Some((_, votes)) => {
                *votes += 1;
                *votes
            }
            None => {
                views.push((view.clone(), 1));
                1
            }
        };
        if votes * 2 > nodes.len() {
            return Ok(view);
        }
    }
    views
        .into_iter()
        .max_by_key(|(_, votes)| *votes)
        .map(|(view, _)| view)
        .ok_or(last)
}

async fn ask_node(inner: &Inner, node: Arc<Node>) -> Result<Topology, LinkError> {
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let reply = node.send(&question).await?;
    if let Value::ServerError(error) = &reply {
        let error = LinkError::from(error);
        return Err(match error.fault() {
            Some(_) => about(node.address.to_string(), &error),
            None => error,
        });
    }
    let view = Topology::from_cluster_slots(&reply, &node.address, &inner.tags)
        .ok_or_else(|| LinkError::shape("CLUSTER SLOTS"))?;
    match view.primaries().is_empty() {
        true => Err(unavailable(format!("{} serves no slot", node.address))),
        false => Ok(view),
    }
}

/// A sentinel's refusal: one who does not know the command is none.
fn refused_by_sentinel(sentinel: &Address, error: &LinkError) -> LinkError {
    match error.kind() {
        FaultKind::WrongServer => LinkError::Refused(Fault::new(
            FaultKind::WrongServer,
            format!("{sentinel} is no sentinel"),
        )),
        _ => of_sentinel(sentinel, about(format!("sentinel {sentinel}"), error)),
    }
}

/// A sentinel that watches others, or none yet.
fn unknown(sentinel: &Address, service: &str) -> LinkError {
    let detail = format!("sentinel {sentinel} knows no primary `{service}`");
    LinkError::Refused(
        Fault::new(FaultKind::Misconfigured, detail)
            .with_remedy("write the name of `sentinel monitor` at the end of backend.url"),
    )
}

/// A refusal, and what it was about.
fn about(what: String, error: &LinkError) -> LinkError {
    match error.fault() {
        Some(fault) => LinkError::Refused(Fault {
            detail: format!("{what}: {}", fault.detail),
            ..fault
        }),
        None => unavailable(format!("{what}: {error}")),
    }
}

fn unavailable(reason: String) -> LinkError {
    LinkError::Unavailable(reason)
}
