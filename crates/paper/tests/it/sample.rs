//! Documents to set.

use paper::{
    Accent, Account, Address, Bank, Branding, Category, Corrected, Decimal, Document, Entry, Kind, Line,
    Movement, Party, Period, Rate, Statement, TaxGroup, Totals,
};

fn date(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn january() -> Period {
    Period { from: date("2026-01-01"), until: date("2026-02-01") }
}

/// A line of one piece at its net amount, taxed at 19 %.
pub(crate) fn line(description: &str, net: i64) -> Line {
    Line {
        description: description.to_owned(),
        period: Some(january()),
        quantity: Decimal::from(1),
        unit_price: None,
        net,
        tax: Rate { category: Category::Standard, percent: "19".parse().unwrap() },
    }
}

/// An invoice over some lines at one rate, with the sums that follow from them.
pub(crate) fn invoice(currency: &str, lines: Vec<Line>) -> Document {
    let rate = lines[0].tax;
    let net: i64 = lines.iter().map(|line| line.net).sum();
    let tax = if rate.category == Category::Standard { (net * 19 + 50).div_euclid(100) } else { 0 };
    Document {
        kind: Kind::Invoice,
        number: some("PB-2026-000042"),
        is_void: false,
        issued_on: date("2026-02-01"),
        due_on: Some(date("2026-02-15")),
        period: Some(january()),
        currency: currency.parse().unwrap(),
        issuer: issuer(),
        customer: customer(),
        branding: Branding {
            product: "Pillarbox Mail".to_owned(),
            accent: Accent::default(),
            logo: None,
            support: some("billing@pillarbox.example"),
        },
        bank: Some(Bank { iban: "DE75512108001245126199".to_owned(), bic: some("SOLADEST600") }),
        lines,
        taxes: vec![TaxGroup { rate, taxable: net, tax, reason: None }],
        totals: Totals { net, tax, gross: net + tax },
        payment_terms: some("Payable within 14 days without deduction."),
        customer_reference: some("PO 4711"),
        notes: vec!["Thank you for your business.".to_owned()],
        corrects: vec![],
    }
}

fn issuer() -> Party {
    Party {
        name: "Beispiel Hosting GmbH".to_owned(),
        address: Address {
            street: some("Lindenallee 12"),
            postal_code: some("10115"),
            city: some("Berlin"),
            country: some("DE"),
            ..Address::default()
        },
        vat_id: some("DE123456789"),
        registration: some("HRB 12345 B"),
        email: some("billing@beispiel.example"),
        phone: some("+49 30 1234567"),
        web: some("beispiel.example"),
    }
}

fn customer() -> Party {
    Party {
        name: "Bäckerei Sonnenschein KG".to_owned(),
        address: Address {
            street: some("Marktplatz 3"),
            extra: some("Hinterhaus"),
            postal_code: some("80331"),
            city: some("München"),
            country: some("DE"),
            ..Address::default()
        },
        vat_id: some("DE987654321"),
        ..Party::default()
    }
}

/// A line at each of some prices, enough of them for several pages.
pub(crate) fn many(count: i64) -> Vec<Line> {
    (1..=count)
        .map(|n| Line {
            quantity: Decimal::from(n),
            unit_price: Some("4.50".parse().unwrap()),
            ..line(&format!("Mailbox, plan Business, group {n}"), n * 450)
        })
        .collect()
}

/// A credit note for an invoice, with every amount turned.
pub(crate) fn credit_note() -> Document {
    let mut document = invoice("EUR", many(2));
    document.kind = Kind::CreditNote;
    document.due_on = None;
    document.payment_terms = Some("Set off against what is due.".to_owned());
    document.corrects =
        vec![Corrected { number: "PB-2026-000041".to_owned(), issued_on: date("2026-01-31") }];
    for line in &mut document.lines {
        (line.net, line.quantity) = (-line.net, format!("-{}", line.quantity).parse().unwrap());
    }
    for group in &mut document.taxes {
        (group.taxable, group.tax) = (-group.taxable, -group.tax);
    }
    let totals = &mut document.totals;
    (totals.net, totals.tax, totals.gross) = (-totals.net, -totals.tax, -totals.gross);
    document
}

/// An invoice that was taken back, with a line of a discount.
pub(crate) fn voided() -> Document {
    let mut lines = many(2);
    lines.push(Line { quantity: Decimal::ZERO, ..line("discount: A voucher", -100) });
    Document { is_void: true, ..invoice("EUR", lines) }
}

/// An invoice to another member state, on which the customer accounts for the tax.
pub(crate) fn reverse_charge() -> Document {
    let mut lines = many(3);
    let rate = Rate { category: Category::ReverseCharge, percent: Decimal::ZERO };
    lines.iter_mut().for_each(|line| line.tax = rate);
    let mut document = invoice("EUR", lines);
    document.customer.address.country = some("FR");
    document.customer.vat_id = some("FR12345678901");
    document.taxes[0].reason = some("Reverse charge");
    document
}

/// An invoice in yen to a customer in Japan.
pub(crate) fn japanese() -> Document {
    let mut document =
        invoice("JPY", vec![line("メールボックス ビジネスプラン", 128_000), line("追加容量 直角", 5000)]);
    document.customer.name = "株式会社ひまわり商店".to_owned();
    document.customer.address.street = some("千代田区丸の内一丁目2番3号");
    document.customer.address.city = some("東京都");
    document.customer.address.country = some("JP");
    document
}

/// An invoice in dinars to a customer whose name is Arabic.
pub(crate) fn arabic() -> Document {
    let mut document = invoice("KWD", vec![line("صندوق بريد، خطة الأعمال (100 GB)", 1_234_567)]);
    document.customer.name = "شركة النخيل للتجارة".to_owned();
    document.customer.address.street = some("شارع فهد السالم 12");
    document.customer.address.city = some("الكويت");
    document.customer.address.country = some("KW");
    document
}

/// A statement of so many invoices and their payments in January, the last of them unpaid, over what was owed before.
pub(crate) fn statement(invoices: u32) -> Statement {
    let document = invoice("EUR", vec![line("Mailbox", 450)]);
    let (mut entries, mut balance) = (Vec::new(), 12_345);
    for n in 0..invoices {
        let on = date("2026-01-01") + chrono::Days::new((n * 30 / invoices).into());
        let reference = Some(format!("INV-{n:06}"));
        balance += 123_450;
        let due_on = Some(on + chrono::Days::new(14));
        let (debit, credit) = (123_450, 0);
        let movement = Movement::Invoice;
        entries.push(Entry { on, movement, reference: reference.clone(), due_on, debit, credit, balance });
        if n + 1 < invoices {
            balance -= 123_450;
            let (debit, credit, due_on) = (0, 123_450, None);
            entries.push(Entry {
                on,
                movement: Movement::Payment,
                reference,
                due_on,
                debit,
                credit,
                balance,
            });
        }
    }
    let account = Account {
        currency: document.currency,
        opening: 12_345,
        entries,
        closing: balance,
        ages: [123_450, 0, 12_345, 0, 0],
        credit: 0,
    };
    Statement {
        issuer: document.issuer,
        customer: document.customer,
        branding: document.branding,
        bank: document.bank,
        period: january(),
        accounts: vec![account],
    }
}
