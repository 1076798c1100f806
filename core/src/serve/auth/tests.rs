// SPDX-License-Identifier: Apache-2.0
//! What the schemes grant, take and refuse.

use alloc::{string::ToString, vec};
use core::net::Ipv4Addr;

use super::*;
use crate::proto::perms;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

fn acl<'a>(perms: i32, scheme: &'a str, id: &'a str) -> Acl<'a> {
    Acl { perms, who: Identity { scheme: scheme.as_bytes(), id: id.as_bytes() } }
}

/// The identities of someone at [`HERE`] who proved these.
fn someone(schemes: &Schemes, proofs: &[&str]) -> Identities {
    let mut ids = Identities::of_address(HERE);
    for proof in proofs {
        schemes.authenticate(b"digest", proof.as_bytes(), HERE, &mut ids).expect("digest is on");
    }
    ids
}

#[test]
fn digest_ids_are_javas() {
    // Both from the programmer's guide of ZooKeeper.
    assert_eq!(
        digest_id(DigestAlgorithm::Sha1, b"super:test"),
        b"super:D/InIHSb7yEEbrWz8b9l71RjZJU="
    );
    assert_eq!(
        digest_id(DigestAlgorithm::Sha1, b"user:password"),
        b"user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="
    );
    assert_eq!(digest_id(DigestAlgorithm::Sha1, b"a:b:c")[..2], *b"a:");
    assert_eq!(
        digest_id(DigestAlgorithm::Sha1, b"\xff:p"),
        digest_id(DigestAlgorithm::Sha1, "\u{fffd}:p".as_bytes())
    );
}

#[test]
fn passwords_are_hashed_by_any_of_the_algorithms() {
    // From Python's hashlib.
    for (algorithm, hash) in [
        (DigestAlgorithm::Sha224, "6GVb/vhYOXU2cAmhuRkcw8i4Z9QlgKhGYZai5Q=="),
        (DigestAlgorithm::Sha256, "yRsdas04PETE7CDJcj51jDEYKh9PAjHWPZElmi6hS50="),
        (
            DigestAlgorithm::Sha384,
            "htIoC30hHolTa+/hAI2QsaAqrqOKMHUmlPlzBeIkfRWNGBi/8/dVKpuOsOWVq8qs",
        ),
        (
            DigestAlgorithm::Sha512,
            "jpg++2gII4jzID8eXmWBSuUbGt1jbK9iB9PlOOf0uNwG7O0rsNtKX7GP4vq+QM0ncsfbzxZTuyf0xv2Xbkfz\
             1Q==",
        ),
        (DigestAlgorithm::Sha512To224, "MZdBJGxu8PSnKQpp+Fo/Xs6A8MWSKppTyvOXgQ=="),
        (DigestAlgorithm::Sha512To256, "BJ4p7RfQWcJD4uSvfIaTRHf2W3T/r7vXir0nGIUZvt4="),
    ] {
        let id = digest_id(algorithm, b"user:password");
        assert_eq!(id, format!("user:{hash}").into_bytes(), "{algorithm:?}");
    }
}

#[test]
fn what_was_known_earlier_can_be_told_from_what_came_later() {
    let digest = digest_id(DigestAlgorithm::Sha1, b"super:secret").into_boxed_slice();
    let schemes = Schemes { super_digest: Some(digest), ..Schemes::default() };
    let ids = someone(&schemes, &["a:b", "super:secret"]);
    let closed = [acl(0, "world", "anyone")];
    assert_eq!(ids.len(), 4, "address, a, super, and super's digest");
    for (known, granted) in [(1, false), (2, false), (3, true), (4, true)] {
        let then = ids.first(known);
        assert_eq!(then.len(), known);
        assert_eq!(schemes.allows(closed, perms::READ, &then), granted, "{known}");
    }
}

#[test]
fn addresses_print_as_java_prints_them() {
    for (address, text) in [
        ("10.1.2.3", "10.1.2.3"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("fe80::AB:1", "fe80:0:0:0:0:0:ab:1"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
    ] {
        assert_eq!(address_text(address.parse().expect("an address")), text);
    }
}

#[test]
fn world_and_empty_acls_grant_to_all() {
    let (schemes, ids) = (Schemes::default(), Identities::of_address(HERE));
    assert!(schemes.allows([], perms::ADMIN, &ids));
    assert!(schemes.allows([Acl::OPEN], perms::ADMIN, &ids));
    assert!(schemes.allows([acl(perms::READ, "world", "anyone")], perms::READ, &ids));
    assert!(!schemes.allows([acl(perms::READ, "world", "anyone")], perms::WRITE, &ids));
    assert!(schemes.allows([acl(1, "world", "anyone")], perms::READ | perms::ADMIN, &ids));
    assert!(!schemes.allows([acl(31, "world", "nobody")], perms::READ, &ids));
    assert!(!schemes.allows([acl(31, "auth", "")], perms::READ, &ids));
}

#[test]
fn digest_grants_to_those_who_proved_it() {
    let schemes = Schemes::default();
    let owner = digest_id(DigestAlgorithm::Sha1, b"user:password");
    let owner = core::str::from_utf8(&owner).expect("it is ASCII");
    let entry = acl(31, "digest", owner);
    assert!(schemes.allows([entry], perms::READ, &someone(&schemes, &["x:y", "user:password"])));
    assert!(!schemes.allows([entry], perms::READ, &someone(&schemes, &["user:other"])));
    let off = Schemes { digest: false, ..Schemes::default() };
    assert!(!off.allows([entry], perms::READ, &someone(&schemes, &["user:password"])));
    let mut ids = Identities::of_address(HERE);
    let refused = off.authenticate(b"digest", b"user:password", HERE, &mut ids);
    assert_eq!(refused, Err(ErrorCode::AuthFailed));
}

#[test]
fn super_and_skip_acl_pass_every_check() {
    let digest = digest_id(DigestAlgorithm::Sha1, b"super:secret").into_boxed_slice();
    let schemes = Schemes { super_digest: Some(digest), ..Schemes::default() };
    let closed = [acl(0, "world", "anyone")];
    assert!(schemes.allows(closed, perms::READ, &someone(&schemes, &["super:secret"])));
    assert!(!schemes.allows(closed, perms::READ, &someone(&schemes, &["super:wrong"])));
    let skip = Schemes { skip_acl: true, ..Schemes::default() };
    assert!(skip.allows(closed, perms::READ, &Identities::default()));
}

#[test]
fn unknown_schemes_and_endless_identities_are_refused() {
    let schemes = Schemes::default();
    let mut ids = Identities::of_address(HERE);
    for scheme in [&b"world"[..], b"super", b"auth", b"sasl", b""] {
        let refused = schemes.authenticate(scheme, b"x:y", HERE, &mut ids);
        assert_eq!(refused, Err(ErrorCode::AuthFailed));
    }
    for n in 1..MAX_IDENTITIES {
        schemes
            .authenticate(b"digest", n.to_string().as_bytes(), HERE, &mut ids)
            .expect("digest is on");
    }
    let repeated = schemes.authenticate(b"digest", b"1", HERE, &mut ids);
    assert_eq!(repeated, Ok(()));
    let refused = schemes.authenticate(b"digest", b"one too many", HERE, &mut ids);
    assert_eq!(refused, Err(ErrorCode::AuthFailed));
    assert_eq!(ids.iter().count(), MAX_IDENTITIES);
}

#[test]
fn ip_matches_by_prefix() {
    let schemes = Schemes::default();
    for (address, id, granted) in [
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("10.1.2.3", "10.0.0.0/8", true),
        ("10.1.2.3", "10.1.2.0/30", true),
        ("10.1.2.4", "10.1.2.0/30", false),
        ("10.1.2.3", "0.0.0.0/0", true),
        ("10.1.2.3", "10.1.2.3/32", true),
        ("10.1.2.3", "::/0", false),
        ("::1", "::1", true),
        ("::1", "0:0:0:0:0:0:0:1", true),
        ("::1", "::/127", true),
        ("::2", "::/127", false),
        ("2001:db8::5", "2001:db8::/32", true),
        ("2001:db9::5", "2001:db8::/32", false),
        ("2001:db9::5", "2001:db8::/31", true),
    ] {
        let ids = Identities::of_address(address.parse().expect("an address"));
        let got = schemes.allows([acl(31, "ip", id)], perms::READ, &ids);
        assert_eq!(got, granted, "{address} in {id}");
    }
}

#[test]
fn stored_ids_must_be_their_schemes() {
    let schemes = Schemes::default();
    let ids = someone(&schemes, &[]);
    for (scheme, id, valid) in [
        ("world", "anyone", true),
        ("world", "someone", false),
        ("digest", "user:hash", true),
        ("digest", ":hash", true),
        ("digest", "user:hash::", true),
        ("digest", "user:", false),
        ("digest", "user", false),
        ("digest", ":", false),
        ("digest", "", false),
        ("digest", "a:b:c", false),
        ("ip", "1.2.3.4", true),
        ("ip", "+1.2.3.004/08", true),
        ("ip", "1.2.3.4/32", true),
        ("ip", "1.2.3.4/33", false),
        ("ip", "1.2.3.4/-1", false),
        ("ip", "1.2.3.4/", false),
        ("ip", "1.2.3.256", false),
        ("ip", "1.2.3", false),
        ("ip", "1.2.3.4.5", false),
        ("ip", "host", false),
        ("ip", "", false),
        ("ip", "1:2:3:4:5:6:7:8/128", true),
        ("ip", "1:2:3:4:5:6:7:8/129", false),
        ("ip", "1:2:3:4:5:6:7", false),
        ("ip", "1:2:3:4:5:6:7:8:9", false),
        ("ip", "::", true),
        ("ip", "1::", true),
        ("ip", "1:2:3:4:5:6:7::", true),
        ("ip", "1:2:3:4::5:6:7:8", false),
        ("ip", ":::", false),
        ("ip", "1::2::3", false),
        ("ip", "::12345", false),
        ("ip", "::g", false),
        ("ip", "::1.2.3.4", false),
        ("super", "", false),
        ("sasl", "user", false),
        ("", "", false),
        ("auth", "", false),
    ] {
        let asked = [acl(31, scheme, id)];
        let resolved = schemes.resolve(Some(&asked), &ids, 1_000);
        let expected = if valid { Ok(&asked[..]) } else { Err(&ErrorCode::InvalidAcl) };
        assert_eq!(resolved.as_deref(), expected, "{scheme}:{id}");
    }
}

#[test]
fn auth_becomes_everything_proved_and_duplicates_go() {
    let schemes = Schemes::default();
    let ids = someone(&schemes, &["a:1", "b:2"]);
    let (a, b) =
        (digest_id(DigestAlgorithm::Sha1, b"a:1"), digest_id(DigestAlgorithm::Sha1, b"b:2"));
    let digest = |id| Identity { scheme: b"digest", id };
    let asked =
        [acl(3, "auth", ""), acl(1, "world", "anyone"), acl(3, "auth", ""), acl(1, "auth", "x")];
    let resolved = schemes.resolve(Some(&asked), &ids, 1_000).expect("all is well");
    let expected = vec![
        Acl { perms: 3, who: digest(&a) },
        Acl { perms: 3, who: digest(&b) },
        acl(1, "world", "anyone"),
        Acl { perms: 1, who: digest(&a) },
        Acl { perms: 1, who: digest(&b) },
    ];
    assert_eq!(resolved.as_ref(), expected);
    assert_eq!(schemes.resolve(Some(&asked), &ids, 100), Err(ErrorCode::InvalidAcl));
}

#[test]
fn lists_that_say_nothing_are_refused() {
    let schemes = Schemes::default();
    let ids = someone(&schemes, &[]);
    assert_eq!(schemes.resolve(None, &ids, 1_000), Err(ErrorCode::InvalidAcl));
    assert_eq!(schemes.resolve(Some(&[]), &ids, 1_000), Err(ErrorCode::InvalidAcl));
    let mixed = [Acl::OPEN, acl(31, "nonsense", "x")];
    assert_eq!(schemes.resolve(Some(&mixed), &ids, 1_000), Err(ErrorCode::InvalidAcl));
}

#[test]
fn names_are_shown_and_hashes_are_not() {
    assert_eq!(user(acl(0, "digest", "bob:hash").who), b"bob");
    assert_eq!(user(acl(0, "ip", "1.2.3.4").who), b"1.2.3.4");
    assert_eq!(user(acl(0, "super", "").who), b"");
    assert_eq!(*masked(acl(7, "digest", "bob:hash").who), *b"bob:x");
    assert_eq!(*masked(acl(7, "digest", "bob").who), *b"bob");
    assert_eq!(*masked(acl(7, "ip", "::1").who), *b"::1");
}
