//! [`ExclusiveConnection`]: a connection that one caller has to itself, and that is never another one in the middle.

use std::time::Duration;

use redis::{FromRedisValue, Pipeline, RedisResult, aio::MultiplexedConnection};

use super::Connector;
use crate::error::{Error, ErrorKind};

/// A connection of its own, which does not reconnect by itself: what one pipeline says and what it hears come over
/// the same socket, or fail together. After an error the next pipeline has a new connection.
pub(crate) struct ExclusiveConnection {
    connector: Connector,
    /// With the version of the target that it leads to.
    open: Option<(MultiplexedConnection, u64)>,
}

impl ExclusiveConnection {
    /// Connects at the first pipeline.
    pub(crate) const fn new(connector: Connector) -> Self {
        Self { connector, open: None }
    }

    /// Runs a pipeline built with `ignore_errors`, like [`Connection::batch`](super::Connection::batch). Its answer
    /// may take `blocking` longer than that of ordinary commands.
    pub(crate) async fn batch<T: FromRedisValue>(
        &mut self,
        operation: &'static str,
        pipeline: &Pipeline,
        blocking: Duration,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        // Taken, so that a call that is given up half-way leaves no connection with an answer to come.
        let (mut connection, target) = match self.open.take() {
            Some(open) if open.1 == self.connector.target().version => open,
            _ => {
                let target = self.connector.target().version;
                let connected = self.connector.exclusive(self.connector.response_timeout()).await;
                (self.judge(operation, connected).await?, target)
            }
        };
        connection.set_response_timeout(self.connector.response_timeout() + blocking);
        let reply: RedisResult<Vec<RedisResult<T>>> = pipeline.query_async(&mut connection).await;
        let replies = self.judge(operation, reply).await?;
        let mut results = Vec::with_capacity(replies.len());
        let mut is_good = true;
        for reply in replies {
            let result = self.judge(operation, reply).await;
            if let Err(error) = &result {
                // After a failover its address may lead to another server by now.
                is_good &= !matches!(
                    error.kind(),
                    ErrorKind::Auth
                        | ErrorKind::Tls
                        | ErrorKind::ReadOnly
                        | ErrorKind::Loading
                        | ErrorKind::MaxClients
                );
            }
            results.push(result);
        }
        if is_good {
            self.open = Some((connection, target));
        }
        Ok(results)
    }

    async fn judge<T>(&self, operation: &'static str, result: RedisResult<T>) -> Result<T, Error> {
        let error = match result {
            Ok(value) => {
                self.connector.understood();
                return Ok(value);
            }
            Err(error) => Error::new(operation, error),
        };
        let error = match self.connector.objection(error.kind()).await {
            Some(objection) => error.because_of(objection),
            None => error,
        };
        if !error.is_answer() && !error.is_unknown_script() {
            self.connector.count(error.kind());
        }
        if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Tls) {
            self.connector.refresh();
        }
        Err(error)
    }
}

impl std::fmt::Debug for ExclusiveConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExclusiveConnection({})", self.connector.address())
    }
}
