//! Who may do what, as reviewers read it.

use tenancy::policy::{Action, Role, allows, matrix};

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
