//! From what the server sent to what the caller asked for.

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, Value};

use super::error::LinkError;

/// Reads a reply, errors nested in it included.
pub(crate) fn read<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    let value = value.extract_error().map_err(refused)?;
    redis::from_redis_value(value).map_err(LinkError::shape)
}

fn refused(error: redis::RedisError) -> LinkError {
    let shape = LinkError::shape(&error);
    let first = error
        .into_server_errors()
        .and_then(|errors| errors.first().cloned());
    first.map_or(shape, |(_, error)| LinkError::from(&error))
}

/// Has the library put `values` together as `pipeline` says (ignored replies, transactions).
pub(super) async fn compose<T: FromRedisValue>(
    pipeline: &Pipeline,
    values: Vec<Value>,
) -> Result<T, LinkError> {
    pipeline
        .query_async(&mut Answered(values))
        .await
        .map_err(refused)
}

/// A connection that gives answers received before.
struct Answered(Vec<Value>);

impl ConnectionLike for Answered {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async { Ok(Value::Nil) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { Ok(std::mem::take(&mut self.0)) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
