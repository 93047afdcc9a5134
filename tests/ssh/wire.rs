//! A TCP relay in front of a host: what can be frozen and cut.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    /// Connections of an older generation are cut.
    generation: u64,
    frozen: bool,
}

/// The relay; it ends with the test's runtime.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { generation: 0, frozen: false });
        let state = Arc::new(state);
        let watched = state.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mine = watched.borrow().generation;
                let (mut one, mut other) = (watched.subscribe(), watched.subscribe());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::select! {
                        () = pump(near_in, far_out, &mut one, mine) => {}
                        () = pump(far_in, near_out, &mut other, mine) => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Cuts every connection there is; new ones pass.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|s| s.generation += 1);
    }

    /// Connections stay open and nothing passes.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|s| s.frozen = true);
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &mut watch::Receiver<State>,
    mine: u64,
) {
    let mut buf = vec![0; 64 << 10];
    loop {
        let now = *state.borrow_and_update();
        if now.generation != mine {
            return;
        }
        tokio::select! {
            // A cut lets nothing more through.
            biased;
            changed = state.changed() => if changed.is_err() { return },
            n = from.read(&mut buf), if !now.frozen => match n {
                Ok(n) if n > 0 => if to.write_all(&buf[..n]).await.is_err() { return },
                _ => return,
            },
        }
    }
}
