//! Which addresses requests may go to: a name or a URL that somebody else controls must not lead them into our network.
//!
//! By what IANA's registries call not globally reachable (IPv4 and IPv6 Special-Purpose Address Registries, RFC 6890
//! and its successors), and what clouds serve credentials at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of an address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anybody's.
    Public,
    /// Of this machine or of a network that is not public; the words say which.
    Private(&'static str),
    /// Never that of a receiver; the words say what it is.
    Never(&'static str),
}

/// Why requests may not go to an address; `None` if they may.
pub(crate) fn refusal(ip: IpAddr, allow_private: bool) -> Option<&'static str> {
    match kind(ip) {
        Kind::Public => None,
        Kind::Private(_) if allow_private => None,
        Kind::Private(what) | Kind::Never(what) => Some(what),
    }
}

/// Whether this is a name under which clouds serve credentials.
pub(crate) fn is_metadata_name(host: &str) -> bool {
    const NAMES: [&str; 7] = [
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.platformequinix.com",
        "instance-data",
        "instance-data.ec2.internal",
    ];
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    NAMES.contains(&host.as_str())
}

/// What kind of an address it is. One that carries another inside is as bad as that one.
pub(crate) fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    match ip.octets() {
        [169, 254, 169, 254 | 253 | 123]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [168, 63, 129, 16]
        | [192, 0, 0, 192] => Kind::Never("a metadata address"),
        [0, ..] => Kind::Never("an unspecified address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private("a private address"),
        [100, 64..=127, ..] => Kind::Private("a carrier's shared address"),
        [127, ..] => Kind::Private("a loopback address"),
        [169, 254, ..] => Kind::Private("a link-local address"),
        [192, 0, 0, _] | [192, 88, 99, _] => Kind::Never("an address of a protocol"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Never("an address for documentation"),
        [198, 18 | 19, ..] => Kind::Never("an address for benchmarks"),
        [224..=239, ..] => Kind::Never("a multicast address"),
        [240..=255, ..] => Kind::Never("a reserved or broadcast address"),
        _ => Kind::Public,
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    if let Some(inner) = embedded(ip) {
        return match kind_v4(inner) {
            // A host of ours may still be reached over the gateway in between.
            Kind::Public => Kind::Never("an IPv4 address inside an IPv6 address"),
            other => other,
        };
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private("a loopback address"),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254 | 0x0253 | 0x0123 | 0x0023]
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Kind::Never("a metadata address"),
        [0xfc00..=0xfdff, ..] => Kind::Private("a unique local address"),
        [0xfe80..=0xfebf, ..] => Kind::Private("a link-local address"),
        [0xfec0..=0xfeff, ..] => Kind::Private("a site-local address"),
        [0xff00..=0xffff, ..] => Kind::Never("a multicast address"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Never("an address for documentation"),
        [0x2001, 0x0002, 0, ..] => Kind::Never("an address for benchmarks"),
        [0x2001, 0..=0x01ff, ..] => Kind::Never("an address of a protocol"),
        // All that is assigned to networks (RFC 4291, 2.4): 2000::/3.
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Never("a reserved address"),
    }
}

/// The IPv4 address that an IPv6 address carries: mapped, compatible, 6to4, NAT64.
#[expect(clippy::match_same_arms, reason = "each arm names the text that it is from")]
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // ::/96 (RFC 4291, 2.5.5.1), ::ffff:0:0/96 (2.5.5.2), ::ffff:0:0:0/96 (RFC 2765)
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(join(high, low)),
        // 2002::/16 (RFC 3056)
        [0x2002, high, low, ..] => Some(join(high, low)),
        // 64:ff9b::/96 (RFC 6052), 64:ff9b:1::/48 (RFC 8215)
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x0064, 0xff9b, 1, _, _, _, high, low] => {
            Some(join(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(text: &str) -> Kind {
        kind(text.parse().expect("an address"))
    }

    #[test]
    fn public_addresses_are() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "11.0.0.0",
            "9.255.255.255",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "192.0.1.0",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "2001:200::1",
            "2003::1",
            "3ffe::1",
        ] {
            assert_eq!(kind_of(ip), Kind::Public, "{ip}");
            assert_eq!(refusal(ip.parse().unwrap(), false), None, "{ip}");
        }
    }

    #[test]
    fn private_ones_are_refused_unless_allowed() {
        for ip in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "169.254.0.0",
            "169.254.255.255",
            "::1",
            "fc00::",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "2002:7f00:1::",
            "2002:0a00:1::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::192.168.0.1",
            "64:ff9b:1:2:3:4:7f00:1",
        ] {
            assert!(matches!(kind_of(ip), Kind::Private(_)), "{ip}: {:?}", kind_of(ip));
            assert!(refusal(ip.parse().unwrap(), false).is_some(), "{ip}");
            assert_eq!(refusal(ip.parse().unwrap(), true), None, "{ip}");
        }
    }

    #[test]
    fn some_are_never_a_receivers() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::",
            "64:ff9b::169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.1",
            "192.88.99.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.255",
            "198.18.0.0",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "2001:2::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "100::1",
            "4000::1",
            "fe00::1",
            "5f00::1",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(matches!(kind_of(ip), Kind::Never(_)), "{ip}: {:?}", kind_of(ip));
            assert!(refusal(ip.parse().unwrap(), true).is_some(), "{ip}");
        }
    }

    #[test]
    fn every_address_of_a_refused_block_is_refused_and_its_neighbours_are_not() {
        for (first, last) in [
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
        ] {
            let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
            let is_public = |number: u32| kind_v4(Ipv4Addr::from(number)) == Kind::Public;
            let (first, last) = (number(first), number(last));
            assert!(is_public(first - 1) && is_public(last + 1), "{first}");
            assert!((first..=last).step_by(251).all(|number| !is_public(number)), "{first}");
        }
    }

    #[test]
    fn names_of_metadata_services_are_known() {
        for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"] {
            assert!(is_metadata_name(name), "{name}");
        }
        assert!(!is_metadata_name("metadata.shop.example"));
    }
}
