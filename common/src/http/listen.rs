//! Listening sockets. What is set on one holds for every connection that it accepts.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// How much the kernel keeps of what is written and cannot be sent yet. Without a bound it is as much as
/// its send buffer may grow to (4 MiB), in memory that counts as ours. What is sent and not yet
/// acknowledged comes on top of it, so that a line with delay is still filled.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 << 10;
/// What the kernel then holds, at most, for a peer that does not read, with what stands around the bytes.
pub const IN_KERNEL: usize = 96 << 10;
/// A peer that acknowledges nothing for so long is gone (RFC 5482); the kernel's probes of a full window
/// would go on for a quarter of an hour.
#[cfg(target_os = "linux")]
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Listens at an address; port 0 takes a free one.
///
/// # Errors
/// Those of binding.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // `[::]` is every address of both families, also where the kernel's default (bindv6only) is another.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    bound(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(target_os = "linux")]
fn bound(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_address_is_that_of_both_families() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        assert!(!SockRef::from(&listener).only_v6().unwrap());
        let port = listener.local_addr().unwrap().port();
        let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for family in families {
            let (accepted, peer) =
                tokio::join!(listener.accept(), TcpStream::connect((family, port)));
            peer.unwrap();
            let (_, from) = accepted.unwrap();
            assert_eq!(from.ip().to_canonical(), family);
        }
    }

    #[tokio::test]
    async fn what_is_accepted_is_bounded_as_its_listener() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, peer) = tokio::join!(listener.accept(), TcpStream::connect(address));
        let ((stream, _), peer) = (accepted.unwrap(), peer.unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PEER_TIMEOUT));

        // A peer that does not read: the kernel takes little beyond what that has room for.
        let room = SockRef::from(&peer).recv_buffer_size().unwrap();
        let (mut taken, chunk) = (0, [0; 4096]);
        for _ in 0..100 {
            while let Ok(written) = stream.try_write(&chunk) {
                taken += written;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let most = room + IN_KERNEL;
        assert!((1..=most).contains(&taken), "{taken} of {most}");
    }
}
