// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** Each operation on nodes: what it returns, what it changes in the Stat, how it fails. */
class BasicTest extends ClientTest {
    @Test
    void createAnswersThePathAndAFreshStat() throws Exception {
        Stat stat = new Stat();
        String path = root + "/a";
        assertEquals(path, zk.create(path, bytes("abc"), OPEN, CreateMode.PERSISTENT, stat));
        assertEquals(0, stat.getVersion());
        assertEquals(0, stat.getCversion());
        assertEquals(0, stat.getAversion());
        assertEquals(0, stat.getEphemeralOwner());
        assertEquals(3, stat.getDataLength());
        assertEquals(0, stat.getNumChildren());
        assertEquals(stat.getCzxid(), stat.getMzxid());
        assertEquals(stat.getCzxid(), stat.getPzxid());
        assertEquals(stat.getCtime(), stat.getMtime());
        assertTrue(Math.abs(System.currentTimeMillis() - stat.getCtime()) < 60_000);
        assertEquals(stat, stat(path));
    }

    @Test
    void createFails() throws Exception {
        make("a", "");
        zk.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        assertEquals(Code.NODEEXISTS, codeOf(() -> make("a", "")));
        assertEquals(Code.NONODE, codeOf(() -> make("b/c", "")));
        assertEquals(Code.NOCHILDRENFOREPHEMERALS, codeOf(() -> make("e/c", "")));
        assertEquals(
                Code.NODEEXISTS,
                codeOf(() -> zk.create("/", null, OPEN, CreateMode.PERSISTENT)));
    }

    @Test
    void aParentCountsItsChildrensComingAndGoing() throws Exception {
        for (String name : List.of("a", "b", "c")) {
            make(name, "");
        }
        zk.delete(root + "/b", -1);
        Stat parent = stat(root);
        assertEquals(4, parent.getCversion());
        assertEquals(2, parent.getNumChildren());
        assertEquals(0, parent.getVersion());
        long deletion = parent.getPzxid();
        assertTrue(deletion > stat(root + "/c").getCzxid());
        make("d", "");
        assertEquals(stat(root + "/d").getCzxid(), stat(root).getPzxid());
        assertEquals(5, stat(root).getCversion());
    }

    @Test
    void sequenceNumbersCountCreatesOfAnyKindAndNeverDeletes() throws Exception {
        String first =
                zk.create(root + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
        assertEquals(root + "/s-0000000000", first);
        zk.delete(first, -1);
        make("plain", "");
        assertEquals(
                root + "/s-0000000002",
                zk.create(root + "/s-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL));
        assertEquals(
                root + "/0000000003",
                zk.create(root + "/", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
    }

    @Test
    void nullAndEmptyDataAreDifferent() throws Exception {
        make("null", null);
        make("empty", "");
        assertNull(zk.getData(root + "/null", false, null));
        assertArrayEquals(new byte[0], zk.getData(root + "/empty", false, null));
        assertEquals(0, stat(root + "/null").getDataLength());
        zk.setData(root + "/empty", null, 0);
        assertNull(zk.getData(root + "/empty", false, null));
    }

    @Test
    void setDataCountsVersions() throws Exception {
        String path = make("a", "1");
        Stat created = stat(path);
        Stat first = zk.setData(path, bytes("22"), 0);
        assertEquals(1, first.getVersion());
        assertEquals(2, first.getDataLength());
        assertEquals(created.getCzxid(), first.getCzxid());
        assertTrue(first.getMzxid() > created.getMzxid());
        assertEquals(created.getPzxid(), first.getPzxid());
        assertEquals(Code.BADVERSION, codeOf(() -> zk.setData(path, bytes("x"), 0)));
        assertEquals(2, zk.setData(path, bytes("333"), -1).getVersion());
        assertEquals(Code.NONODE, codeOf(() -> zk.setData(root + "/no", bytes(""), -1)));
        Stat read = new Stat();
        assertEquals("333", text(zk.getData(path, false, read)));
        assertEquals(2, read.getVersion());
    }

    @Test
    void deleteChecksVersionBeforeChildren() throws Exception {
        make("a", "");
        make("a/b", "");
        assertEquals(Code.BADVERSION, codeOf(() -> zk.delete(root + "/a", 7)));
        assertEquals(Code.NOTEMPTY, codeOf(() -> zk.delete(root + "/a", 0)));
        assertEquals(Code.NONODE, codeOf(() -> zk.delete(root + "/no", -1)));
        zk.delete(root + "/a/b", 0);
        zk.delete(root + "/a", 0);
        assertNull(stat(root + "/a"));
    }

    @Test
    void childrenWithAndWithoutTheStat() throws Exception {
        make("b", "");
        make("a", "");
        Stat stat = new Stat();
        assertEquals(Set.of("a", "b"), new TreeSet<>(zk.getChildren(root, false)));
        assertEquals(Set.of("a", "b"), new TreeSet<>(zk.getChildren(root, false, stat)));
        assertEquals(stat(root), stat);
        assertEquals(List.of(), zk.getChildren(root + "/a", false));
        assertEquals(Code.NONODE, codeOf(() -> zk.getChildren(root + "/no", false)));
        assertEquals(Code.NONODE, codeOf(() -> zk.getChildren(root + "/no", false, stat)));
        assertEquals(Code.NONODE, codeOf(() -> zk.getData(root + "/no", false, null)));
        assertEquals(Code.NONODE, codeOf(() -> zk.getACL(root + "/no", stat)));
    }

    @Test
    void allChildrenNumberCountsEveryDescendant() throws Exception {
        assertEquals(0, zk.getAllChildrenNumber(root));
        make("a", "");
        make("a/b", "");
        make("a/b/c", "");
        make("ab", "");
        assertEquals(4, zk.getAllChildrenNumber(root));
        assertEquals(2, zk.getAllChildrenNumber(root + "/a"));
        assertEquals(Code.NONODE, codeOf(() -> zk.getAllChildrenNumber(root + "/no")));
    }

    @Test
    void ephemeralsAreListedByPrefixAndDieWithTheirSession() throws Exception {
        ZooKeeper other = connect();
        make("deep", "");
        for (String name : List.of("/x1", "/x2", "/deep/y")) {
            other.create(root + name, null, OPEN, CreateMode.EPHEMERAL);
        }
        zk.create(root + "/mine", null, OPEN, CreateMode.EPHEMERAL);
        assertEquals(other.getSessionId(), stat(root + "/x1").getEphemeralOwner());
        assertEquals(
                Set.of(root + "/x1", root + "/x2", root + "/deep/y"),
                new TreeSet<>(other.getEphemerals()));
        assertEquals(
                Set.of(root + "/x1", root + "/x2"),
                new TreeSet<>(other.getEphemerals(root + "/x")));
        assertEquals(List.of(), other.getEphemerals("/nowhere"));
        Stat before = stat(root);
        other.close();
        assertEquals(Set.of("deep", "mine"), new TreeSet<>(zk.getChildren(root, false)));
        assertTrue(stat(root).getPzxid() > before.getPzxid());
        assertEquals(before.getCversion() + 2, stat(root).getCversion());
    }

    @Test
    void syncAnswersAlsoForWhatDoesNotExist() throws Exception {
        zk.sync(root);
        zk.sync(root + "/no");
    }

    @Test
    void theServersOwnNodesStay() throws Exception {
        assertEquals(
                Set.of("config", "quota"), new TreeSet<>(zk.getChildren("/zookeeper", false)));
        for (String path : List.of("/zookeeper", "/zookeeper/quota", "/zookeeper/config")) {
            assertEquals(Code.BADARGUMENTS, codeOf(() -> zk.delete(path, -1)), path);
        }
        assertEquals(Code.BADARGUMENTS, codeOf(() -> zk.delete("/", -1)));
        assertEquals(Code.NOAUTH, codeOf(() -> zk.setData("/zookeeper/config", null, -1)));
        Stat stat = new Stat();
        String config = text(zk.getConfig(false, stat));
        boolean alone = Integer.getInteger("servers", 1) == 1;
        assertTrue(alone ? config.isEmpty() : config.startsWith("server.1=127.0.0.1:"), config);
        assertEquals(alone ? 0 : -1, stat.getVersion());
        assertEquals(0, stat.getCzxid());
    }

    @Test
    void reconfigIsDisabledUnlessConfigured() throws Exception {
        ZooKeeperAdmin admin =
                closing(new ZooKeeperAdmin(connectString(), TIMEOUT, Events.ofSession()));
        assertEquals(
                Code.RECONFIGDISABLED,
                codeOf(() -> admin.reconfigure("server.9=h:1:2;3", null, null, -1, null)));
    }

    @Test
    void namesAndDataMayBeAnyUnicodeOfTheBasicPlane() throws Exception {
        String path = make("žofie-日本-é", "päivää 🦓");
        assertEquals("päivää 🦓", text(zk.getData(path, false, null)));
        assertEquals(List.of("žofie-日本-é"), zk.getChildren(root, false));
    }

    @Test
    void aChrootHidesItsPrefix() throws Exception {
        ZooKeeper inside = connect(connectString() + root, TIMEOUT);
        assertEquals("/a", inside.create("/a", bytes("1"), OPEN, CreateMode.PERSISTENT));
        assertEquals(List.of("a"), inside.getChildren("/", false));
        assertEquals("1", text(zk.getData(root + "/a", false, null)));
        Events events = Events.ofNodes();
        inside.getData("/a", events, null);
        zk.setData(root + "/a", bytes("2"), -1);
        events.expect("NodeDataChanged /a");
    }

    @Test
    void aValueOfNearlyAMebibyteIsStored() throws Exception {
        byte[] big = new byte[1_040_000];
        for (int i = 0; i < big.length; i++) {
            big[i] = (byte) (i * 31);
        }
        zk.create(root + "/big", big, OPEN, CreateMode.PERSISTENT);
        assertArrayEquals(big, zk.getData(root + "/big", false, null));
    }

    @Test
    void asynchronousRequestsAreAnsweredInOrder() throws Exception {
        String path = make("a", "");
        int count = 1000;
        List<Integer> versions = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch done = new CountDownLatch(2 * count);
        for (int i = 0; i < count; i++) {
            zk.setData(path, bytes("" + i), i, (rc, p, ctx, stat) -> {
                assertEquals(0, rc);
                versions.add(stat.getVersion());
                done.countDown();
            }, null);
            zk.getData(path, false, (rc, p, ctx, data, stat) -> {
                versions.add(stat.getVersion());
                done.countDown();
            }, null);
        }
        assertTrue(done.await(30, TimeUnit.SECONDS));
        for (int i = 0; i < count; i++) {
            assertEquals(i + 1, versions.get(2 * i));
            assertEquals(i + 1, versions.get(2 * i + 1), "a read sees its session's writes");
        }
    }

    @Test
    void zxidsRiseByOneForEachWriteAndEachRefusedWrite() throws Exception {
        // Other tests write too, so the distance is a lower bound.
        long before = zk.setData(make("a", ""), null, -1).getMzxid();
        codeOf(() -> make("a", ""));
        long after = zk.setData(root + "/a", null, -1).getMzxid();
        assertTrue(after >= before + 2, before + " " + after);
        assertNotEquals(0, before);
    }
}
