//! What `carillon doctor` looks at that no service does: the deployment on Kubernetes. Configuration,
//! machine and Redis are looked at by [`carillon_common::checks`].

mod access;
mod cluster;

pub(crate) use access::{check_access, refused};
pub(crate) use cluster::{check_cluster, service_pods};
