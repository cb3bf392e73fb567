//! Calls into a versioned Lua library, loaded where it is missing.
//!
//! A library is written as a Redis function library: `#!lua name=…` first, callbacks of
//! `(keys, args)`, `redis.register_function('name', callback)` last. Where the server or its ACL
//! does not allow functions, the same source runs as a script.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use redis::{Cmd, FromRedisValue, Script, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::{Durability, Link, LinkError, read};
use crate::backend::url::Address;

/// How often one call meets a node without the library before it gives up.
const MAX_LOADS: usize = 3;

/// A function library. Nothing is replaced in place: a changed source is a new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// A stem and a version, as in `carillon_1`; its functions are `c1_…` then.
    pub name: Cow<'static, str>,
    /// The Lua source, shebang line included.
    pub source: Cow<'static, str>,
}

/// Calls to one library over one link.
#[derive(Debug)]
pub struct Functions {
    library: Library,
    /// What the names of its functions start with.
    prefix: String,
    script: Script,
    /// Functions are refused here; scripts are used instead.
    scripted: AtomicBool,
    /// When the library was last loaded; the lock makes loading single flight.
    loaded: Mutex<Option<Instant>>,
}

impl Functions {
    /// Calls to `library`. Nothing is sent yet.
    pub fn new(library: Library) -> Self {
        let version = version(&library.name).map_or(0, |(_, version)| version);
        Self {
            script: Script::new(&as_script(&library.source)),
            prefix: format!("c{version}_"),
            library,
            scripted: AtomicBool::new(false),
            loaded: Mutex::default(),
        }
    }

    /// Whether calls go out as scripts because functions are refused.
    pub fn scripted(&self) -> bool {
        self.scripted.load(Ordering::Relaxed)
    }

    /// Calls `function` (its name without the version before it) on the owner of `partition`; all
    /// `keys` belong to that partition. With `durable`, as [`Link::durable`].
    ///
    /// # Errors
    /// See [`LinkError`]. A missing library is loaded and the call made again.
    pub async fn call<T: FromRedisValue>(
        &self,
        link: &Link,
        partition: u16,
        function: &str,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
        durable: Option<Durability>,
    ) -> Result<T, LinkError> {
        let function = &[&self.prefix, function].concat();
        for _ in 0..MAX_LOADS {
            if self.scripted() {
                break;
            }
            let started = Instant::now();
            let answer = send(link, partition, fcall(function, keys, args), durable).await;
            match answer {
                Err(error) if is_missing(&error) => self.load_since(link, started).await?,
                Err(error) if is_refused(&error) => self.fall_back(&error),
                answer => return answer.and_then(read),
            }
        }
        if !self.scripted() {
            return Err(LinkError::Unavailable(format!(
                "library {} was loaded but is not found",
                self.library.name
            )));
        }
        let by_hash = self.eval("EVALSHA", self.script.get_hash(), function, keys, args);
        let answer = match send(link, partition, by_hash, durable).await {
            Err(error) if error.has_code("NOSCRIPT") => {
                let source = as_script(&self.library.source);
                let in_full = self.eval("EVAL", &source, function, keys, args);
                send(link, partition, in_full, durable).await
            }
            answer => answer,
        };
        answer.and_then(read)
    }

    /// Loads the library on every primary.
    ///
    /// # Errors
    /// The first error of a primary. Being loaded already is none.
    pub async fn load_all(&self, link: &Link) -> Result<(), LinkError> {
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg(&*self.library.source);
        let answers = link.each_primary(&load).await;
        let mut errors = answers.into_iter().filter_map(|(_, answer)| answer.err());
        errors
            .find(|error| !is_loaded_already(error))
            .map_or(Ok(()), Err)
    }

    /// The libraries of this one's stem, by primary.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn list(&self, link: &Link) -> Result<Vec<(Address, Vec<String>)>, LinkError> {
        let (stem, _) = version(&self.library.name)
            .ok_or_else(|| LinkError::shape("a library name without a version"))?;
        let mut list = redis::cmd("FUNCTION");
        list.arg("LIST").arg("LIBRARYNAME").arg(format!("{stem}_*"));
        let answers = link.each_primary(&list).await;
        answers
            .into_iter()
            .map(|(node, answer)| Ok((node, library_names(&answer?)?)))
            .collect()
    }

    /// The older versions of the library, by primary.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn older(&self, link: &Link) -> Result<Vec<(Address, String)>, LinkError> {
        let own = version(&self.library.name);
        let mut older = Vec::new();
        for (node, names) in self.list(link).await? {
            let names = names.into_iter().filter(|name| is_older(name, own));
            older.extend(names.map(|name| (node.clone(), name)));
        }
        Ok(older)
    }

    /// Deletes older versions of the library from every primary and names what it deleted.
    ///
    /// # Errors
    /// See [`LinkError`]; what was deleted before stays deleted.
    pub async fn prune(&self, link: &Link) -> Result<Vec<(Address, String)>, LinkError> {
        let older = self.older(link).await?;
        for (node, name) in &older {
            let mut delete = redis::cmd("FUNCTION");
            delete.arg("DELETE").arg(name);
            link.at::<()>(node, &delete).await?;
        }
        Ok(older)
    }

    /// Loads the library unless another call has done so since `started`.
    async fn load_since(&self, link: &Link, started: Instant) -> Result<(), LinkError> {
        let mut loaded = self.loaded.lock().await;
        if loaded.is_some_and(|at| at > started) {
            return Ok(());
        }
        if loaded.is_some() {
            // It vanished: a failover, a restart or a new primary. Load it on who serves now.
            link.refresh().await;
        }
        match self.load_all(link).await {
            Ok(()) => *loaded = Some(Instant::now()),
            Err(error) if is_refused(&error) => self.fall_back(&error),
            // A primary that is away does not stop the others; the call itself shows the rest.
            Err(error) if error.retryable() => *loaded = Some(Instant::now()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn fall_back(&self, error: &LinkError) {
        if !self.scripted.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "Redis refuses functions; calling the library as a script");
        }
    }

    fn eval(
        &self,
        command: &str,
        script: &str,
        function: &str,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> Cmd {
        let mut cmd = redis::cmd(command);
        cmd.arg(script).arg(keys.len());
        for key in keys {
            cmd.arg(key.as_ref());
        }
        cmd.arg(function);
        for arg in args {
            cmd.arg(arg.as_ref());
        }
        cmd
    }
}

fn fcall(function: &str, keys: &[impl AsRef<[u8]>], args: &[impl AsRef<[u8]>]) -> Cmd {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg(function).arg(keys.len());
    for key in keys {
        cmd.arg(key.as_ref());
    }
    for arg in args {
        cmd.arg(arg.as_ref());
    }
    cmd
}

async fn send(
    link: &Link,
    partition: u16,
    cmd: Cmd,
    durable: Option<Durability>,
) -> Result<Value, LinkError> {
    match durable {
        None => link.call(partition, &cmd).await,
        Some(Durability { replicas, timeout }) => {
            link.durable(partition, cmd, replicas, timeout).await
        }
    }
}

/// The library as a script: the function's name is the first argument.
fn as_script(source: &str) -> String {
    let body = match source.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => source,
    };
    // On one line, so that Lua's line numbers in errors are those of the library.
    let shim = "local registered = {}; local redis = setmetatable({register_function = \
                function(name, callback) if type(name) == 'table' then \
                name, callback = name.function_name, name.callback end; \
                registered[name] = callback end}, {__index = redis})";
    let dispatch = "local callback = registered[ARGV[1]]\n\
                    if not callback then return redis.error_reply('ERR Function not found') end\n\
                    return callback(KEYS, {unpack(ARGV, 2)})";
    format!("{shim}\n{body}\n{dispatch}\n")
}

fn is_missing(error: &LinkError) -> bool {
    matches!(error, LinkError::Server { code, message }
        if code == "ERR" && message.starts_with("Function not found"))
}

fn is_loaded_already(error: &LinkError) -> bool {
    matches!(error, LinkError::Server { message, .. } if message.contains("already exists"))
}

fn is_refused(error: &LinkError) -> bool {
    matches!(error, LinkError::Server { code, message }
        if (code == "NOPERM" && ["'function", "'fcall"].iter().any(|name| message.contains(name)))
            || (code == "ERR" && message.starts_with("unknown command")))
}

/// Stem and version of a library's name.
fn version(name: &str) -> Option<(&str, u32)> {
    let (stem, version) = name.rsplit_once('_')?;
    Some((stem, version.parse().ok()?))
}

fn is_older(name: &str, than: Option<(&str, u32)>) -> bool {
    match (version(name), than) {
        (Some((stem, version)), Some((own_stem, own))) => stem == own_stem && version < own,
        _ => false,
    }
}

/// The names in a `FUNCTION LIST` reply: maps in RESP3, flat lists in RESP2.
fn library_names(reply: &Value) -> Result<Vec<String>, LinkError> {
    let Value::Array(libraries) = reply else {
        return Err(LinkError::shape("FUNCTION LIST"));
    };
    let name = |library: &Value| {
        let fields = library.as_map_iter()?;
        let named = |field: &Value| matches!(read::<String>(field.clone()), Ok(name) if name == "library_name");
        let (_, name) = fields.into_iter().find(|(field, _)| named(field))?;
        read::<String>(name.clone()).ok()
    };
    libraries
        .iter()
        .map(|library| name(library).ok_or_else(|| LinkError::shape("FUNCTION LIST")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str) -> LinkError {
        LinkError::Server {
            code: code.into(),
            message: message.into(),
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let missing = refusal("ERR", "Function not found");
        assert!(is_missing(&missing) && !is_refused(&missing));
        let cases = [
            (
                "NOPERM",
                "this user has no permissions to run the 'function|load' command",
                true,
            ),
            (
                "NOPERM",
                "User x has no permissions to run the 'fcall' command",
                true,
            ),
            (
                "NOPERM",
                "this user has no permissions to access one of the keys",
                false,
            ),
            (
                "ERR",
                "unknown command 'FCALL', with args beginning with: ",
                true,
            ),
            ("ERR", "Error running function", false),
        ];
        for (code, message, refused) in cases {
            assert_eq!(is_refused(&refusal(code, message)), refused, "{message}");
        }
        assert!(is_loaded_already(&refusal(
            "ERR",
            "Library 'carillon_1' already exists"
        )));
    }

    #[test]
    fn only_lower_versions_of_the_same_stem_are_older() {
        let own = version("carillon_3");
        let older: Vec<&str> = [
            "carillon_1",
            "carillon_2",
            "carillon_3",
            "carillon_10",
            "other_1",
            "carillon_x",
        ]
        .into_iter()
        .filter(|name| is_older(name, own))
        .collect();
        assert_eq!(older, ["carillon_1", "carillon_2"]);
    }

    #[test]
    fn a_script_has_no_shebang() {
        let script = as_script("#!lua name=x_1\nlocal a = 1\n");
        assert!(!script.contains("#!"));
        assert_eq!(script.lines().nth(1), Some("local a = 1"));
    }
}
