//! What the admin port has beside probes and metrics: what every process has, with an admin key, and what a service
//! adds.

use axum::{Router, middleware::from_fn_with_state, routing::get};

use super::{checks, guard::guard, log_level};
use crate::{auth::Keyring, checks::LastLook, http::Problem, telemetry::LogLevel};

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
    guarded: Router<()>,
    guarded_listed: String,
    open: Router<()>,
    open_listed: String,
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
            path: "/checks",
            what: "what this process would have `carillon doctor` complain of, and when it looked at the store",
        },
        Route {
            method: "GET",
            path: "/tasks",
            what: "501: this build has no dump of tasks, and says what there is instead",
        },
    ];

    /// `keyring`: by what keys are judged; `level`: what is logged; `last_look`: what was seen of configuration and
    /// store.
    pub fn new(keyring: Keyring, level: LogLevel, last_look: LastLook) -> Self {
        let guarded = Router::new()
            .route("/tasks", get(tasks))
            .route("/checks", checks::routes(last_look))
            .route("/log-level", log_level::routes(level));
        Self {
            keyring,
            guarded,
            guarded_listed: listed_guarded(Self::ROUTES),
            open: Router::new(),
            open_listed: String::new(),
        }
    }

    /// With what a service adds for an admin key.
    #[must_use]
    pub fn and(mut self, routes: Router<()>, listed: &[Route]) -> Self {
        self.guarded = self.guarded.merge(routes);
        self.guarded_listed += &listed_guarded(listed);
        self
    }

    /// With what a service adds that is for whoever reaches the port, or judges by itself who may.
    #[must_use]
    pub fn beside(mut self, routes: Router<()>, listed: &[Route]) -> Self {
        self.open = self.open.merge(routes);
        let lines = listed.iter();
        let lines = lines.map(|Route { path, what, .. }| format!("{path:<17} {what}\n"));
        self.open_listed.extend(lines);
        self
    }

    /// The routes, and the lists of those without the guard and behind it.
    pub(super) fn into_router(self) -> (Router<()>, [String; 2]) {
        let guard = from_fn_with_state(self.keyring, guard);
        let routes = self.open.merge(self.guarded.route_layer(guard));
        (routes, [self.open_listed, self.guarded_listed])
    }
}

fn listed_guarded(routes: &[Route]) -> String {
    let lines = routes.iter();
    let lines =
        lines.map(|Route { method, path, what }| format!("{method:<6} {path:<24} {what}\n"));
    lines.collect()
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
        Operations::new(keyring, LogLevel::detached(&log), LastLook::default())
    }
}
