use std::{io::Write as _, net::TcpStream as StdStream};

use tokio::{net::TcpListener, time::timeout};

use super::*;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: Duration = Duration::from_secs(60);

/// An acceptor, and clients that have connected and said these things.
async fn arrived(places: usize, patience: Duration, said: &[&[u8]]) -> (Acceptor, Vec<StdStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = said.iter().map(|said| {
        let mut client = StdStream::connect(address).unwrap();
        client.write_all(said).unwrap();
        client
    });
    let clients = clients.collect();
    (
        Acceptor::new(listener, Crowd::new(places), patience),
        clients,
    )
}

async fn next(acceptor: &mut Acceptor) -> Accepted {
    timeout(Duration::from_secs(5), acceptor.next())
        .await
        .unwrap()
}

/// The next one, which is to begin.
async fn begins(acceptor: &mut Acceptor) -> Arrival {
    match next(acceptor).await {
        Accepted::Begins(arrival) => arrival,
        other => panic!("{other:?}"),
    }
}

fn is(client: &StdStream, arrival: &Arrival) -> bool {
    client.local_addr().unwrap() == arrival.peer
}

#[tokio::test]
async fn who_says_something_begins_and_who_keeps_silent_does_not() {
    let said: Vec<&[u8]> = vec![b"", HEAD, b"", b"G"];
    let (mut acceptor, mut clients) = arrived(100, LONG, &said).await;
    for spoke in [1, 3] {
        assert!(is(&clients[spoke], &begins(&mut acceptor).await));
    }
    let waiting = timeout(Duration::from_millis(50), acceptor.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    clients[2].write_all(b"G").unwrap();
    assert!(is(&clients[2], &begins(&mut acceptor).await));
    assert_eq!(acceptor.silent.len(), 1);
}

#[tokio::test]
async fn nobody_waits_behind_the_silent() {
    let (mut acceptor, mut clients) = arrived(1_000, LONG, &[b"".as_slice(); 100]).await;
    assert!(
        timeout(Duration::from_millis(50), acceptor.next())
            .await
            .is_err()
    );
    assert_eq!(acceptor.silent.len(), 100);
    // Only just come when others come in their hundreds, and in their midst.
    let address = acceptor.listener.local_addr().unwrap();
    let after: Vec<_> = (0..100)
        .map(|_| StdStream::connect(address).unwrap())
        .collect();
    clients[99].write_all(HEAD).unwrap();
    assert!(is(&clients[99], &begins(&mut acceptor).await));
    drop(after);
}

#[tokio::test]
async fn who_has_kept_silent_for_longest_gives_way() {
    let (mut acceptor, clients) = arrived(2, LONG, &[b"", b"", b""]).await;
    let first = next(&mut acceptor).await;
    assert!(matches!(first, Accepted::GaveWay), "{first:?}");
    assert_eq!(acceptor.silent.len(), 2);
    for mut client in clients.iter().skip(1) {
        client.write_all(HEAD).unwrap();
        assert!(is(client, &begins(&mut acceptor).await));
    }
}

#[tokio::test]
async fn who_keeps_silent_for_too_long_is_not_kept() {
    let (mut acceptor, _clients) = arrived(9, Duration::from_millis(20), &[b""]).await;
    let ended = next(&mut acceptor).await;
    assert!(matches!(ended, Accepted::Silent), "{ended:?}");
    assert!(acceptor.silent.is_empty());
}

#[tokio::test]
async fn who_finds_no_place_is_told_apart() {
    let (mut acceptor, clients) = arrived(1, LONG, &[HEAD, HEAD]).await;
    let first = begins(&mut acceptor).await;
    first.place.works();
    match next(&mut acceptor).await {
        Accepted::NoPlace(stream) => {
            assert_eq!(
                stream.peer_addr().unwrap(),
                clients[1].local_addr().unwrap()
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_has_gone_is_not_waited_for() {
    let (mut acceptor, clients) = arrived(10, LONG, &[b""]).await;
    drop(clients);
    begins(&mut acceptor).await;
}
