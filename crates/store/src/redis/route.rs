//! The way to the primary: it resolves the host, or asks the sentinels for it, and connects.
//!
//! It knows neither stores nor brokers. Invariants: an attempt ends within its time, apart from the system's resolver; and
//! whatever the sentinels say, the server is asked for its role.

use super::failure::describe;
use super::link::Link;
use super::sentinel;
use super::tls::Tls;
use super::url::{Endpoint, Host, RedisUrl};
use redis::RedisResult;
use socket2::SockAddr;
use std::borrow::Cow;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How a primary is reached.
pub(super) struct Route {
    url: RedisUrl,
    tls: Option<Tls>,
    /// The sentinel to ask first: the one that last named a primary which could be used.
    first: AtomicUsize,
    /// A server has been reached, so the address is right about TLS.
    has_worked: AtomicBool,
}

/// Where a server was found.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// What its certificate must be for.
    host: Box<str>,
    addrs: Arc<[SockAddr]>,
    /// The address that a sentinel returned.
    name: Option<Box<str>>,
}

const NO_ANSWER: &str =
    "it has closed the connection without an answer; if this port speaks TLS, the address begins with rediss";

impl Route {
    pub(super) fn new(url: RedisUrl) -> Route {
        let tls = url.tls.clone().map(Tls::new);
        Route { url, tls, first: AtomicUsize::new(0), has_worked: AtomicBool::new(false) }
    }

    pub(super) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Checks what can be wrong before there is a connection.
    ///
    /// # Errors
    /// If a file for TLS cannot be used.
    pub(super) fn check(&self) -> io::Result<()> {
        self.tls.as_ref().map_or(Ok(()), Tls::load)
    }

    /// Finds a primary and connects to it within `timeout`. On failure it returns the reason.
    pub(super) fn open(&self, timeout: Duration) -> Result<Link, Cow<'static, str>> {
        self.find(timeout)?.0.of_primary()
    }

    /// Finds the server and connects to it within `timeout`. It may be a replica. On failure it returns the reason.
    pub(super) fn find(&self, timeout: Duration) -> Result<(Link, Place), Cow<'static, str>> {
        let deadline = Instant::now() + timeout;
        let place = match &self.url.endpoint {
            Endpoint::Tcp(host) => Place::of_host(host)?,
            Endpoint::Unix(path) => {
                let addr = SockAddr::unix(path).map_err(|error| describe(&error.into(), timeout))?;
                Place { addrs: Arc::new([addr]), ..Place::default() }
            }
            Endpoint::Sentinels { sentinels, .. } => {
                return self.find_with(sentinels, deadline, timeout);
            }
        };
        let link = self.connect(&place, deadline).map_err(|error| describe(&error, timeout))?;
        Ok((link, place))
    }

    /// Connects to a server that was found before. It may be a replica.
    pub(super) fn connect(&self, place: &Place, deadline: Instant) -> RedisResult<Link> {
        let link = self.secured(&place.host, &place.addrs, deadline, |link| {
            link.introduce(&self.url.login, self.url.database)
        });
        link.map(|mut link| {
            self.has_worked.store(true, Ordering::Relaxed);
            if let Some(name) = &place.name {
                link.set_name(name);
            }
            link
        })
    }

    /// Asks the sentinels in turn until one names a primary that says it is one.
    fn find_with(
        &self,
        sentinels: &[Host],
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(Link, Place), Cow<'static, str>> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failures = vec![None; sentinels.len()];
        let (mut tried, mut replica) = (Vec::new(), None);
        for at in (0..sentinels.len()).map(|step| (first + step) % sentinels.len()) {
            // A silent one leaves half of the time for the others and for the primary.
            let share = deadline.saturating_duration_since(Instant::now()) / 2;
            if share.is_zero() {
                break;
            }
            let named = self.ask(&sentinels[at], share).and_then(|named| {
                let name = named.to_string();
                // Others have named it before.
                if tried.contains(&name) {
                    return Ok(None);
                }
                tried.push(name.clone());
                let place = Place { name: Some(name.as_str().into()), ..Place::of_host(&named)? };
                let link = self.connect(&place, deadline);
                let link = link.map_err(|error| format!("it names {name}: {}", describe(&error, timeout)))?;
                Ok(Some((link, place)))
            });
            match named {
                Ok(Some((link, place))) if link.server().is_replica => replica = Some((link, place)),
                Ok(Some(found)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(found);
                }
                Ok(None) => {}
                Err(why) => failures[at] = Some(why),
            }
        }
        // Another one may take less time, or know more.
        self.first.store(first + 1, Ordering::Relaxed);
        if let Some(found) = replica {
            return Ok(found);
        }
        let failures = sentinels.iter().zip(failures);
        let failures = failures.filter_map(|(host, why)| Some(format!("sentinel {host}: {}", why?)));
        Err(failures.collect::<Vec<_>>().join("; ").into())
    }

    /// Asks a sentinel for the primary. On failure it returns the reason.
    fn ask(&self, host: &Host, timeout: Duration) -> Result<Host, Cow<'static, str>> {
        let Endpoint::Sentinels { name, login, .. } = &self.url.endpoint else {
            unreachable!("only an address with sentinels leads here")
        };
        let place = Place::of_host(host)?;
        let mut answer = None;
        let asked = self.secured(&place.host, &place.addrs, Instant::now() + timeout, |link| {
            link.log_in(login)?;
            answer = Some(sentinel::primary(link, name)?);
            Ok(())
        });
        asked.map_err(|error| describe(&error, timeout))?;
        answer.flatten().ok_or_else(|| format!("it knows no primary `{name}`").into())
    }

    /// Connects, with TLS if the address asks for it, and calls `begin` with the connection.
    fn secured(
        &self,
        host: &str,
        addrs: &[SockAddr],
        deadline: Instant,
        begin: impl FnOnce(&mut Link) -> RedisResult<()>,
    ) -> RedisResult<Link> {
        let tls = self.tls.as_ref();
        let link = Link::connect(addrs, tls.map(|tls| (tls, host)), deadline);
        let link = link.and_then(|mut link| begin(&mut link).map(|()| link));
        link.inspect_err(|error| {
            if let Some(tls) = tls
                && !error.is_timeout()
                && !error.is_connection_refusal()
            {
                // The files may have been replaced, because a certificate has expired.
                tls.forget();
            }
        })
        .map_err(|error| {
            // What a server does that expects TLS.
            if tls.is_none()
                && !host.is_empty()
                && !self.has_worked.load(Ordering::Relaxed)
                && error.is_connection_dropped()
                && !error.is_connection_refusal()
            {
                io::Error::new(io::ErrorKind::UnexpectedEof, NO_ANSWER).into()
            } else {
                error
            }
        })
    }
}

impl Place {
    /// Resolves the name of a host. This may block for as long as the system's resolver does.
    fn of_host(host: &Host) -> Result<Place, Cow<'static, str>> {
        let resolve = || {
            let addrs: Arc<[SockAddr]> =
                (&*host.name, host.port).to_socket_addrs()?.map(SockAddr::from).collect();
            if addrs.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(addrs) }
        };
        let addrs =
            resolve().map_err(|error: io::Error| format!("its host name cannot be resolved: {error}"))?;
        Ok(Place { host: host.name.clone(), addrs, name: None })
    }
}
