//! What needs a key on the admin port: what every process has, and what a service adds.

use std::fmt::Write;

use axum::{Router, middleware::from_fn_with_state, routing::get};

use super::{guard::guard, log_level};
use crate::{auth::Keyring, http::Problem, telemetry::LogLevel};

/// A route, for the list at `/` and for those who hold documents against it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
}

/// What an operator may do to a process.
pub struct Operations {
    keyring: Keyring,
    routes: Router<()>,
    listed: String,
}

impl Operations {
    /// What every process has.
    pub const ROUTES: &'static [Route] = &[
        Route {
            method: "GET",
            path: "/log-level",
            what: "what is logged",
        },
        Route {
            method: "PUT",
            path: "/log-level",
            what: "log more or less for a while: {\"directive\":\"carillon_gateway=debug\",\"for\":\"10m\"}",
        },
        Route {
            method: "DELETE",
            path: "/log-level",
            what: "log as configured again",
        },
        Route {
            method: "GET",
            path: "/tasks",
            what: "501: this build has no dump of tasks, and says what there is instead",
        },
    ];

    /// `keyring`: by what keys are judged; `level`: what is logged.
    pub fn new(keyring: Keyring, level: LogLevel) -> Self {
        let routes = Router::new()
            .route("/tasks", get(tasks))
            .route("/log-level", log_level::routes(level));
        let mut operations = Self {
            keyring,
            routes,
            listed: String::new(),
        };
        operations.list(Self::ROUTES);
        operations
    }

    /// With what a service adds.
    #[must_use]
    pub fn and(mut self, routes: Router<()>, listed: &[Route]) -> Self {
        self.routes = self.routes.merge(routes);
        self.list(listed);
        self
    }

    fn list(&mut self, routes: &[Route]) {
        for Route { method, path, what } in routes {
            // Writing to a text does not fail.
            writeln!(self.listed, "{method:<6} {path:<24} {what}").unwrap_or_default();
        }
    }

    /// The routes behind the guard, and the list of them.
    pub(super) fn into_router(self) -> (Router<()>, String) {
        let guarded = from_fn_with_state(self.keyring, guard);
        (self.routes.route_layer(guarded), self.listed)
    }
}

/// tokio dumps tasks only in builds with its unstable parts, which this is not: it would make each poll of
/// each task dearer, asked for or not.
async fn tasks() -> Problem {
    Problem::new(501, "not_in_this_build", "Not in this build").detail(
        "tokio dumps tasks only in builds with --cfg tokio_unstable and --cfg tokio_taskdump. What there is: \
         carillon_runtime_tasks, carillon_runtime_queue_depth and carillon_runtime_busy_seconds_total in \
         /metrics, and a stack of each thread by `gdb -p PID -batch -ex 'thread apply all bt'`",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::settings::{AuthSettings, LogSettings, Settings};

    /// One that knows no key.
    pub(in super::super) fn locked() -> Operations {
        let auth: AuthSettings = Settings::default().auth;
        let keyring = Keyring::new(auth.credentials().unwrap());
        let log: LogSettings = Settings::default().log;
        Operations::new(keyring, LogLevel::detached(&log))
    }
}
