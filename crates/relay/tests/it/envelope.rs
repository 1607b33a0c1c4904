//! Parameters, and messages that a smarthost cannot have.

use relay::{Envelope, Notify, Outcome, Recipient, Ret};

use crate::support::{MESSAGE, USUAL, envelope, pair, recipients, shown};

#[tokio::test]
async fn parameters_go_where_they_are_offered() {
    let wishes = [
        Recipient {
            address: "b@c.example",
            notify: Some(Notify::SUCCESS | Notify::FAILURE),
            orcpt: Some("rfc822;b+2Bx@c.example"),
        },
        Recipient { address: "\"d >\"@c.example", notify: Some(Notify::NEVER), orcpt: None },
    ];
    let wished = Envelope { envelope_id: Some("id=1"), ret: Some(Ret::Headers), ..envelope(&wishes) };
    let (host, relay) = pair().await;
    let got = relay.send(&Envelope { is_8bit: true, is_utf8: true, ..wished }, MESSAGE).await.unwrap();
    assert!(got.iter().all(|outcome| matches!(outcome, Outcome::Accepted { takes_dsn: true, .. })));
    let received = host.received().remove(0);
    assert_eq!(
        received.sender.parameters,
        ["SIZE=29", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=id+3D1"]
    );
    assert_eq!(received.recipients[0].parameters, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;b+2Bx@c.example"]);
    assert_eq!(received.recipients[1].parameters, ["NOTIFY=NEVER"]);

    let (host, relay) = pair().await;
    host.offer(&[]);
    let got = relay.send(&wished, MESSAGE).await.unwrap();
    assert!(got.iter().all(|outcome| matches!(outcome, Outcome::Accepted { takes_dsn: false, .. })));
    let received = host.received().remove(0);
    assert!(received.sender.parameters.is_empty());
    assert!(received.recipients.iter().all(|path| path.parameters.is_empty()));
    assert_eq!(host.pipelined(), 0);
}

#[tokio::test]
async fn the_null_path_and_utf8_are_written_as_they_are() {
    let (host, relay) = pair().await;
    let list = recipients(&["grün@exämple.example"]);
    let bounce = Envelope { sender: "", is_utf8: true, ..envelope(&list) };
    relay.send(&bounce, MESSAGE).await.unwrap();
    let received = host.received().remove(0);
    assert_eq!(received.sender.address, "");
    assert_eq!(received.recipients[0].address, "grün@exämple.example");
}

#[tokio::test]
async fn what_the_host_cannot_have_is_not_sent() {
    let list = recipients(&["b@c.example", "d@c.example"]);
    let plain = envelope(&list);
    for (offered, envelope, shows) in [
        ("SIZE 28", plain, "-552 5.3.4 the message is larger than the smarthost takes"),
        ("DSN", Envelope { is_8bit: true, ..plain }, "-554 5.6.3 the smarthost takes no 8-bit messages"),
        (
            "DSN",
            Envelope { is_utf8: true, ..plain },
            "-550 5.6.7 the smarthost takes no internationalized messages",
        ),
    ] {
        let (host, relay) = pair().await;
        host.offer(&[offered]);
        let got = relay.send(&envelope, MESSAGE).await.unwrap();
        assert_eq!(shown(&got), [shows, shows]);
        assert_eq!(host.heard(), ["EHLO mx.pillarbox.example"]);
        // The connection is as good as new.
        host.offer(&USUAL);
        relay.send(&plain, b"x\r\n").await.unwrap();
        assert_eq!((host.connections(), host.received().len()), (1, 1));
        assert!(!host.heard().contains(&"RSET".to_owned()));
    }
    for exact in ["SIZE 29", "SIZE 0", "SIZE"] {
        let (host, relay) = pair().await;
        host.offer(&[exact]);
        assert_eq!(shown(&relay.send(&plain, MESSAGE).await.unwrap())[0], "+250 2.0.0 queued", "{exact}");
    }
}

#[tokio::test]
async fn odd_lines_of_ehlo_are_passed_over() {
    let list = recipients(&["b@c.example"]);
    for odd in [
        "AUTH=LOGIN PLAIN",
        "AUTH",
        "X-ANONYMOUSTLS",
        "XCLIENT NAME ADDR PROTO",
        "LIMITS RCPTMAX=100 MAILMAX=50",
        "8BITMIME ",
        "SIZE many",
        "SIZE 99999999999999999999999999",
        "SIZE 1000 2000",
        "FUTURERELEASE 604800 soon",
        "DELIVERBY x",
        "MT-PRIORITY WHAT",
        "Grüße",
        "",
    ] {
        let (host, relay) = pair().await;
        host.offer(&["PIPELINING", odd, "DSN"]);
        let got = relay.send(&envelope(&list), MESSAGE).await;
        assert!(matches!(got.as_deref(), Ok([Outcome::Accepted { takes_dsn: true, .. }])), "{odd}: {got:?}");
    }
}
