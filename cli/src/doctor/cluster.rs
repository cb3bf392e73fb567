//! The deployment on Kubernetes: `facts` asks the API server, `checks` judges.

mod checks;
mod facts;

use carillon_common::{checks::Finding, settings::Settings};

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
