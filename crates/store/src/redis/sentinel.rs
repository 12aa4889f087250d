//! What a sentinel says: which server is the primary now.
//!
//! A sentinel speaks the protocol of Redis. It knows no socket. Invariant: what a sentinel says is only where to look; the
//! server itself says whether it is a primary.

use super::link::Link;
use super::url::Host;
use redis::{RedisResult, Value, cmd};

/// The longest name of a host (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// Asks for the address of the primary `name`. Returns `None` if the sentinel does not know it.
pub(super) fn primary(link: &mut Link, name: &str) -> RedisResult<Option<Host>> {
    let reply: Value = link.query(cmd("SENTINEL").arg("get-master-addr-by-name").arg(name))?;
    Ok(address(&reply))
}

/// Reads the reply: a host or an address, and a port.
fn address(reply: &Value) -> Option<Host> {
    let [Value::BulkString(host), Value::BulkString(port)] = reply.as_sequence()? else { return None };
    let name = std::str::from_utf8(host).ok().filter(|name| (1..=HOST_BYTES_MAX).contains(&name.len()))?;
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(Host { name: name.into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::parse_redis_value;

    #[test]
    fn only_a_host_and_a_port_are_an_address() {
        let check = |reply: &str, expected: Option<&str>| {
            let found = address(&parse_redis_value(reply.as_bytes()).unwrap());
            assert_eq!(found.map(|host| host.to_string()).as_deref(), expected, "{reply}");
        };
        check("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n", Some("127.0.0.1:6379"));
        check("*2\r\n$3\r\n::1\r\n$1\r\n7\r\n", Some("[::1]:7"));
        check("*-1\r\n", None);
        check("$-1\r\n", None);
        check("*2\r\n$0\r\n\r\n$4\r\n6379\r\n", None);
        check("*2\r\n$1\r\na\r\n$5\r\n65536\r\n", None);
        check("*1\r\n$1\r\na\r\n", None);
        check(&format!("*2\r\n$256\r\n{}\r\n$1\r\n7\r\n", "a".repeat(256)), None);
        check("+OK\r\n", None);
    }
}
