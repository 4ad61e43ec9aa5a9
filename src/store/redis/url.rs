//! [`RedisUrl`]: the servers that a URL names.

use std::slice;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::endpoint::tcp_settings;
use super::error::refused;
use super::tls;
use crate::store::{Result, StoreError};

/// The port of Redis, and that of a Sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The kind of servers that a scheme names.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Server,
    Socket,
    Cluster,
    Sentinel,
}

/// What a scheme stands for, in capitals or not, and the driver's name for it.
fn kind_of(scheme: &str) -> Option<(Kind, &'static str)> {
    Some(match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => (Kind::Server, "redis"),
        "rediss" | "valkeys" => (Kind::Server, "rediss"),
        "unix" | "redis+unix" | "valkey+unix" => (Kind::Socket, "unix"),
        "redis-cluster" | "valkey-cluster" => (Kind::Cluster, "redis"),
        "rediss-cluster" | "valkeys-cluster" => (Kind::Cluster, "rediss"),
        "redis-sentinel" | "valkey-sentinel" => (Kind::Sentinel, "redis"),
        "rediss-sentinel" | "valkeys-sentinel" => (Kind::Sentinel, "rediss"),
        _ => return None,
    })
}

/// Whether a URL with this scheme names a Redis.
pub(in crate::store) fn answers_to(scheme: &str) -> bool {
    kind_of(scheme).is_some()
}

/// The servers that a URL names.
pub(super) enum RedisUrl {
    /// One server.
    Server(ConnectionInfo),
    /// Some nodes of a Cluster.
    Cluster(Vec<ConnectionInfo>),
    /// The master of this name, as Sentinels know it.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// The login to the master; the address is a Sentinel's.
        node: ConnectionInfo,
    },
}

impl RedisUrl {
    /// The servers that the URL names, for a message, and whether they use TLS.
    pub(super) fn servers(&self) -> (String, bool) {
        let nodes = match self {
            Self::Server(info) => slice::from_ref(info),
            Self::Cluster(nodes) => nodes,
            Self::Sentinel { sentinels, .. } => sentinels,
        };
        let is_tls = |node: &ConnectionInfo| matches!(node.addr(), ConnectionAddr::TcpTls { .. });
        let addresses: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        (addresses.join(", "), nodes.iter().any(is_tls))
    }

    /// Reads a URL; [`RedisBuilder::connect`](super::RedisBuilder::connect) describes its parts.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(not_a_url)?;
        let (kind, scheme) = kind_of(scheme).ok_or_else(not_a_url)?;
        if scheme == "rediss" {
            tls::check()?;
        }
        if rest.contains('#') {
            return Err(refused(
                "a Redis URL has no part behind a #; write a # of the password as %23",
            ));
        }
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(refused(
                "an @ follows a / in the Redis URL; write a / of the password as %2F, and an @ as %40",
            ));
        }
        let options = Options::parse(options, kind)?;
        if kind == Kind::Socket {
            // The driver reads the options of a socket.
            return info(&format!("{scheme}://{authority}/{path}?{}", options.text))
                .map(Self::Server);
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let nodes = |login: &str, path: &str, port: u16| {
            let database = options.database(path)?;
            let node = |host| info(&format!("{scheme}://{login}{}/{database}", at(host, port)));
            hosts.split(',').map(node).collect::<Result<Vec<_>>>()
        };
        match kind {
            Kind::Cluster => nodes(&login, path, PORT).map(Self::Cluster),
            Kind::Sentinel => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(refused(
                        "the Redis URL names no master; it goes redis-sentinel://host,host/master",
                    ));
                }
                let node = nodes(&login, database, PORT)?.swap_remove(0);
                let sentinels = hosts.split(',');
                let sentinels = sentinels
                    .map(|host| info(&format!("{scheme}://{}", at(host, SENTINEL_PORT))))
                    .collect::<Result<_>>()?;
                Ok(Self::Sentinel { sentinels, master: master.to_owned(), node })
            }
            Kind::Server | Kind::Socket if hosts.contains(',') => Err(refused(
                "the Redis URL names several servers; they go redis-cluster://host,host or \
                 redis-sentinel://host,host/master",
            )),
            Kind::Server | Kind::Socket => {
                Ok(Self::Server(nodes(&login, path, PORT)?.swap_remove(0)))
            }
        }
    }
}

/// A host with its port, or this one.
fn at(host: &str, port: u16) -> String {
    let host = host.trim_end_matches(':');
    // An IPv6 address has its colons in brackets.
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// The text behind the question mark.
struct Options<'a> {
    text: &'a str,
    database: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str, kind: Kind) -> Result<Self> {
        let mut database = None;
        for option in text.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("db", number) => database = Some(number),
                ("protocol", "3" | "resp3") => {}
                ("user" | "pass", _) if kind == Kind::Socket => {}
                // It may be a part of the password.
                _ => {
                    return Err(refused(
                        "the Redis URL has an option that the store does not know; there are db, \
                         protocol=3, and user and pass for a socket. Write a ? of the password as %3F",
                    ));
                }
            }
        }
        Ok(Self { text, database })
    }

    /// The database number, from the path or from the option.
    fn database(&self, path: &'a str) -> Result<&'a str> {
        let path = path.trim_matches('/');
        match self.database {
            None => Ok(path),
            Some(number) if path.is_empty() || path == number => Ok(number),
            Some(_) => Err(refused("the Redis URL names two database numbers; leave one out")),
        }
    }
}

fn info(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(|error| {
        // The driver's words may hold parts of the URL, and so of the password.
        drop(error);
        not_a_url()
    })?;
    let settings = info
        .redis_settings()
        .clone()
        // Tells at once when the connection ends.
        .set_protocol(ProtocolVersion::RESP3)
        // Spares the user one right.
        .set_skip_set_lib_name();
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn not_a_url() -> StoreError {
    refused(
        "the Redis URL cannot be read; it goes redis://user:password@host:port/database, \
         redis-cluster://host:port,host:port, redis-sentinel://host:port,host:port/master or \
         redis+unix:///path?db=database",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place in a line, without the password.
    fn shown(url: &str) -> String {
        let node = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            let user = settings.username().unwrap_or("-");
            let has = if settings.password().is_some() { "with" } else { "without" };
            format!("{} db {} {user} {has} password", info.addr(), settings.db())
        };
        let nodes =
            |infos: &[ConnectionInfo]| infos.iter().map(node).collect::<Vec<_>>().join(", ");
        match RedisUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")) {
            RedisUrl::Server(info) => node(&info),
            RedisUrl::Cluster(infos) => format!("cluster {}", nodes(&infos)),
            RedisUrl::Sentinel { sentinels, master, node: of_master } => {
                format!("{master} of {}; {}", nodes(&sentinels), node(&of_master))
            }
        }
    }

    #[test]
    fn a_url_leads_where_it_says() {
        let plain = "h:6379 db 0 - without password";
        for (url, place) in [
            ("redis://h", plain),
            ("REDIS://h", plain),
            ("Valkey://h/", plain),
            (" redis://h\n", plain),
            ("redis://h:", plain),
            ("redis://h?protocol=3", plain),
            ("redis://h/?protocol=resp3", plain),
            ("redis://h:1/2", "h:1 db 2 - without password"),
            ("redis://h/2/", "h:6379 db 2 - without password"),
            ("redis://h?db=2", "h:6379 db 2 - without password"),
            ("redis://h/2?db=2&protocol=3", "h:6379 db 2 - without password"),
            ("redis://u:p@h", "h:6379 db 0 u with password"),
            ("redis://:p%2F%40%23@h/1", "h:6379 db 1 - with password"),
            ("redis://[::1]", "::1:6379 db 0 - without password"),
            ("redis://[::1]:1", "::1:1 db 0 - without password"),
            ("redis+unix:///run/r.sock", "/run/r.sock db 0 - without password"),
            ("unix:///run/r.sock?db=3", "/run/r.sock db 3 - without password"),
            ("UNIX:///run/r.sock?", "/run/r.sock db 0 - without password"),
            ("valkey+unix:///r?user=u&pass=%26&db=1", "/r db 1 u with password"),
            ("redis-cluster://h", &format!("cluster {plain}")),
            ("Redis-Cluster://h?protocol=3", &format!("cluster {plain}")),
            (
                "valkey-cluster://u:p@a:1,[::1]",
                "cluster a:1 db 0 u with password, ::1:6379 db 0 u with password",
            ),
            (
                "redis-sentinel://u:p@a,b:1,[::1],[::2]:2/m/3?protocol=3",
                "m of a:26379 db 0 - without password, b:1 db 0 - without password, ::1:26379 db 0 - \
                 without password, ::2:2 db 0 - without password; a:6379 db 3 u with password",
            ),
            (
                "VALKEY-SENTINEL://a/m?db=3",
                "m of a:26379 db 0 - without password; a:6379 db 3 - without password",
            ),
        ] {
            assert_eq!(shown(url), place, "{url:?}");
            let scheme = url.trim().split(':').next().unwrap_or_default();
            assert!(answers_to(scheme), "{scheme}");
        }
    }

    #[test]
    fn a_url_that_can_be_misread_is_refused_and_not_repeated() {
        for url in [
            "secret",
            "redis:secret",
            "redis:/secret",
            "secret://h",
            "redis-secret://h",
            "redis://",
            "redis://h/secret",
            "redis://h:secret",
            "redis://u:secret/x@h",
            "redis://u:1/secret@h",
            "redis://u:1?secret@h",
            "redis://u:1#secret@h",
            "redis://h#insecure",
            "redis://h?secret=1",
            "redis://h?protocol=2",
            "redis://h?user=u&pass=secret",
            "redis://h/1?db=2",
            "redis://h?db=secret",
            "redis://a,secret",
            "redis-cluster://a,,secret",
            "redis-cluster://a,b:secret",
            "redis-cluster://a?secret",
            "redis-sentinel://secret",
            "redis-sentinel://secret/",
            "redis-sentinel://u:1/secret@a/m",
            "redis-sentinel://a/m/secret",
            "redis-sentinel://a?secret/m",
            "redis+unix://secret",
            "redis+unix://u:secret@/run/r.sock",
            "redis+unix:///run/r.sock?password=secret",
            "redis+unix:///run/r.sock?db=secret",
        ] {
            let Err(error) = RedisUrl::parse(url) else {
                panic!("{url} is read");
            };
            assert_eq!(error.kind(), crate::store::StoreErrorKind::Refused, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{url}: {error:?}");
        }
    }
}
