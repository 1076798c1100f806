// SPDX-License-Identifier: Apache-2.0
//! Who is served, and by which identities a request is judged.

use super::*;
use crate::{config::DigestAlgorithm, proto::SetWatches, serve::auth::digest_id};

const PROOF: &str = "bob:secret";

fn bob() -> Vec<u8> {
    digest_id(DigestAlgorithm::Sha1, PROOF.as_bytes())
}

#[test]
fn a_read_that_waits_is_judged_by_what_was_proved_before_it() {
    let mut bench = Bench::new("");
    let owner = bench.client();
    bench.prove(owner, PROOF);
    let made = bench.ask(owner, 1, &create("/secret", &[only_for(&bob())]));
    assert_eq!(codes(&made), [(1, 0)]);

    let link = bench.client();
    bench.disk_stands = true;
    bench.request(link, 1, &create("/open", &[Acl::OPEN]));
    bench.request(link, 2, &data("/secret"));
    bench.request(link, 3, &Request::Sync { path: b"/" });
    bench.request(link, 4, &Request::WhoAmI);
    assert_eq!(codes(&bench.prove(link, PROOF)), [(XID_AUTH, 0)]);
    bench.request(link, 5, &data("/secret"));
    bench.disk_goes_on();
    let replies = bench.replies(link);
    assert_eq!(codes(&replies), [(1, 0), (2, -102), (3, 0), (4, 0), (5, 0)]);
    assert_eq!(replies[3].2[..4], 1i32.to_be_bytes(), "only its address was known");
}

#[test]
fn whoever_must_authenticate_first_is_told_so_and_hung_up() {
    let lines = "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n";
    let path = &b"/"[..];
    for request in [
        create("/a", &[Acl::OPEN]),
        Request::Exists { path, watch: false },
        Request::Ping,
        Request::CloseSession,
        Request::SetWatches(SetWatches::default()),
    ] {
        let mut bench = Bench::new(lines);
        let link = bench.client();
        assert_eq!(codes(&bench.ask(link, 7, &request)), [(7, -124)], "{request:?}");
        assert!(bench.hung_up.contains(&link), "{request:?}");
        assert_eq!(bench.word(b"srvr").matches("Node count: 5\n").count(), 1);
    }
    let mut bench = Bench::new(lines);
    let link = bench.client();
    assert_eq!(codes(&bench.prove(link, PROOF)), [(XID_AUTH, 0)]);
    assert_eq!(codes(&bench.ask(link, 1, &create("/a", &[Acl::OPEN]))), [(1, 0)]);
    assert_eq!(bench.hung_up.len(), 0);
}

#[test]
fn an_address_is_an_identity_and_sasl_is_none_yet() {
    let mut bench = Bench::new("enforce.auth.enabled=true\nenforce.auth.schemes=ip\n");
    let link = bench.client();
    assert_eq!(codes(&bench.ask(link, 1, &data("/"))), [(1, 0)]);

    let mut bench = Bench::new("sessionRequireClientSASLAuth=true\n");
    let link = bench.client();
    assert_eq!(codes(&bench.prove(link, PROOF)), [(XID_AUTH, 0)]);
    assert_eq!(codes(&bench.ask(link, 1, &data("/"))), [(1, -124)]);
    let link = bench.client();
    assert_eq!(codes(&bench.ask(link, 1, &Request::Sasl { token: b"" })), [(1, -6)]);
}

#[test]
fn a_returning_client_is_told_only_of_what_it_may_read() {
    let mut bench = Bench::new("");
    let owner = bench.client();
    bench.prove(owner, PROOF);
    for (xid, path) in [(1, "/secret"), (2, "/secret/child")] {
        bench.ask(owner, xid, &create(path, &[only_for(&bob())]));
    }
    let watches = || {
        Request::SetWatches(SetWatches {
            relative_zxid: 0,
            data: [&b"/secret"[..], b"/gone"].into(),
            exist: [&b"/secret/child"[..]].into(),
            child: [&b"/secret"[..]].into(),
            ..SetWatches::default()
        })
    };
    let stranger = bench.client();
    let told = bench.ask(stranger, -8, &watches());
    assert_eq!(codes(&told), [(XID_NOTIFICATION, 0), (-8, 0)], "/gone is gone for all");
    let friend = bench.client();
    bench.prove(friend, PROOF);
    assert_eq!(bench.ask(friend, -8, &watches()).len(), 5);
}

#[test]
fn who_may_not_read_hears_no_event() {
    let mut bench = Bench::new("");
    let owner = bench.client();
    bench.prove(owner, PROOF);
    bench.ask(owner, 1, &create("/secret", &[only_for(&bob())]));
    let (stranger, friend) = (bench.client(), bench.client());
    bench.prove(friend, PROOF);
    for link in [stranger, friend] {
        let watch = Request::AddWatch { path: b"/secret", mode: 0 };
        assert_eq!(codes(&bench.ask(link, 1, &watch)), [(1, 0)], "anybody may ask");
    }
    let set = Request::SetData { path: b"/secret", data: None, version: -1 };
    bench.ask(owner, 2, &set);
    assert_eq!(codes(&bench.replies(friend)), [(XID_NOTIFICATION, 0)]);
    assert_eq!(bench.replies(stranger), []);
}

#[test]
fn super_is_whoever_proves_the_super_digest_and_nobody_else() {
    // superUser names identities of SASL and X.509 only: a digest of that name is none.
    let mut bench = Bench::new(
        "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n\
         superUser=bob\nX509AuthenticationProvider.superUser=bob\n",
    );
    let owner = bench.client();
    bench.prove(owner, "alice:hers");
    let alice = digest_id(DigestAlgorithm::Sha1, b"alice:hers");
    bench.ask(owner, 1, &create("/hers", &[only_for(&alice)]));
    for (proof, code) in [(PROOF, -102), ("super:guess", -102), ("super:test", 0)] {
        let link = bench.client();
        bench.prove(link, proof);
        assert_eq!(codes(&bench.ask(link, 1, &data("/hers"))), [(1, code)], "{proof}");
        let set = Request::SetData { path: b"/hers", data: None, version: -1 };
        assert_eq!(codes(&bench.ask(link, 2, &set)), [(2, code)], "{proof}");
    }
}

#[test]
fn an_address_is_the_connection_s_own() {
    let mut bench = Bench::new("IPAuthenticationProvider.usexforwardedfor=true\n");
    let link = bench.dial([10, 0, 0, 7]);
    bench.greet(link, SessionId::NONE, &[0; 16]);
    // The header is one of HTTP: what a client says of its address here counts for nothing.
    let auth = Request::Auth { kind: 0, scheme: b"ip", auth: b"X-Forwarded-For: 10.0.0.8" };
    assert_eq!(codes(&bench.ask(link, XID_AUTH, &auth)), [(XID_AUTH, 0)]);
    let who = &bench.ask(link, 1, &Request::WhoAmI)[0].2;
    assert_eq!(who[..4], 1i32.to_be_bytes());
    assert!(who.ends_with(b"10.0.0.7"));
    for (host, code) in [("10.0.0.7", 0), ("10.0.0.8", -102)] {
        let who = Identity { scheme: b"ip", id: host.as_bytes() };
        let path = format!("/{host}");
        bench.ask(link, 2, &create(&path, &[Acl { perms: perms::ALL, who }]));
        assert_eq!(codes(&bench.ask(link, 3, &data(&path))), [(3, code)], "{host}");
    }
}

#[test]
fn a_client_that_means_another_ensemble_is_sent_on_without_a_word() {
    let provider =
        "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n";
    let named = format!("{provider}ensembleAuthName=east, west\n");
    let (right, wrong, refused) = (Some(0), None, Some(-115));
    for (lines, name, answer) in [
        (named.as_str(), "east", right),
        (&named, "west", right),
        (&named, "", right),
        (&named, "north", wrong),
        (&named, "east, west", wrong),
        (provider, "north", right),
        ("ensembleAuthName=east\n", "east", refused),
    ] {
        let mut bench = Bench::new(lines);
        let link = bench.client();
        let auth = Request::Auth { kind: 0, scheme: b"ensemble", auth: name.as_bytes() };
        let told = codes(&bench.ask(link, XID_AUTH, &auth));
        assert_eq!(told, answer.map(|err| (XID_AUTH, err)).into_iter().collect::<Vec<_>>());
        assert_eq!(bench.hung_up.contains(&link), answer != right, "{name:?} under {lines}");
        if answer == right {
            let who = &bench.ask(link, 1, &Request::WhoAmI)[0].2;
            assert_eq!(who[..4], 1i32.to_be_bytes(), "it is no identity");
        }
    }
}

#[test]
fn passwords_are_hashed_as_configured() {
    for (name, hash) in [
        ("SHA1", "fyVmFCwVbTJYrznoSu1koqYEYF0="),
        ("sha-256", "huAluaVu3uER4LIpielGv9Qqk5x3YVDr6I2R/mXf2wE="),
    ] {
        let mut bench = Bench::new(&format!("DigestAuthenticationProvider.digestAlg={name}\n"));
        let id = format!("bob:{hash}");
        let link = bench.client();
        bench.ask(link, 1, &create("/a", &[only_for(id.as_bytes())]));
        assert_eq!(codes(&bench.ask(link, 2, &data("/a"))), [(2, -102)]);
        bench.prove(link, PROOF);
        assert_eq!(codes(&bench.ask(link, 3, &data("/a"))), [(3, 0)], "{name}");
    }
}

#[test]
fn without_its_scheme_nobody_proves_a_password() {
    let mut bench = Bench::new("DigestAuthenticationProvider.enabled=false\n");
    let link = bench.client();
    let refused = bench.ask(link, 1, &create("/a", &[only_for(&bob())]));
    assert_eq!(codes(&refused), [(1, -114)]);
    assert_eq!(codes(&bench.prove(link, PROOF)), [(XID_AUTH, -115)]);
    assert!(bench.hung_up.contains(&link));
}
