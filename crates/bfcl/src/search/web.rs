//! GET over HTTP, bounded in time, size and redirects, and kept off private networks: the
//! addresses are an agent's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// The most that is read of a page, in bytes after decompression.
const MAX_BYTES: u64 = 16 << 20;
/// How many times a page may say that it is elsewhere.
const MAX_REDIRECTS: u32 = 10;

/// Headers as a browser sends them; many sites answer nothing else.
const HEADERS: [(&str, &str); 2] = [
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
];
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere.
    All,
    /// Not to this machine and not to its private networks.
    Public,
}

/// A client for GET.
pub(super) struct Web {
    agent: Agent,
    timeout: Duration,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Where the last redirect led.
    pub(super) url: String,
    /// Bytes that are not UTF-8 are replaced.
    pub(super) text: String,
}

impl Web {
    /// `timeout` is for everything from the look-up of the name to the last byte.
    pub(super) fn new(timeout: Duration, reach: Reach) -> Self {
        let config = Config::builder()
            .timeout_global(Some(timeout))
            .max_redirects(MAX_REDIRECTS)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            // Without this, the environment would decide.
            .proxy(None)
            .build();
        let resolver = Resolve {
            reach,
            names: DefaultResolver::default(),
        };
        Self {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            timeout,
        }
    }

    /// An error is a text for the agent.
    pub(super) fn get(&self, url: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let mut request = self.agent.get(url);
        for (name, value) in HEADERS {
            request = request.header(name, value);
        }
        for &(name, value) in query {
            request = request.query(name, value);
        }
        let mut response = request.call().map_err(|error| self.said(error))?;
        let url = ureq::ResponseExt::get_uri(&response).to_string();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_BYTES)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(|error| self.said(error))?;
        Ok(Answer {
            status: response.status(),
            url,
            text,
        })
    }

    fn said(&self, error: ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => {
                format!("Read timed out. (read timeout={})", self.timeout.as_secs())
            }
            ureq::Error::TooManyRedirects => format!("Exceeded {MAX_REDIRECTS} redirects."),
            ureq::Error::BodyExceedsLimit(bytes) => format!("The page exceeds {bytes} bytes."),
            other => other.to_string(),
        }
    }
}

/// Looks names up, and forgets the addresses that may not be reached: so no redirect and no
/// name leads to them either.
#[derive(Debug)]
struct Resolve {
    reach: Reach,
    names: DefaultResolver,
}

impl Resolver for Resolve {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        if self.reach == Reach::All {
            return Ok(found);
        }
        let mut public = self.empty();
        let addresses = found.iter().filter(|address| is_public(address));
        addresses.for_each(|address| public.push(*address));
        if public.is_empty() {
            let problem = "the address is private".to_owned();
            return Err(ureq::Error::Other(problem.into()));
        }
        Ok(public)
    }
}

fn is_public(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_v4(ip),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_this_network = first == 0;
    let is_reserved = first >= 240;
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || is_shared
        || is_this_network
        || is_reserved)
}

/// Global unicast, 2000::/3 (RFC 4291), less what embeds an IPv4 address (6to4, Teredo).
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let embeds_ipv4 = first == 0x2002 || (first == 0x2001 && second == 0);
    first & 0xe000 == 0x2000 && !embeds_ipv4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let check = |ip: &str, expected: bool| {
            let address = SocketAddr::new(ip.parse().unwrap(), 80);
            assert_eq!(is_public(&address), expected, "{ip}");
        };
        check("1.1.1.1", true);
        check("2606:4700:4700::1111", true);
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.5.5",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
        ] {
            check(private, false);
        }
    }
}
