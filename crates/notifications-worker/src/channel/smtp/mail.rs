//! A mail about one event: headers that repeat exactly, text, and HTML beside it.

use lettre::{
    Address, Message as Mail,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

use crate::message::Message;

/// The mail to one recipient. Its Message-ID is the same each time, so that a mail that is sent twice (the process ended
/// before it was noted that it was sent) can be told as one by whoever receives it.
pub(super) fn build(
    from: &Mailbox,
    to: Address,
    message: &Message<'_>,
) -> Result<Mail, lettre::error::Error> {
    let name = message.name_for(&format!("smtp:{to}"));
    let rendered = &message.rendered;
    let builder = Mail::builder()
        .message_id(Some(format!("<{name}@{}>", from.email.domain())))
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(rendered.subject.clone())
        .date_now()
        // RFC 3834: nobody's holiday notice answers it.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    match &rendered.html {
        Some(html) => {
            builder.multipart(MultiPart::alternative_plain_html(rendered.text.clone(), html.clone()))
        }
        None => builder
            .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(rendered.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use order_events::EventView;
    use stream_core::{Fields, StreamId};

    use super::*;
    use crate::message::Rendered;

    fn formatted(id: StreamId, to: &str, subject: &str) -> String {
        let fields: Fields =
            [("type", "order.paid"), ("order_id", "o-1"), ("customer", "bob"), ("amount", "1")]
                .into_iter()
                .collect();
        let event = EventView::from_fields(0, fields.iter()).unwrap();
        let rendered = Rendered {
            text: "Hello\nBcc: eve@evil.example\n.\nend".to_owned(),
            subject: subject.to_owned(),
            html: Some("<p>Hello</p>".to_owned()),
        };
        let message = Message { id, stream: "events", attempt: 1, event: &event, fields: &fields, rendered };
        let from: Mailbox = "Shop <orders@shop.example>".parse().unwrap();
        let mail = build(&from, to.parse().unwrap(), &message).unwrap();
        String::from_utf8(mail.formatted()).unwrap()
    }

    fn header(mail: &str, name: &str) -> Option<String> {
        let (head, _) = mail.split_once("\r\n\r\n").expect("a head");
        let head = head.replace("\r\n ", " ");
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    #[test]
    fn the_message_id_is_the_same_each_time_and_for_nobody_else() {
        let id = |entry, to| header(&formatted(entry, to, "s"), "Message-ID").expect("an ID");
        let (first, bob) = (StreamId::new(1, 0), "bob@shop.example");
        assert_eq!(id(first, bob), id(first, bob));
        assert!(id(first, bob).ends_with("@shop.example>"));
        assert_ne!(id(first, bob), id(StreamId::new(1, 1), bob));
        assert_ne!(id(first, bob), id(first, "eve@shop.example"));
    }

    #[test]
    fn a_subject_stays_one_header_whatever_it_holds() {
        for subject in ["a\r\nBcc: eve@evil.example", "a\nBcc: eve@evil.example", "\r\n\r\nbody", "é\r\nX: y"]
        {
            let mail = formatted(StreamId::new(1, 0), "bob@shop.example", subject);
            assert_eq!(header(&mail, "Bcc"), None, "{mail}");
            assert_eq!(header(&mail, "X"), None, "{mail}");
            assert_eq!(header(&mail, "To").as_deref(), Some("bob@shop.example"));
            assert!(header(&mail, "Auto-Submitted").is_some(), "{mail}");
        }
    }
}
