//! A child process that outlives neither its owner nor the test binary.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

/// A running child process; killed with SIGKILL and reaped when dropped, and killed by the kernel
/// when the test binary dies in whatever way.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    status: watch::Receiver<Option<ExitStatus>>,
    keeper: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts `command`.
    ///
    /// The process belongs to a thread of its own, which lives as long as it does: the kernel's
    /// parent-death signal follows the *thread* that forked, and the caller's may be a short-lived
    /// worker.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let (started, start) = mpsc::sync_channel(1);
        let (exited, status) = watch::channel(None);
        let keeper = move || {
            die_with_this_thread(&mut command);
            let spawned = command.spawn();
            let pid = spawned.as_ref().map(std::process::Child::id);
            let told =
                started.send(pid.map_err(|error| io::Error::new(error.kind(), error.to_string())));
            if let (Ok(child), Ok(())) = (spawned, told) {
                keep(child, &exited);
            }
        };
        let keeper = thread::Builder::new()
            .name("child-keeper".into())
            .spawn(keeper)?;
        let pid = start.recv().map_err(io::Error::other)??;
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        Ok(Self {
            pid,
            status,
            keeper: Some(keeper),
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    /// Sends a signal; does nothing once the process has ended.
    pub fn signal(&self, signal: libc::c_int) {
        // The keeper reaps under this lock, so that the pid cannot belong to another process.
        let status = self.status.borrow();
        if status.is_none() {
            #[expect(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
            // SAFETY: takes two integers and touches no memory; the pid is ours until reaped.
            unsafe {
                libc::kill(self.pid, signal);
            }
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it is still there after ten seconds.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(libc::SIGKILL);
        self.wait(Duration::from_secs(10)).await
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it has not ended `within` this time.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let mut status = self.status.clone();
        let ended = tokio::time::timeout(within, status.wait_for(Option::is_some)).await;
        let ended = ended.with_context(|| format!("process {} runs after {within:?}", self.pid))?;
        ended
            .ok()
            .and_then(|status| *status)
            .context("the process could not be waited for")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        // Its keeper ends when it has reaped it.
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}

/// Lets the kernel kill the command's process when the calling thread ends.
#[cfg(target_os = "linux")]
fn die_with_this_thread(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent = std::os::unix::process::parent_id;
    let expected = std::process::id();
    let before_exec = move || {
        #[expect(unsafe_code, reason = "prctl(2) has no safe wrapper in std")]
        // SAFETY: takes integers and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the call above took effect.
        if parent() != expected {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        }
    };
    #[expect(
        unsafe_code,
        reason = "the parent-death signal is set between fork and exec"
    )]
    // SAFETY: the closure makes two system calls that are safe after a fork, and allocates nothing.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Elsewhere only `Drop` ends the process.
#[cfg(not(target_os = "linux"))]
fn die_with_this_thread(_command: &mut Command) {}

/// Waits for the child's end and publishes its status.
fn keep(mut child: std::process::Child, exited: &watch::Sender<Option<ExitStatus>>) {
    await_exit_without_reaping(&child);
    // Reaping under the channel's lock: see `Child::signal`.
    exited.send_modify(|status| *status = child.wait().ok());
}

fn await_exit_without_reaping(child: &std::process::Child) {
    loop {
        #[expect(unsafe_code, reason = "waitid(2) has no safe wrapper in std")]
        // SAFETY: `info` is plain data that may be all zero, is valid for writes and outlives the
        // call; the pid is that of an unreaped child.
        let result = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                child.id(),
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if result == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    }

    fn exists(pid: u32) -> bool {
        std::fs::exists(format!("/proc/{pid}")).unwrap()
    }

    #[tokio::test]
    async fn reports_how_it_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let child = Child::spawn(command).unwrap();
        assert_eq!(
            child.wait(Duration::from_secs(10)).await.unwrap().code(),
            Some(7)
        );

        let child = Child::spawn(sleeper()).unwrap();
        assert_eq!(child.status(), None);
        assert_eq!(child.kill().await.unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn is_gone_after_drop() {
        let child = Child::spawn(sleeper()).unwrap();
        let pid = child.pid();
        assert!(exists(pid));
        drop(child);
        assert!(!exists(pid));
    }

    #[tokio::test]
    async fn outlives_the_thread_that_asked_for_it() {
        let child = thread::spawn(|| Child::spawn(sleeper()).unwrap())
            .join()
            .unwrap();
        let early = child.wait(Duration::from_millis(200)).await;
        assert!(
            early.is_err(),
            "the process ended with the thread: {early:?}"
        );
    }

    #[test]
    fn a_missing_program_is_an_error() {
        assert!(Child::spawn(Command::new("/no/such/program")).is_err());
    }
}
