//! Who may do what, as reviewers read it.

use tenancy::delegate::Right;
use tenancy::policy::{Action, Role, allows, matrix, right_allows};

#[test]
fn the_table_is_the_golden_one() {
    insta::assert_snapshot!(matrix());
}

#[test]
fn delivering_is_nobody_s_but_the_mail_server_s() {
    for &role in Role::ALL {
        assert_eq!(allows(role, Action::MessageDeliver), role == Role::Delivery, "{role}");
    }
}

#[test]
fn a_right_to_a_mailbox_allows_these_and_no_others() {
    let allowed = |right| {
        let all = Action::ALL.iter().copied();
        all.filter(|&action| right_allows(right, action)).map(Action::as_str).collect::<Vec<_>>()
    };
    for &right in Right::ALL {
        let expected: &[&str] = match right {
            Right::Read => &["mailboxes:read", "messages:read"],
            Right::FullAccess => &["mailboxes:read", "messages:read", "messages:write", "messages:delete"],
            Right::SendAs | Right::SendOnBehalf => &[],
        };
        assert_eq!(allowed(right), expected, "{right}");
    }
}

#[test]
fn every_role_that_says_where_events_are_sent_to_may_read_them() {
    for &role in Role::ALL.iter().filter(|&&role| allows(role, Action::WebhookWrite)) {
        for action in [Action::WebhookRead, Action::EventRead, Action::MessageRead] {
            assert!(allows(role, action), "{role} {action}");
        }
    }
}

#[test]
fn every_role_that_changes_mailboxes_and_groups_may_change_their_aliases() {
    for &role in Role::ALL {
        for action in [Action::MailboxWrite, Action::GroupWrite] {
            assert!(!allows(role, action) || allows(role, Action::AliasWrite), "{role} {action}");
        }
    }
}

#[test]
fn every_role_that_says_who_may_use_a_mailbox_may_do_there_what_it_lets_others_do() {
    for &role in Role::ALL.iter().filter(|&&role| allows(role, Action::MailboxWrite)) {
        for &action in Action::ALL {
            let is_given = Right::ALL.iter().any(|&right| right_allows(right, action));
            assert!(!is_given || allows(role, action), "{role} gives {action}");
        }
    }
}
