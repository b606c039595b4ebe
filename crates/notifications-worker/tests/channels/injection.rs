//! What an event says never becomes a header, a recipient, a command or a line of the log.

use crate::{
    bench::Bench,
    mail_server::{MailServer, Security},
};

const HOSTILE: [&str; 12] = [
    "bob@customer.example\r\nBcc: eve@evil.example",
    "bob@customer.example\nBcc: eve@evil.example",
    "bob@customer.example\rBcc: eve@evil.example",
    "bob@customer.example\r\n\r\nbody",
    "bob@customer.example\r\n.\r\nMAIL FROM:<eve@evil.example>",
    "bob@customer.example>\r\nRCPT TO:<eve@evil.example",
    "bob@customer.example, eve@evil.example",
    "bob@customer.example;eve@evil.example",
    "Bob <bob@customer.example>",
    "\"bob\r\nBcc: eve@evil.example\"@customer.example",
    "=?utf-8?q?bob=40customer.example=0D=0ABcc=3A_eve=40evil.example?=",
    "bob@customer.example\u{2028}Bcc: eve@evil.example",
];

#[tokio::test]
async fn a_recipient_is_one_address_or_none() {
    let server = MailServer::start(Security::None).await;
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp");
    bench.set("SMTP__TO_FIELD", "email");
    let worker = bench.worker().await;
    for (index, value) in HOSTILE.iter().enumerate() {
        bench.paid(&format!("o-{index}"), &[("email", value)]).await;
    }
    let letters = bench.dead(HOSTILE.len()).await;
    for (reason, error) in &letters {
        assert_eq!(reason, "rejected");
        assert!(error.starts_with("smtp: the event's field \"email\" "), "{error}");
        assert!(!error.contains("evil") && !error.contains('\n'), "{error}");
    }
    // Whoever is always told is told all the same, and nobody else.
    bench.settled().await;
    let mails = server.received(HOSTILE.len()).await;
    assert_eq!(mails.len(), HOSTILE.len());
    for mail in &mails {
        assert_eq!(mail.0["to"], serde_json::json!(["ops@shop.example"]));
        assert!(mail.headers("Bcc").is_empty() && !mail.0.to_string().contains("evil.example"), "{mail:?}");
    }
    assert_eq!(worker.sent("smtp", "refused").await, HOSTILE.len() as f64);
}

#[tokio::test]
async fn fields_in_a_subject_and_in_a_text_stay_there() {
    let templates = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(templates.path().join(name), text).expect("a file");
    write("order.paid.subject.txt", "{{ fields.note }}");
    write("order.paid.txt", "{{ fields.note }}\n");
    write("order.paid.html", "<p>{{ fields.note }}</p><a title=\"{{ fields.note }}\">x</a>");
    let server = MailServer::start(Security::None).await;
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "log,smtp");
    bench.set("NOTIFICATIONS__TEMPLATES_DIR", templates.path().to_str().expect("a name"));
    // Tried out at start with an event that has no note.
    let (code, log) = bench.spawn().ended().await;
    assert!(code != Some(0) && log.contains("order.paid.subject.txt:1: "), "{code:?} {log}");
    for name in ["order.paid.subject.txt", "order.paid.txt", "order.paid.html"] {
        let text = std::fs::read_to_string(templates.path().join(name)).expect("a file");
        write(name, &text.replace("fields.note", "fields.note|default('-')"));
    }
    let worker = bench.worker().await;
    let notes = [
        "a\r\nBcc: eve@evil.example\r\n\r\n<b>",
        "a\nTo: eve@evil.example",
        "\r\n.\r\nQUIT\r\n",
        "\u{0}\u{1b}[31m\u{202e}\"'><script>alert(1)</script>",
        "é\r\nContent-Type: text/html",
    ];
    for note in notes {
        bench.paid("o-1", &[("note", note)]).await;
    }
    bench.settled().await;
    let mails = server.received(notes.len()).await;
    assert_eq!(mails.len(), notes.len());
    for mail in &mails {
        assert_eq!(mail.0["to"], serde_json::json!(["ops@shop.example"]));
        assert_eq!((mail.header("To").as_str(), mail.headers("Bcc").len()), ("ops@shop.example", 0));
        let subject = mail.header("Subject");
        assert!(!subject.contains(|c: char| c.is_control() || c == '\u{202e}'), "{subject:?}");
        assert!(mail.header("Content-Type").starts_with("multipart/alternative"), "{mail:?}");
        assert_eq!(mail.0["parts"].as_array().map(Vec::len), Some(2));
        let html = mail.part("text/html").expect("HTML");
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
    }
    assert_eq!(worker.sent("smtp", "sent").await, notes.len() as f64);
    // A line of the log is one line, whatever it is about.
    let log = worker.log();
    assert!(
        !log.lines().any(|line| line.starts_with("Bcc:") || line.starts_with("To:") || line == "QUIT"),
        "{log}"
    );
}
