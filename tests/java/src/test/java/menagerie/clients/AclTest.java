// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static java.util.Arrays.asList;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.ZooKeeper.States;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import org.junit.jupiter.api.Test;

/** Who may do what: the schemes, the check each operation makes, and what is hidden from whom. */
class AclTest extends ClientTest {
    private String guarded(String name, ACL... acl) throws Exception {
        // Not List.of: the client looks for null in it, which that list takes amiss.
        return zk.create(root + "/" + name, bytes("x"), asList(acl), CreateMode.PERSISTENT);
    }

    private static ACL world(int perms) {
        return new ACL(perms, Ids.ANYONE_ID_UNSAFE);
    }

    private static ACL acl(int perms, String scheme, String id) {
        return new ACL(perms, new Id(scheme, id));
    }

    private static String digest(String user) throws Exception {
        return DigestAuthenticationProvider.generateDigest(user);
    }

    private ZooKeeper connectAs(String user) throws Exception {
        ZooKeeper client = connect();
        client.addAuthInfo("digest", bytes(user));
        return client;
    }

    @Test
    void readIsNeededToLook() throws Exception {
        String path = guarded("a", world(Perms.ALL & ~Perms.READ));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getData(path, false, null)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getChildren(path, false)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getChildren(path, false, new Stat())));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getAllChildrenNumber(path)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.exists(path, false)));
        assertEquals(
                List.of(new OpResult.ErrorResult(Code.NOAUTH.intValue())),
                zk.multi(List.of(Op.getData(path))));
        assertEquals(
                Code.NOAUTH, codeOf(() -> zk.multi(List.of(Op.check(path, -1)))));
        assertEquals(1, zk.setData(path, null, -1).getVersion());
        assertEquals(1, zk.getACL(path, null).size(), "ADMIN is enough");
    }

    @Test
    void writeIsNeededToSet() throws Exception {
        String path = guarded("a", world(Perms.ALL & ~Perms.WRITE));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.setData(path, null, -1)));
        assertEquals("x", text(zk.getData(path, false, null)));
    }

    @Test
    void createAndDeleteAskTheParent() throws Exception {
        guarded("a", world(Perms.ALL & ~Perms.CREATE));
        assertEquals(Code.NOAUTH, codeOf(() -> make("a/b", "")));
        guarded("c", world(Perms.ALL & ~Perms.DELETE));
        make("c/d", "");
        assertEquals(Code.NOAUTH, codeOf(() -> zk.delete(root + "/c/d", -1)));
        zk.delete(root + "/a", -1);
        guarded("e", world(Perms.READ));
        zk.delete(root + "/e", -1);
    }

    @Test
    void adminIsNeededToSetAcls() throws Exception {
        String path = guarded("a", world(Perms.ALL & ~Perms.ADMIN));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.setACL(path, OPEN, -1)));
        assertEquals(1, zk.getACL(path, null).size(), "READ is enough");
    }

    @Test
    void neitherReadNorAdminHidesTheAcl() throws Exception {
        String path = guarded("a", world(Perms.WRITE));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getACL(path, null)));
    }

    @Test
    void authorisationComesBeforeExistence() throws Exception {
        guarded("a", world(Perms.READ));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.delete(root + "/a/no", -1)));
        assertEquals(Code.NOAUTH, codeOf(() -> make("a/b", "")));
        assertEquals(
                Code.INVALIDACL,
                codeOf(() -> guarded("a/b", acl(Perms.ALL, "nobody-knows", "x"))));
    }

    @Test
    void setAclCountsItsOwnVersion() throws Exception {
        String path = make("a", "");
        Stat stat = zk.setACL(path, Ids.READ_ACL_UNSAFE, 0);
        assertEquals(1, stat.getAversion());
        assertEquals(0, stat.getVersion());
        assertEquals(stat.getCzxid(), stat.getMzxid());
        assertEquals(Ids.READ_ACL_UNSAFE, zk.getACL(path, stat));
        String open = make("b", "");
        assertEquals(Code.BADVERSION, codeOf(() -> zk.setACL(open, OPEN, 5)));
        assertEquals(Code.NONODE, codeOf(() -> zk.setACL(root + "/no", OPEN, -1)));
    }

    @Test
    void aDigestOpensAndIsMaskedForOthers() throws Exception {
        ZooKeeper owner = connectAs("bob:secret");
        String path = root + "/a";
        owner.create(path, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        List<ACL> stored = List.of(acl(Perms.ALL, "digest", digest("bob:secret")));
        assertEquals(stored, owner.getACL(path, null));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getData(path, false, null)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getACL(path, null)));
        ZooKeeper impostor = connectAs("bob:guess");
        assertEquals(Code.NOAUTH, codeOf(() -> impostor.setData(path, null, -1)));

        owner.setACL(path, asList(stored.get(0), world(Perms.READ)), -1);
        assertEquals(
                List.of(acl(Perms.ALL, "digest", "bob:x"), world(Perms.READ)),
                zk.getACL(path, null));
    }

    @Test
    void authMeansEveryIdentityOfTheCreator() throws Exception {
        ZooKeeper owner = connectAs("bob:secret");
        owner.addAuthInfo("digest", bytes("eve:word"));
        owner.create(root + "/a", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        assertEquals(
                Set.of(
                        acl(Perms.ALL, "digest", digest("bob:secret")),
                        acl(Perms.ALL, "digest", digest("eve:word"))),
                new HashSet<>(owner.getACL(root + "/a", null)));
        ZooKeeper eve = connectAs("eve:word");
        eve.setData(root + "/a", null, -1);
        assertEquals(
                Code.INVALIDACL,
                codeOf(
                        () ->
                                zk.create(
                                        root + "/b",
                                        null,
                                        Ids.CREATOR_ALL_ACL,
                                        CreateMode.PERSISTENT)));
    }

    @Test
    void addressesMatchByPrefix() throws Exception {
        String near = guarded("near", acl(Perms.ALL, "ip", "127.0.0.1"));
        assertEquals("x", text(zk.getData(near, false, null)));
        String net = guarded("net", acl(Perms.READ, "ip", "127.0.0.0/8"));
        assertEquals("x", text(zk.getData(net, false, null)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.setData(net, null, -1)));
        String far = guarded("far", acl(Perms.ALL, "ip", "10.0.0.0/8"));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.getData(far, false, null)));
    }

    @Test
    void badAclsAreRefused() throws Exception {
        for (ACL bad :
                List.of(
                        acl(Perms.ALL, "nobody-knows", "x"),
                        acl(Perms.ALL, "digest", "nocolon"),
                        acl(Perms.ALL, "digest", "a:b:c"),
                        acl(Perms.ALL, "ip", "300.1.1.1"),
                        acl(Perms.ALL, "ip", "10.0.0.0/33"),
                        acl(Perms.ALL, "world", "someone"))) {
            assertEquals(Code.INVALIDACL, codeOf(() -> guarded("a", bad)), bad.toString());
        }
        assertEquals(Code.INVALIDACL, codeOf(() -> zk.setACL(root, new ArrayList<>(), -1)));
        assertNull(stat(root + "/a"));
    }

    @Test
    void duplicatesAreStoredOnce() throws Exception {
        String path = guarded("a", world(Perms.ALL), world(Perms.READ), world(Perms.ALL));
        assertEquals(List.of(world(Perms.ALL), world(Perms.READ)), zk.getACL(path, null));
    }

    @Test
    void childrenDoNotInherit() throws Exception {
        guarded("a", world(Perms.CREATE));
        make("a/b", "1");
        assertEquals("1", text(zk.getData(root + "/a/b", false, null)));
    }

    @Test
    void theSuperUserMayDoAll() throws Exception {
        String path = guarded("a", acl(Perms.READ, "digest", "bob:hash"));
        ZooKeeper root = connectAs("super:test");
        assertEquals("x", text(root.getData(path, false, null)));
        assertEquals("bob:hash", root.getACL(path, null).get(0).getId().getId());
        root.setACL(path, OPEN, -1);
        assertEquals("x", text(zk.getData(path, false, null)));
    }

    @Test
    void whoAmIListsTheIdentitiesWithoutSecrets() throws Exception {
        ClientInfo address = new ClientInfo("ip", "127.0.0.1");
        assertEquals(List.of(address), zk.whoAmI());
        ZooKeeper bob = connectAs("bob:secret");
        assertEquals(
                Set.of(address, new ClientInfo("digest", "bob")), new HashSet<>(bob.whoAmI()));
    }

    @Test
    void anUnknownSchemeFailsTheClient() throws Exception {
        Events session = Events.ofSession();
        ZooKeeper client = closing(new ZooKeeper(connectString(), TIMEOUT, session));
        session.expect("SyncConnected");
        client.addAuthInfo("nobody-knows", bytes("x"));
        session.await("AuthFailed");
        assertEquals(States.AUTH_FAILED, client.getState());
    }
}
