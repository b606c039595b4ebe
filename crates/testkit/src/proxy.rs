//! [`TcpProxy`]: the network between a service and Redis, made slow, silent or broken at will.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::ports::free_port;

/// How often another port is tried when somebody took the one that was free.
const MAX_PORT_ATTEMPTS: usize = 10;

/// Bytes moved at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything passes.
    Pass,
    /// Everything passes, each chunk this much later, in either direction.
    Slow(Duration),
    /// Connections stay as they are and new ones are accepted, but nothing passes in either direction, not even the
    /// end of a connection. What is held back passes later, as TCP would have sent it again.
    HalfOpen,
    /// Connections end (FIN) and new ones are closed at once.
    Cut,
    /// Connections are reset (RST), and new ones as well.
    Reset,
}

#[derive(Debug, Clone, Copy)]
struct State {
    network: Network,
    /// How often connections have been broken: one that was made before the last time must go.
    breaks: u64,
}

/// A TCP proxy on a loopback port; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    port: u16,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Listens, and forwards every connection to `target_port` on the loopback interface, whoever is or is not there.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn to(target_port: u16) -> Self {
        let listener = listen().await;
        let port = listener.local_addr().expect("a listener has an address").port();
        let (state, watched) = watch::channel(State { network: Network::Pass, breaks: 0 });
        let accepting = tokio::spawn(accept(listener, target_port, watched));
        Self { port, state, accepting }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Changes what the network does, for existing and for new connections.
    pub fn set(&self, network: Network) {
        self.state.send_modify(|state| {
            state.network = network;
            state.breaks += u64::from(matches!(network, Network::Cut | Network::Reset));
        });
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        // The task owns its connections' tasks, which end with it.
        self.accepting.abort();
    }
}

async fn listen() -> TcpListener {
    for _ in 0..MAX_PORT_ATTEMPTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).await {
            return listener;
        }
    }
    panic!("none of {MAX_PORT_ATTEMPTS} free ports could be listened on");
}

async fn accept(listener: TcpListener, target_port: u16, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection(client, target_port, state.clone()));
                }
                // Out of file descriptors or the like: the client sees a connection that hangs.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection, from its first byte to its end.
async fn connection(mut client: TcpStream, target_port: u16, mut state: watch::Receiver<State>) {
    let born = *state.borrow_and_update();
    let mut broken = state.clone();
    if matches!(born.network, Network::Cut | Network::Reset) {
        return end(&client, born.network);
    }
    let network = {
        let relayed = relay(&mut client, target_port, state);
        tokio::select! {
            _ended = relayed => return,
            changed = broken.wait_for(|now| now.breaks != born.breaks) => match changed {
                Ok(now) => now.network,
                Err(_) => return,
            },
        }
    };
    end(&client, network);
}

/// Makes the coming close a reset where the network says so. The server's side always gets a plain end.
fn end(client: &TcpStream, network: Network) {
    if network == Network::Reset {
        // It fails only on a socket that is gone already.
        let _ = client.set_zero_linger();
    }
}

async fn relay(client: &mut TcpStream, target_port: u16, state: watch::Receiver<State>) -> io::Result<()> {
    open(&mut state.clone()).await;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target_port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(pump(from_client, to_server, state.clone()), pump(from_server, to_client, state))
        .map(drop)
}

/// Moves one direction's bytes until its end.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await;
        // What the network has become meanwhile holds for what was read, and for an end as well.
        if let Some(delay) = open(&mut state).await {
            tokio::time::sleep(delay).await;
        }
        match read? {
            0 => return to.shutdown().await,
            bytes => to.write_all(&chunk[..bytes]).await?,
        }
    }
}

/// Waits until something passes; how much later it does.
async fn open(state: &mut watch::Receiver<State>) -> Option<Duration> {
    let open = state.wait_for(|state| state.network != Network::HalfOpen).await;
    match open.map(|state| state.network) {
        Ok(Network::Slow(delay)) => Some(delay),
        _ => None,
    }
}
