//! The deployment on Kubernetes: `facts` asks the API server, `checks` judges.

mod checks;
mod facts;

use carillon_common::{checks::Finding, settings::Settings};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use self::{checks::check, facts::gather};
use crate::failure::Failure;

/// Looks at the cluster as this pod's service account, or the kubeconfig's user, may.
pub(crate) async fn check_cluster(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<Vec<Finding>, Failure> {
    let facts = gather(settings, namespace).await?;
    Ok(check(&facts, settings))
}

/// The pods of gateways and dispatchers, and the way to the API that lists them.
pub(crate) async fn service_pods(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<(Client, Vec<Pod>), Failure> {
    facts::pods(settings, namespace).await
}
