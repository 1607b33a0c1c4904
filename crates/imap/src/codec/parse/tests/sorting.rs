//! SORT and THREAD.

use super::{read, told};
use crate::codec::command::{
    Command, FlagName, SearchGive, SearchKey, Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm,
};

fn sort(line: &str) -> Sort {
    match read(line) {
        Command::Sort(sort) => sort,
        other => panic!("{other:?}"),
    }
}

fn thread(line: &str) -> Thread {
    match read(line) {
        Command::Thread(thread) => thread,
        other => panic!("{other:?}"),
    }
}

fn by(key: SortKey) -> SortCriterion {
    SortCriterion { is_reverse: false, key }
}

fn reverse(key: SortKey) -> SortCriterion {
    SortCriterion { is_reverse: true, key }
}

fn deleted() -> SearchKey {
    SearchKey::Flag(FlagName::System("DELETED".into()))
}

#[test]
fn sorting() {
    use SortKey::{Arrival, Cc, Date, DisplayFrom, DisplayTo, From, Size, Subject, To};
    for (criteria, read) in [
        ("(DATE)", vec![by(Date)]),
        ("( arrival  cc )", vec![by(Arrival), by(Cc)]),
        ("(SUBJECT REVERSE DATE)", vec![by(Subject), reverse(Date)]),
        ("(reverse  from REVERSE TO SIZE)", vec![reverse(From), reverse(To), by(Size)]),
        ("(DISPLAYFROM REVERSE DISPLAYTO)", vec![by(DisplayFrom), reverse(DisplayTo)]),
        ("(DATE DATE)", vec![by(Date), by(Date)]),
    ] {
        let sort = sort(&format!("SORT {criteria} utf-8 ALL"));
        let expected =
            Sort { by_uid: false, give: None, criteria: read, charset: "UTF-8".into(), key: SearchKey::All };
        assert_eq!(sort, expected, "{criteria}");
    }
    let read_by_uid = sort("UID SORT  (DATE)  \"US-ASCII\"  UNDELETED  (ALL) ");
    assert!(read_by_uid.by_uid);
    assert_eq!(read_by_uid.charset, "US-ASCII");
    assert_eq!(read_by_uid.key, SearchKey::And(vec![SearchKey::Not(Box::new(deleted())), SearchKey::All]));
    assert_eq!(read("UID SORT (DATE) UTF-8 ALL").name(), "SORT");
    assert_eq!(
        sort("SORT (DATE) UTF-8 SUBJECT {6}\r\nzwölf").key,
        SearchKey::Header("SUBJECT".into(), "zwölf".into())
    );
}

#[test]
fn options() {
    let given = |line| sort(line).give;
    let none = SearchGive::default();
    assert_eq!(
        given("UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED"),
        Some(SearchGive { all: true, ..none })
    );
    assert_eq!(
        given("SORT return (MIN max COUNT) (DATE) UTF-8 ALL"),
        Some(SearchGive { min: true, max: true, count: true, ..none })
    );
    assert_eq!(given("SORT RETURN (SAVE) (DATE) UTF-8 ALL"), Some(SearchGive { save: true, ..none }));
    assert_eq!(given("SORT (DATE) UTF-8 ALL"), None);
}

#[test]
fn what_cannot_be_sorted() {
    for (line, expected) in [
        ("SORT", "a list of sort criteria"),
        ("SORT DATE UTF-8 ALL", "a list of sort criteria"),
        ("SORT () UTF-8 ALL", "a list of sort criteria"),
        ("SORT RETURN (ALL)", "a list of sort criteria"),
        ("SORT RETURN (ALL) UTF-8 ALL", "a list of sort criteria"),
        ("SORT RETURN (PARTIAL 1:2) (DATE) UTF-8 ALL", "a return option: MIN, MAX, ALL, COUNT or SAVE"),
        ("SORT RETURN (UPDATE) (DATE) UTF-8 ALL", "a return option: MIN, MAX, ALL, COUNT or SAVE"),
        ("SORT (FOO) UTF-8 ALL", "a sort key"),
        ("SORT (REVERSE) UTF-8 ALL", "a sort key"),
        ("SORT (REVERSE REVERSE DATE) UTF-8 ALL", "a sort key"),
        ("SORT (DATE,FROM) UTF-8 ALL", "a sort key"),
        ("SORT (DATE", "a space or a closing parenthesis"),
        ("SORT (DATE)", "a charset"),
        ("SORT (DATE) (ALL)", "a charset"),
        ("SORT (DATE) UTF-8", "a search key"),
        ("SORT (DATE) ALL", "a search key"),
        ("SORT (DATE) CHARSET UTF-8 ALL", "a search key"),
        ("SORT (DATE)UTF-8 ALL", "a charset"),
    ] {
        assert_eq!(told(line), format!("SORT: expected {expected}"), "{line}");
        assert_eq!(told(&format!("UID {line}")), format!("UID SORT: expected {expected}"), "{line}");
    }
}

#[test]
fn criteria_are_bounded() {
    let criteria = |count: usize| format!("SORT ({}) UTF-8 ALL", " REVERSE DATE".repeat(count));
    assert_eq!(sort(&criteria(16)).criteria.len(), 16);
    assert_eq!(told(&criteria(17)), "too many sort criteria");
    assert_eq!(told(&criteria(1_000)), "too many sort criteria");
    // So are keys, as those of SEARCH.
    let keys = |count: usize| format!("THREAD REFERENCES UTF-8{}", " SEEN".repeat(count));
    thread(&keys(1_000));
    assert_eq!(told(&keys(1_001)), "too many search keys");
    let nested = |depth: usize| format!("SORT (DATE) UTF-8 {}ALL{}", "(".repeat(depth), ")".repeat(depth));
    sort(&nested(32));
    assert_eq!(told(&nested(33)), "nested too deeply");
}

#[test]
fn threading() {
    let plain = Thread {
        by_uid: false,
        algorithm: ThreadAlgorithm::References,
        charset: "UTF-8".into(),
        key: SearchKey::All,
    };
    assert_eq!(thread("THREAD REFERENCES utf-8 ALL"), plain);
    assert_eq!(thread("UID THREAD references UTF-8 ALL"), Thread { by_uid: true, ..plain.clone() });
    assert_eq!(
        thread("thread  OrderedSubject  \"us-ascii\"  ALL  DELETED "),
        Thread {
            algorithm: ThreadAlgorithm::OrderedSubject,
            charset: "US-ASCII".into(),
            key: SearchKey::And(vec![SearchKey::All, deleted()]),
            ..plain
        }
    );
    assert_eq!(read("UID THREAD REFERENCES UTF-8 ALL").name(), "THREAD");
    for (line, expected) in [
        ("THREAD", "ORDEREDSUBJECT or REFERENCES"),
        ("THREAD REFS UTF-8 ALL", "ORDEREDSUBJECT or REFERENCES"),
        ("THREAD \"REFERENCES\" UTF-8 ALL", "ORDEREDSUBJECT or REFERENCES"),
        ("THREAD RETURN (COUNT) REFERENCES UTF-8 ALL", "ORDEREDSUBJECT or REFERENCES"),
        ("THREAD REFERENCES", "a charset"),
        ("THREAD REFERENCES UTF-8", "a search key"),
        ("THREAD REFERENCES UTF-8 FOO", "a search key"),
    ] {
        assert_eq!(told(line), format!("THREAD: expected {expected}"), "{line}");
        assert_eq!(told(&format!("UID {line}")), format!("UID THREAD: expected {expected}"), "{line}");
    }
}
