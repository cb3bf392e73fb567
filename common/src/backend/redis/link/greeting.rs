//! Who answers: every Redis says in its greeting what it is, whatever a user may do there.

use redis::Value;

use super::error::LinkError;
use super::{Link, read};
use crate::backend::url::{Address, Deployment};
use crate::backend::{Fault, FaultKind};

/// The first version with functions and sharded Pub/Sub.
const OLDEST: u32 = 7;

impl Link {
    /// Has every primary greet, and looks whether it is what the URL says.
    pub(super) async fn greet(&self) -> Result<(), LinkError> {
        let deployment = &self.inner.dialer.url.deployment;
        let mut failure = None;
        let mut greeted = false;
        for (node, answer) in self.each_primary(&redis::cmd("HELLO")).await {
            match answer {
                Ok(greeting) => {
                    greeted = true;
                    if let Some(fault) = judge(&node, &greeting, deployment) {
                        let error = LinkError::Refused(fault);
                        self.stats().faults.report(&error);
                        return Err(error);
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        let nobody = || LinkError::Unavailable("there is no primary".into());
        match greeted {
            true => Ok(()),
            false => Err(failure.unwrap_or_else(nobody)),
        }
    }
}

/// What is wrong with who answered.
fn judge(node: &Address, greeting: &Value, deployment: &Deployment) -> Option<Fault> {
    let field = |name: &str| field(greeting, name).unwrap_or_default();
    let (mode, role, version) = (field("mode"), field("role"), field("version"));
    let wrong = |what: &str| Some(Fault::new(FaultKind::WrongServer, format!("{node} {what}")));
    let major = version.split('.').next().and_then(|text| text.parse().ok());
    let standalone = matches!(deployment, Deployment::Standalone(_));
    match (mode.as_str(), deployment) {
        ("sentinel", _) => wrong("is a sentinel"),
        ("cluster", Deployment::Standalone(_) | Deployment::Sentinel { .. }) => {
            wrong("is a node of a cluster")
        }
        _ if major.is_some_and(|major: u32| major < OLDEST) => {
            wrong(&format!("is Redis {version}"))
        }
        // The others look for a primary themselves.
        _ if standalone && role == "replica" => Some(Fault::new(
            FaultKind::Replica,
            format!("{node} says so itself"),
        )),
        _ => None,
    }
}

fn field(greeting: &Value, name: &str) -> Option<String> {
    let (_, value) = greeting
        .as_map_iter()?
        .find(|(field, _)| read::<String>((*field).clone()).is_ok_and(|field| field == name))?;
    read(value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_compared_with_the_url() {
        let node = Address {
            host: "h".into(),
            port: 1,
        };
        let one = Deployment::Standalone(node.clone());
        let cluster = Deployment::Cluster {
            seeds: vec![node.clone()],
        };
        let text = |text: &str| Value::BulkString(text.into());
        let kind = |version: &str, mode: &str, role: &str, deployment: &Deployment| {
            let greeting = Value::Map(vec![
                (text("version"), text(version)),
                (text("mode"), text(mode)),
                (text("role"), text(role)),
            ]);
            judge(&node, &greeting, deployment).map(|fault| fault.kind)
        };
        assert_eq!(kind("7.0.15", "standalone", "master", &one), None);
        assert_eq!(kind("8.0.0", "cluster", "master", &cluster), None);
        assert_eq!(kind("7.2.4", "cluster", "replica", &cluster), None);
        let replica = Some(FaultKind::Replica);
        assert_eq!(kind("7.0.15", "standalone", "replica", &one), replica);
        let wrong = Some(FaultKind::WrongServer);
        assert_eq!(kind("7.0.15", "cluster", "master", &one), wrong);
        assert_eq!(kind("7.0.15", "sentinel", "", &one), wrong);
        assert_eq!(kind("6.2.14", "standalone", "master", &one), wrong);
        assert_eq!(
            judge(&node, &Value::Nil, &one),
            None,
            "a proxy says nothing"
        );
    }
}
