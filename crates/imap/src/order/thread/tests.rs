//! The whole of it: RFC examples, the cases of jwz, what strangers may write, and that nothing is lost.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::oracle::{self, Tree};
use super::*;
use crate::order::subject::base_subject;

/// Mails with numbers from 1 and a second between them: id, references, and subject.
fn mails(of: &[(&str, &str, &str)]) -> Vec<Mail> {
    let make = |(number, (id, references, subject)): (u32, &(&str, &str, &str))| Mail {
        number,
        sent_at: number.into(),
        subject: base_subject(subject),
        message_id: Some(*id).filter(|id| !id.is_empty()).map(super::id),
        references: references.split_whitespace().map(super::id).collect(),
    };
    (1..).zip(of).map(make).collect()
}

/// The same with other dates.
fn dated(of: &[(&str, &str, &str)], dates: &[i64]) -> Vec<Mail> {
    let mut mails = mails(of);
    for (mail, &date) in mails.iter_mut().zip(dates) {
        mail.sent_at = date;
    }
    mails
}

fn written(forest: &Forest) -> String {
    forest.to_string()
}

/// What REFERENCES makes of it, which is also what the RFC says word by word.
fn threads(mails: &[Mail]) -> String {
    let forest = references(mails);
    assert_eq!(trees(&forest), oracle::references(mails));
    written(&forest)
}

fn trees(forest: &Forest) -> Vec<Tree> {
    fn tree(forest: &Forest, at: usize) -> Tree {
        let node = &forest.nodes[at];
        Tree {
            number: node.number,
            children: node.children.iter().map(|&child| tree(forest, child)).collect(),
        }
    }
    forest.roots.iter().map(|&root| tree(forest, root)).collect()
}

/// Reads `*thread-list`, RFC 5256 §5, strictly.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, char: char) -> bool {
        let rest = self.rest.strip_prefix(char);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn lists(&mut self) -> Vec<Tree> {
        let mut lists = Vec::new();
        while self.eat('(') {
            lists.push(self.list());
            assert!(self.eat(')'), "{}", self.rest);
        }
        lists
    }

    fn nested(&mut self) -> Vec<Tree> {
        let nested = self.lists();
        assert!(nested.len() >= 2, "{}", self.rest);
        nested
    }

    fn list(&mut self) -> Tree {
        if self.rest.starts_with('(') {
            return Tree { number: None, children: self.nested() };
        }
        let number = Some(self.number());
        let children = match self.eat(' ') {
            false => Vec::new(),
            true if self.rest.starts_with('(') => self.nested(),
            true => vec![self.list()],
        };
        Tree { number, children }
    }

    fn number(&mut self) -> u32 {
        let end = self.rest.find(|char: char| !char.is_ascii_digit()).unwrap();
        let (number, rest) = self.rest.split_at(end);
        assert!(!number.starts_with('0'));
        self.rest = rest;
        number.parse().unwrap()
    }
}

fn read(text: &str) -> Vec<Tree> {
    let mut reader = Reader { rest: text };
    let lists = reader.lists();
    assert_eq!(reader.rest, "");
    lists
}

#[test]
fn threads_are_written_as_in_the_examples() {
    let example = mails(&[("", "", "a"); 96]);
    let order: Vec<_> = example.iter().enumerate().collect();
    let write = |parents: &[(usize, usize)], keep: &[u32]| {
        let mut of = vec![None; example.len()];
        for &(child, parent) in parents {
            of[child - 1] = Some(parent - 1);
        }
        let mut forest = Forest::grow(&order, &of);
        forest.roots.retain(|&root| forest.nodes[root].number.is_none_or(|number| keep.contains(&number)));
        written(&forest)
    };
    let three = [(6, 3), (4, 6), (23, 4), (44, 6), (7, 44), (96, 7)];
    assert_eq!(write(&three, &[2, 3]), "(2)(3 6 (4 23)(44 7 96))");
    // A dummy is any parent that is no mail.
    assert_eq!(write(&[(3, 200), (5, 200)], &[]), "((3)(5))");
    assert_eq!(write(&[(3, 200), (5, 200), (7, 3), (8, 5), (9, 5)], &[2]), "(2)((3 7)(5 (8)(9)))");
    assert_eq!(written(&Forest::default()), "");
}

#[test]
fn ordered_subject_has_a_thread_for_each_subject() {
    let of = [("", "", "b"), ("", "", "Re: A"), ("", "", "a"), ("", "", "B"), ("", "", ""), ("", "", "Re:")];
    assert_eq!(written(&ordered_subject(&mails(&of))), "(1 4)(2 3)(5 6)");
    // By date, and what is as old by sequence number. No child has a child.
    assert_eq!(written(&ordered_subject(&dated(&of, &[9, 5, 4, 9, 5, 4]))), "(3 2)(6 5)(1 4)");
    let same = mails(&[("", "", "a"), ("", "", "a"), ("", "", "a (fwd)"), ("", "", "[x] a")]);
    assert_eq!(written(&ordered_subject(&same)), "(1 (2)(3)(4))");
    assert_eq!(written(&ordered_subject(&[])), "");
}

#[test]
fn references_make_chains_and_branches() {
    let of = [("a", "", ""), ("b", "a", ""), ("c", "a b", ""), ("d", "a", ""), ("e", "", "")];
    assert_eq!(threads(&mails(&of)), "(1 (2 3)(4))(5)");
    // In whatever order they come.
    let of = [("c", "a b", ""), ("b", "a", ""), ("a", "", "")];
    assert_eq!(threads(&mails(&of)), "(3 2 1)");
    assert_eq!(threads(&[]), "");
    assert_eq!(threads(&mails(&[("", "", ""), ("", "", "")])), "(1)(2)");
    // Case matters.
    assert_eq!(threads(&mails(&[("a", "", ""), ("b", "A", "")])), "(1)(2)");
}

#[test]
fn siblings_are_sorted_by_date_then_by_number() {
    let of = [("a", "", ""), ("b", "a", ""), ("c", "a", ""), ("d", "a", ""), ("e", "", "")];
    assert_eq!(threads(&dated(&of, &[7, 5, 4, 5, 6])), "(5)(1 (3)(2)(4))");
    assert_eq!(threads(&dated(&of, &[0; 5])), "(1 (2)(3)(4))(5)");
    assert_eq!(threads(&dated(&of, &[i64::MIN, i64::MAX, 0, -1, 0])), "(1 (4)(3)(2))(5)");
}

#[test]
fn missing_parents_are_dummies_where_they_hold_siblings() {
    // One child takes its place, several stay together, but only at the top.
    assert_eq!(threads(&mails(&[("b", "a", "")])), "(1)");
    assert_eq!(threads(&mails(&[("b", "a", ""), ("c", "a", "")])), "((1)(2))");
    assert_eq!(threads(&mails(&[("c", "a b", ""), ("d", "a b", "")])), "((1)(2))");
    assert_eq!(threads(&mails(&[("a", "", ""), ("c", "a b", ""), ("d", "a b", "")])), "(1 (2)(3))");
    assert_eq!(threads(&mails(&[("c", "a b", ""), ("d", "a x y", ""), ("e", "a", "")])), "((1)(2)(3))");
    assert_eq!(threads(&mails(&[("z", "a b c d e f", ""), ("f", "a b c d e", "")])), "(2 1)");
    // A dummy is as old as its first child.
    let of = [("b", "a", ""), ("x", "", ""), ("c", "a", "")];
    assert_eq!(threads(&dated(&of, &[3, 2, 1])), "((3)(1))(2)");
    assert_eq!(threads(&dated(&of, &[3, 2, 2])), "(2)((3)(1))");
    // One is left without children when its child says otherwise.
    assert_eq!(threads(&mails(&[("c", "a b", ""), ("b", "x", ""), ("x", "", "")])), "(3 2 1)");
}

#[test]
fn what_a_mail_says_of_itself_counts_more() {
    // The references of d are truncated: c is no child of a.
    let of = [("a", "", ""), ("b", "a", ""), ("d", "a c", ""), ("c", "a b", "")];
    assert_eq!(threads(&mails(&of)), "(1 2 4 3)");
    // It has none.
    assert_eq!(threads(&mails(&[("c", "a b", ""), ("b", "", ""), ("a", "", "")])), "(2 1)(3)");
    // Of dummies the first to say it counts.
    let of = [("x", "a c", ""), ("y", "b c", ""), ("z", "a", ""), ("w", "b", "")];
    assert_eq!(threads(&mails(&of)), "((1)(2)(3))(4)");
}

#[test]
fn loops_are_refused() {
    assert_eq!(threads(&mails(&[("a", "b", ""), ("b", "a", "")])), "(2 1)");
    assert_eq!(threads(&mails(&[("a", "a", "")])), "(1)");
    assert_eq!(threads(&mails(&[("a", "a a", ""), ("b", "a a a", "")])), "(1 2)");
    assert_eq!(threads(&mails(&[("a", "c", ""), ("b", "a", ""), ("c", "b", "")])), "(3 1 2)");
    assert_eq!(threads(&mails(&[("x", "a b c a", ""), ("y", "c b a", "")])), "((1)(2))");
    // The old parent is gone though the new one is refused.
    let of = [("x", "p a b", ""), ("a", "b", ""), ("p", "", "")];
    assert_eq!(threads(&mails(&of)), "(2 1)(3)");
}

#[test]
fn of_mails_with_the_same_id_the_first_has_it() {
    let of = [("a", "", ""), ("a", "", ""), ("b", "a", ""), ("a", "a", "")];
    assert_eq!(threads(&mails(&of)), "(1 (3)(4))(2)");
    let of = [("b", "a", ""), ("a", "", ""), ("a", "", "")];
    assert_eq!(threads(&mails(&of)), "(2 1)(3)");
    // In the order of the numbers, not of the dates.
    assert_eq!(threads(&dated(&of, &[3, 2, 1])), "(3)(2 1)");
}

#[test]
fn subjects_bring_threads_together() {
    // A reply goes below what is none, wherever that is.
    assert_eq!(threads(&mails(&[("a", "", "x"), ("b", "", "Re: X")])), "(1 2)");
    assert_eq!(threads(&mails(&[("a", "", "Re: x"), ("b", "", "x")])), "(2 1)");
    assert_eq!(threads(&mails(&[("a", "", "x"), ("b", "", "[fwd: x]"), ("c", "", "x (fwd)")])), "(1 (2)(3))");
    assert_eq!(threads(&mails(&[("a", "", "x"), ("b", "a", "y"), ("c", "", "re: x")])), "(1 (2)(3))");
    // Two of a kind get a dummy, and those after them are put to them.
    assert_eq!(threads(&mails(&[("a", "", "x"), ("b", "", "x")])), "((1)(2))");
    assert_eq!(threads(&mails(&[("a", "", "Re: x"), ("b", "", "Re: x")])), "((1)(2))");
    let of = [("a", "", "x"), ("b", "", "x"), ("c", "", "x"), ("d", "", "Re: x")];
    assert_eq!(threads(&mails(&of)), "((1)(2)(3)(4))");
    // What was put below the first one stays there.
    let of = [("a", "", "Re: x"), ("b", "", "x"), ("c", "", "Re: x"), ("d", "", "x"), ("e", "", "Re: x")];
    assert_eq!(threads(&mails(&of)), "((2 (1)(3))(4)(5))");
    // By their base, not by what is below; and none for those without one.
    assert_eq!(threads(&mails(&[("a", "", "x"), ("b", "a", "y"), ("c", "", "y")])), "(1 2)(3)");
    assert_eq!(threads(&mails(&[("a", "", ""), ("b", "", "Re:"), ("c", "", "(fwd)")])), "(1)(2)(3)");
}

#[test]
fn subjects_bring_dummies_together() {
    // Both are dummies.
    let of = [("a", "p", "x"), ("b", "p", "y"), ("c", "q", "Re: x"), ("d", "q", "z")];
    assert_eq!(threads(&mails(&of)), "((1)(2)(3)(4))");
    // One is, whichever comes first; it does not matter what is a reply.
    let of = [("a", "p", "x"), ("b", "p", "y"), ("c", "", "x"), ("d", "", "Re: x")];
    assert_eq!(threads(&mails(&of)), "((1)(2)(3)(4))");
    assert_eq!(threads(&dated(&of, &[3, 4, 1, 2])), "((3)(4)(1)(2))");
    // Its subject is that of its oldest child.
    let of = [("a", "p", "y"), ("b", "p", "x"), ("c", "", "x"), ("d", "", "y")];
    assert_eq!(threads(&dated(&of, &[2, 1, 3, 4])), "((2)(1)(3))(4)");
    let of = [("a", "p", ""), ("b", "p", "x"), ("c", "", "x")];
    assert_eq!(threads(&mails(&of)), "((1)(2))(3)");
    // Three of them, with mails between.
    let of = [
        ("a", "p", "x"),
        ("b", "p", ""),
        ("c", "", "x"),
        ("d", "q", "x"),
        ("e", "q", ""),
        ("f", "r", "x"),
        ("g", "r", ""),
    ];
    assert_eq!(threads(&mails(&of)), "((1)(2)(3)(4)(5)(6)(7))");
    // They grow older by it: the one that is merged into goes before what is between.
    let of = [("a", "", "x"), ("b", "", "z"), ("c", "p", "x"), ("d", "p", "")];
    assert_eq!(threads(&mails(&of)), "((1)(3)(4))(2)");
}

/// A mail that has its number as its id.
fn numbered(number: usize, references: impl Iterator<Item = usize>) -> Mail {
    Mail {
        number: u32::try_from(number).unwrap(),
        message_id: Some(super::id(&number.to_string())),
        references: references.map(|number| super::id(&number.to_string())).collect(),
        ..Mail::default()
    }
}

/// Threads quickly, and writes them.
fn quickly(what: &str, mails: &[Mail]) -> String {
    let start = Instant::now();
    let threads = written(&references(mails));
    let subjects = written(&ordered_subject(mails));
    let took = start.elapsed();
    eprintln!("{what}: {took:?}");
    assert!(took < Duration::from_secs(30), "{what}: {took:?}");
    for written in [&threads, &subjects] {
        assert_eq!(
            written.split(|char: char| !char.is_ascii_digit()).filter(|n| !n.is_empty()).count(),
            mails.len()
        );
    }
    threads
}

#[test]
fn long_chains_take_no_long_time() {
    const MANY: usize = 200_000;
    let chain: Vec<_> = (1..=MANY).map(|n| numbered(n, (n - 1..n).filter(|&n| n > 0))).collect();
    let names: Vec<_> = (1..=MANY).map(|n| n.to_string()).collect();
    let expected = format!("({})", names.join(" "));
    assert!(quickly("in order", &chain) == expected);
    let backwards: Vec<_> = chain.iter().rev().cloned().collect();
    assert!(quickly("backwards", &backwards) == expected);
    // From both ends, and every other one.
    let halves = chain.chunks(MANY / 2).map(|half| half.iter().rev());
    let halves: Vec<_> = halves.flatten().cloned().collect();
    assert!(quickly("halves", &halves) == expected);
    let others: Vec<_> = [0, 1].iter().flat_map(|&at| chain.iter().skip(at).step_by(2)).cloned().collect();
    assert!(quickly("every other one", &others) == expected);
    // All in one field, of which none is there but the last.
    let one = [numbered(MANY, 1..MANY), numbered(MANY + 1, 1..MANY), numbered(MANY + 2, MANY - 1..MANY)];
    assert_eq!(quickly("dummies", &one), "((200000)(200001)(200002))");
}

#[test]
fn moved_chains_take_no_long_time() {
    const MANY: usize = 60_000;
    // One mail makes a chain of all, another one a second chain; then each mail of the first one, from its beginning,
    // goes with all below it to the end of the second.
    let mut moved = vec![numbered(3 * MANY, 1..=MANY), numbered(3 * MANY + 1, MANY + 1..=2 * MANY)];
    moved.extend((1..=MANY).map(|n| numbered(n, std::iter::once(2 * MANY - n % 7))));
    quickly("moved", &moved);
    // To link each of many small trees to the end of a long chain.
    let mut linked = vec![numbered(5 * MANY, 1..=MANY)];
    linked.extend((1..=MANY).map(|n| numbered(MANY + n, std::iter::once(2 * MANY + n))));
    linked.extend((1..=MANY).map(|n| numbered(3 * MANY + n, [MANY, 2 * MANY + n].into_iter())));
    quickly("linked", &linked);
    // Each would close a loop.
    let mut loops = vec![numbered(2 * MANY, 1..=MANY)];
    loops.extend((1..MANY).map(|n| numbered(n, std::iter::once(MANY))));
    quickly("loops", &loops);
}

#[test]
fn many_siblings_take_no_long_time() {
    const MANY: usize = 200_000;
    let of =
        |n: usize, subject: &str| Mail { subject: base_subject(subject), ..numbered(n, std::iter::empty()) };
    let same: Vec<_> = (1..=MANY).map(|n| of(n, "x")).collect();
    assert!(quickly("one subject", &same).starts_with("((1)(2)(3)"));
    let other: Vec<_> = (1..=MANY).map(|n| of(n, &format!("Re: {}", n / 2))).collect();
    quickly("many subjects", &other);
    let dummies = (1..=MANY).map(|n| Mail {
        references: vec![super::id(&format!("p{}", n / 2))],
        ..of(n, if n % 2 == 0 { "x" } else { "y" })
    });
    quickly("dummies of one subject", &dummies.collect::<Vec<_>>());
}

fn any_mails() -> impl Strategy<Value = Vec<Mail>> {
    let id =
        || prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).prop_map(super::id);
    let subject =
        prop::sample::select(vec!["", "Re:", "x", "X", "Re: x", "x (fwd)", "y", "Fw: y", "[fwd: z]", "z"]);
    let references = proptest::collection::vec(id(), 0..5);
    let mail = (0..4_i64, subject, proptest::option::weighted(0.9, id()), references);
    let make = |(number, (sent_at, subject, message_id, references))| {
        let subject = base_subject(subject);
        Mail { number, sent_at, subject, message_id, references }
    };
    proptest::collection::vec(mail, 0..14).prop_map(move |mails| (1..).zip(mails).map(make).collect())
}

fn uids(trees: &[Tree]) -> Vec<u32> {
    trees.iter().flat_map(|tree| tree.number.into_iter().chain(uids(&tree.children))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(3_000)))]

    #[test]
    fn references_are_as_the_rfc_says_word_by_word(mails in any_mails()) {
        prop_assert_eq!(trees(&references(&mails)), oracle::references(&mails));
    }

    #[test]
    fn each_mail_is_there_once_and_what_is_written_is_what_it_is(mails in any_mails()) {
        for forest in [references(&mails), ordered_subject(&mails)] {
            let trees = trees(&forest);
            prop_assert_eq!(&read(&written(&forest)), &trees);
            let mut uids = uids(&trees);
            uids.sort_unstable();
            prop_assert!(uids.into_iter().eq(mails.iter().map(|mail| mail.number)));
            prop_assert!(trees.iter().all(|tree| tree.number.is_some() || tree.children.len() > 1));
        }
    }

    #[test]
    fn no_thread_by_subject_has_grandchildren(mails in any_mails()) {
        let trees = trees(&ordered_subject(&mails));
        prop_assert!(trees.iter().all(|tree| tree.number.is_some()));
        prop_assert!(trees.iter().flat_map(|tree| &tree.children).all(|child| child.children.is_empty()));
    }
}
