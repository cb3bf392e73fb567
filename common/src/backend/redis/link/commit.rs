//! Durable calls: results that are given only once enough replicas have the write.
//!
//! `WAIT` blocks its connection and covers what was written before on the same connection, so
//! durable calls have connections of their own and share a `WAIT`: whatever has queued up while
//! the last commit was under way goes out as one pipeline that ends in one `WAIT`. An idle
//! connection sends at once; under load the batches grow by themselves. No timer is involved.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Dialer, Lane, Link, LinkError, name_of, read};
use crate::backend::url::Address;

/// How many replicas must confirm a write, and in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Replicas besides the primary; 0 for none.
    pub replicas: u8,
    /// The most time they may take.
    pub timeout: Duration,
}

impl Link {
    /// Sends `cmd` to the owner of `partition` and waits until `replicas` replicas have what it
    /// wrote. With 0 replicas this is [`Link::call`].
    ///
    /// The command must write something even if it finds its work done before, or the `WAIT`
    /// would not cover the first attempt.
    ///
    /// # Errors
    /// See [`LinkError`]. After `TooFewReplicas` and `Unknown` the write may or may not last.
    pub async fn durable<T: FromRedisValue>(
        &self,
        partition: u16,
        cmd: Cmd,
        replicas: u8,
        wait_timeout: Duration,
    ) -> Result<T, LinkError> {
        if replicas == 0 {
            return self.call(partition, &cmd).await;
        }
        let durability = Durability {
            replicas,
            timeout: wait_timeout,
        };
        let start = Instant::now();
        let value = self.inner.value(partition, &cmd, Some(durability)).await;
        let result = value.and_then(read);
        self.stats().took(name_of(&cmd), start);
        self.stats().observe(result)
    }
}

/// The group commit of one primary. Dropping it ends its workers.
pub(crate) struct Committer {
    address: Address,
    queue: mpsc::Sender<Job>,
}

struct Job {
    cmd: Cmd,
    asking: bool,
    durability: Durability,
    done: oneshot::Sender<Result<Value, LinkError>>,
}

impl Committer {
    pub(crate) fn start(dialer: &Arc<Dialer>, address: &Address) -> Self {
        let settings = &dialer.settings;
        let (queue, jobs) = mpsc::channel(settings.commit_queue.max(1));
        let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
        for _ in 0..settings.commit_connections.max(1) {
            let worker = Worker {
                lane: Lane::new(dialer.clone(), address.clone()),
                dialer: dialer.clone(),
                address: address.clone(),
                jobs: jobs.clone(),
            };
            tokio::spawn(worker.run());
        }
        Self {
            address: address.clone(),
            queue,
        }
    }

    /// The answer to `cmd`, refusals as `Value::ServerError`, once it is durable.
    pub(super) async fn commit(
        &self,
        cmd: Cmd,
        asking: bool,
        durability: Durability,
    ) -> Result<Value, LinkError> {
        let (done, answer) = oneshot::channel();
        self.queue
            .try_send(Job {
                cmd,
                asking,
                durability,
                done,
            })
            .map_err(|_| {
                LinkError::Unavailable(format!("too many durable calls wait for {}", self.address))
            })?;
        let gone = LinkError::Unknown {
            node: self.address.clone(),
            reason: "the primary left the topology".into(),
        };
        answer.await.unwrap_or(Err(gone))
    }
}

struct Worker {
    lane: Lane,
    dialer: Arc<Dialer>,
    address: Address,
    jobs: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>,
}

impl Worker {
    /// Commits batch after batch until the committer is dropped.
    async fn run(self) {
        let limit = self.dialer.settings.commit_batch.max(1);
        loop {
            let mut batch = Vec::with_capacity(limit);
            // The lock passes from worker to worker; whoever holds it takes what is there.
            let received = self.jobs.lock().await.recv_many(&mut batch, limit).await;
            if received == 0 {
                return;
            }
            batch.retain(|job| !job.done.is_closed());
            if !batch.is_empty() {
                self.commit(batch).await;
            }
        }
    }

    async fn commit(&self, batch: Vec<Job>) {
        let size = batch.len();
        let wanted = batch
            .iter()
            .map(|job| job.durability.replicas)
            .max()
            .unwrap_or(0);
        let patience = batch
            .iter()
            .map(|job| job.durability.timeout)
            .max()
            .unwrap_or_default();
        let mut pipeline = redis::Pipeline::with_capacity(size + 1);
        let mut waiting = Vec::with_capacity(size);
        for Job {
            cmd,
            asking,
            durability,
            done,
        } in batch
        {
            if asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(cmd);
            waiting.push((pipeline.len() - 1, durability.replicas, done));
        }
        // WAIT with 0 would wait for ever.
        let millis = u64::try_from(patience.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        pipeline.cmd("WAIT").arg(wanted).arg(millis);

        let answered = self.send(&pipeline, patience).await;
        self.dialer.stats.commits.inc();
        self.dialer.stats.committed.inc_by(size as u64);
        match answered {
            Err(error) => {
                for (_, _, done) in waiting {
                    answer(done, Err(error.clone()));
                }
            }
            Ok(mut values) => {
                let confirmed = self.confirmed(values.pop());
                for (at, wanted, done) in waiting {
                    let value = values.get_mut(at).map(std::mem::take).unwrap_or_default();
                    answer(done, judge(value, wanted, &confirmed));
                }
            }
        }
    }

    async fn send(
        &self,
        pipeline: &redis::Pipeline,
        patience: Duration,
    ) -> Result<Vec<Value>, LinkError> {
        let (mut connection, epoch) = self.lane.connection().await?;
        connection.set_response_timeout(patience + self.dialer.settings.response_timeout);
        let answered = connection
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await;
        answered.map_err(|error| self.lane.failure(epoch, error))
    }

    /// How many replicas `WAIT` saw.
    fn confirmed(&self, reply: Option<Value>) -> Result<u8, LinkError> {
        match reply {
            Some(Value::Int(count)) => Ok(u8::try_from(count).unwrap_or(u8::MAX)),
            // The primary was demoted while we waited.
            Some(Value::ServerError(error)) if error.code() == "UNBLOCKED" => {
                let reason = "demoted during WAIT".to_owned();
                Err(LinkError::Unknown {
                    node: self.address.clone(),
                    reason,
                })
            }
            Some(Value::ServerError(error)) => Err(LinkError::from(&error)),
            other => Err(LinkError::shape(format!("WAIT answered {other:?}"))),
        }
    }
}

/// A command's own refusal stands; its success only counts with enough replicas.
fn judge(value: Value, wanted: u8, confirmed: &Result<u8, LinkError>) -> Result<Value, LinkError> {
    match (value, confirmed) {
        (refused @ Value::ServerError(_), _) => Ok(refused),
        (value, Ok(got)) if *got >= wanted => Ok(value),
        (_, Ok(got)) => Err(LinkError::TooFewReplicas { wanted, got: *got }),
        (_, Err(error)) => Err(error.clone()),
    }
}

fn answer(done: oneshot::Sender<Result<Value, LinkError>>, result: Result<Value, LinkError>) {
    // A caller that has gone away needs no answer.
    drop(done.send(result));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judging_a_commit() {
        let enough: Result<u8, LinkError> = Ok(1);
        assert_eq!(judge(Value::Okay, 1, &enough), Ok(Value::Okay));
        assert_eq!(
            judge(Value::Okay, 2, &enough),
            Err(LinkError::TooFewReplicas { wanted: 2, got: 1 })
        );
        let refused = redis::parse_redis_value(b"-ERR no\r\n").unwrap();
        assert_eq!(judge(refused.clone(), 2, &enough), Ok(refused));
        let lost: Result<u8, LinkError> = Err(LinkError::shape("x"));
        assert_eq!(judge(Value::Okay, 1, &lost), Err(LinkError::shape("x")));
    }
}
