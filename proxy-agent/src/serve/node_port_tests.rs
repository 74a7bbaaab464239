//! Servers on loopback addresses: what they answer, and when they open and close.

use super::*;
use crate::serve::health::NodeState;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn servers() -> HealthServers {
    HealthServers::new("node-1".into(), Arc::new(Health::new(Duration::from_secs(60), NodeState::Leaving)))
}

/// A port that nobody has.
async fn free() -> u16 {
    TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port()
}

type Wanted = Vec<(ObjectName, Vec<HealthCheck>)>;

fn wanted(service: &str, port: u16, endpoints: usize) -> Wanted {
    let check = HealthCheck { family: Family::V4, port: Port::new(port), endpoints };
    vec![(ObjectName::new("n", service), vec![check])]
}

fn gone(service: &str) -> (ObjectName, Vec<HealthCheck>) {
    (ObjectName::new("n", service), Vec::new())
}

/// Addresses first, then these Services, then what failed before.
fn sync(servers: &mut HealthServers, wanted: &Wanted, addresses: &[IpAddr]) -> Vec<Notice> {
    let mut said = servers.set_addresses(addresses);
    said.extend(servers.set(wanted));
    said.extend(servers.retry());
    said
}

async fn ask(address: IpAddr, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((address, port)).await.ok()?;
    stream.write_all(b"GET /any/path HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test]
async fn s49_headers_body_and_status() {
    let (mut servers, port) = (servers(), free().await);
    assert_eq!(sync(&mut servers, &wanted("a", port, 2), &[HERE]), []);
    let answer = ask(HERE, port).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for header in
        ["content-type: application/json\r\n", "x-content-type-options: nosniff\r\n", "x-load-balancing-endpoint-weight: 2\r\n"]
    {
        assert!(answer.contains(header), "{answer}");
    }
    let body = r#"{"service":{"namespace":"n","name":"a"},"localEndpoints":2,"serviceProxyHealthy":true}"#;
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    sync(&mut servers, &wanted("a", port, 0), &[HERE]);
    assert!(ask(HERE, port).await.unwrap().starts_with("HTTP/1.1 503 "), "no endpoint (S50)");
}

#[tokio::test]
async fn s49_a_proxy_that_lags_says_so() {
    let (mut servers, port) = (servers(), free().await);
    servers.health.queued(Instant::now() - Duration::from_secs(61));
    sync(&mut servers, &wanted("a", port, 2), &[HERE]);
    let answer = ask(HERE, port).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"serviceProxyHealthy\":false"), "{answer}");
}

#[tokio::test]
async fn s50_closed_with_the_service_the_port_or_the_address() {
    let (mut servers, first, second) = (servers(), free().await, free().await);
    sync(&mut servers, &wanted("a", first, 1), &[HERE, THERE]);
    assert!(ask(HERE, first).await.is_some() && ask(THERE, first).await.is_some());
    sync(&mut servers, &wanted("a", first, 1), &[THERE]);
    assert!(ask(HERE, first).await.is_none() && ask(THERE, first).await.is_some());
    let changed = [wanted("b", first, 1), vec![gone("a")]].concat();
    assert_eq!(sync(&mut servers, &changed, &[THERE]), [], "a port may change hands");
    assert!(ask(THERE, first).await.unwrap().contains("\"name\":\"b\""));
    sync(&mut servers, &wanted("b", second, 1), &[THERE]);
    assert!(ask(THERE, first).await.is_none() && ask(THERE, second).await.is_some());
    sync(&mut servers, &vec![gone("b")], &[THERE]);
    assert!(ask(THERE, second).await.is_none());
}

#[tokio::test]
async fn s50_a_taken_port_is_said_once_and_served_when_it_is_free() {
    let mut servers = servers();
    let other = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = other.local_addr().unwrap().port();
    let said = sync(&mut servers, &wanted("a", port, 1), &[HERE, THERE]);
    assert_eq!((said.len(), said[0].reason, said[0].action), (1, "FailedToStartServiceHealthcheck", "Listen"));
    assert!(said[0].message.contains(&format!("n/a at 127.0.0.1:{port}: the port is taken")), "{}", said[0].message);
    assert_eq!(sync(&mut servers, &wanted("a", port, 1), &[HERE, THERE]), [], "said already");
    assert_eq!(servers.failures().count(), 1);
    assert!(ask(THERE, port).await.is_some(), "the other address is served");
    drop(other);
    assert_eq!(sync(&mut servers, &wanted("a", port, 1), &[HERE, THERE]), []);
    assert!(ask(HERE, port).await.is_some());
    assert_eq!(servers.failures().count(), 0);
}

#[tokio::test]
async fn s49_an_address_that_is_not_settled_is_no_failure() {
    let (mut servers, port) = (servers(), free().await);
    let probed = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    let check = |family| HealthCheck { family, port: Port::new(port), endpoints: 1 };
    let wanted = vec![(ObjectName::new("n", "a"), vec![check(Family::V4), check(Family::V6)])];
    assert_eq!(sync(&mut servers, &wanted, &probed), []);
}

#[tokio::test]
async fn s49_families_are_apart() {
    let (mut servers, port) = (servers(), free().await);
    let check = |family, endpoints| HealthCheck { family, port: Port::new(port), endpoints };
    let wanted = vec![(ObjectName::new("n", "a"), vec![check(Family::V4, 1), check(Family::V6, 3)])];
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)];
    assert_eq!(sync(&mut servers, &wanted, &any), []);
    assert!(ask(HERE, port).await.unwrap().contains("\"localEndpoints\":1"));
    assert!(ask(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), port).await.unwrap().contains("\"localEndpoints\":3"));
}
