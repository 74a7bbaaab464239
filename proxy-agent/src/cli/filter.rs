//! Which rows a command shows: `--service` and `--client`.

use super::rows::ServicePort;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Both filters; one that is not given lets everything through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// The Service, or one of its ports.
    pub service: Option<ServiceFilter>,
    /// The client.
    pub client: Option<ClientFilter>,
}

/// `namespace/name` or `namespace/name:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceFilter {
    namespace: String,
    name: String,
    port: Option<String>,
}

/// An address, an address and port, or a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientFilter {
    /// Every client in a prefix.
    Net(IpNet),
    /// One client and port.
    Socket(SocketAddr),
}

/// What a filter should look like.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not a Service.
    #[error("write namespace/name, or namespace/name:port with the port's name")]
    Service,
    /// Not a client.
    #[error(
        "write an address (192.0.2.1), an address and port (192.0.2.1:4711, [2001:db8::1]:4711) or a prefix (192.0.2.0/24)"
    )]
    Client,
}

impl Filter {
    /// Whether a row of this service port and client is shown. A row whose service is gone passes no service filter.
    pub fn lets_through(&self, service: Option<&ServicePort>, client: SocketAddr) -> bool {
        self.service.as_ref().is_none_or(|filter| service.is_some_and(|service| filter.matches(service)))
            && self.client.as_ref().is_none_or(|filter| filter.matches(client))
    }
}

impl ServiceFilter {
    /// Whether it is this service port.
    pub fn matches(&self, service: &ServicePort) -> bool {
        self.names(&service.namespace, &service.name) && self.port.as_ref().is_none_or(|port| *port == service.port)
    }

    /// Whether it is this Service, or one of its ports.
    pub fn names(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

impl ClientFilter {
    fn matches(&self, client: SocketAddr) -> bool {
        match self {
            Self::Net(net) => net.contains(&client.ip()),
            Self::Socket(socket) => *socket == client,
        }
    }
}

impl FromStr for ServiceFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (namespace, rest) = text.split_once('/').ok_or(FilterError::Service)?;
        let (name, port) = rest.split_once(':').map_or((rest, None), |(name, port)| (name, Some(port.to_owned())));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(FilterError::Service);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

impl FromStr for ClientFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(IpNet::from(address)));
        }
        if let Ok(net) = text.parse() {
            return Ok(Self::Net(net));
        }
        text.parse().map(Self::Socket).map_err(|_| FilterError::Client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(port: &str) -> ServicePort {
        let (namespace, name) = ("default".to_owned(), "hello".to_owned());
        ServicePort { namespace, name, port: port.to_owned(), protocol: "TCP", family: "IPv4" }
    }

    #[test]
    fn services() {
        let filter: ServiceFilter = "default/hello".parse().unwrap();
        assert!(filter.matches(&service("http")) && filter.matches(&service("")));
        let filter: ServiceFilter = "default/hello:http".parse().unwrap();
        assert!(filter.matches(&service("http")) && !filter.matches(&service("")));
        let filter: ServiceFilter = "default/hello:".parse().unwrap();
        assert!(filter.matches(&service("")) && !filter.matches(&service("http")), "an unnamed port");
        for wrong in ["hello", "/hello", "default/", "a/b/c"] {
            assert_eq!(wrong.parse::<ServiceFilter>(), Err(FilterError::Service), "{wrong}");
        }
    }

    #[test]
    fn clients() {
        let lets = |filter: &str, client: &str| {
            let filter = Filter { service: None, client: Some(filter.parse().unwrap()) };
            filter.lets_through(None, client.parse().unwrap())
        };
        assert!(lets("192.0.2.1", "192.0.2.1:5"));
        assert!(!lets("192.0.2.1:4", "192.0.2.1:5"));
        assert!(lets("192.0.2.0/24", "192.0.2.9:5"));
        assert!(lets("[2001:db8::1]:5", "[2001:db8::1]:5"));
        assert!(!lets("2001:db8::/32", "192.0.2.9:5"));
        assert_eq!("here".parse::<ClientFilter>(), Err(FilterError::Client));
    }

    #[test]
    fn a_service_that_is_gone_passes_no_filter() {
        let filter = Filter { service: Some("a/b".parse().unwrap()), client: None };
        assert!(!filter.lets_through(None, "192.0.2.1:5".parse().unwrap()));
        assert!(Filter::default().lets_through(None, "192.0.2.1:5".parse().unwrap()));
    }
}
