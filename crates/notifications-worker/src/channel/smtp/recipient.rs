//! Recipients: exactly one address, of which nothing can become a second header, command or recipient.

use lettre::Address;

/// RFC 5321, 4.5.3.1.3: a path of 256 octets, with its angle brackets.
const ADDRESS_MAX: usize = 254;

/// The one address that the text is. Stricter than RFC 5321: quoted local parts, which may hold spaces, commas and
/// brackets, are refused, and so are comments and display names.
pub(super) fn parse(text: &str) -> Result<Address, String> {
    if text.len() > ADDRESS_MAX {
        return Err(format!("is longer than {ADDRESS_MAX} bytes"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has a space or a control character".to_owned());
    }
    if text.contains(['"', '\\', '(', ')', '<', '>', ',', ';', ':']) && !has_literal_domain(text) {
        return Err("is not one plain e-mail address".to_owned());
    }
    text.parse().map_err(|_| "is not an e-mail address".to_owned())
}

/// `user@[IPv6:…]` has colons in its domain.
fn has_literal_domain(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, domain)| {
        let literal = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']'));
        !user.contains(['"', '\\', '(', ')', '<', '>', ',', ';', ':'])
            && literal.is_some_and(|ip| ip.chars().all(|c| c.is_ascii_alphanumeric() || c == ':' || c == '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_is_one() {
        for address in ["bob@shop.example", "a.b+c@x-y.example", "bob@[127.0.0.1]", "jürgen@bücher.example"]
        {
            assert_eq!(parse(address).unwrap().to_string(), address);
        }
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("{}@shop.example", "a".repeat(300));
        for text in [
            "",
            "bob",
            "@shop.example",
            "bob@",
            "bob@shop.example, eve@evil.example",
            "bob@shop.example,eve@evil.example",
            "bob@shop.example;eve@evil.example",
            "Bob <bob@shop.example>",
            "<bob@shop.example>",
            "bob@shop.example>",
            "bob@shop.example\r\nBcc: eve@evil.example",
            "bob@shop.example\nRCPT TO:<eve@evil.example>",
            "bob@shop.example\u{0}",
            "bob@shop.example ",
            "\"bob eve\"@shop.example",
            "\"bob\\\"<eve@evil.example>\"@shop.example",
            "bob(comment)@shop.example",
            "bob@shop.example\u{2028}eve",
            "a@b@shop.example",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
