//! Real Redis deployments on free loopback ports, in temporary directories; gone when dropped.

mod cluster;
mod node;
mod sentinel;
mod standalone;

pub use cluster::Cluster;
pub use node::Node;
pub use node::free_port;
pub use sentinel::Sentinel;
pub use standalone::Standalone;

/// What every data server of a deployment is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    persistence: Persistence,
    config: Vec<String>,
    users: Vec<String>,
}

/// What Redis keeps when it stops or is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    #[default]
    Off,
    /// Everything but the last seconds before a crash (`appendfsync everysec`).
    EverySecond,
    /// Everything (`appendfsync always`).
    Always,
}

impl Options {
    /// Sets what is kept on disk.
    #[must_use]
    pub fn persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// Adds a line to redis.conf; later lines win.
    #[must_use]
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Adds a user, as in `ACL SETUSER`: `carillon on >secret ~c:* &c:* +@read`.
    ///
    /// The default user keeps all rights, for replication and for the test's own commands.
    #[must_use]
    pub fn user(mut self, rules: impl Into<String>) -> Self {
        self.users.push(rules.into());
        self
    }

    /// The lines of redis.conf that come from these options.
    fn lines(&self) -> Vec<String> {
        let persistence = match self.persistence {
            Persistence::Off => "appendonly no",
            Persistence::EverySecond => "appendonly yes\nappendfsync everysec",
            Persistence::Always => "appendonly yes\nappendfsync always",
        };
        let mut lines = vec![persistence.to_owned()];
        lines.extend(self.users.iter().map(|rules| format!("user {rules}")));
        lines.extend(self.config.iter().cloned());
        lines
    }
}

/// What everyone said last, to be read when a takeover does not come.
fn log_tails<'a>(nodes: impl Iterator<Item = &'a Node>) -> String {
    nodes.map(Node::log_tail).collect::<Vec<_>>().join("\n")
}

/// `host:port,host:port` of the nodes, with `user:password@` in front when given.
fn authority<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    credentials: Option<(&str, &str)>,
) -> String {
    let hosts: Vec<_> = nodes
        .into_iter()
        .map(|node| node.addr().to_string())
        .collect();
    let hosts = hosts.join(",");
    match credentials {
        Some((user, password)) => format!("{user}:{password}@{hosts}"),
        None => hosts,
    }
}
