// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.CuratorEventType;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** Curator's own way of asking for each operation. */
class CuratorFrameworkTest extends CuratorTest {
    @Test
    void parentsAreCreatedAsContainersAndSweptWhenEmpty() throws Exception {
        Stat stat = new Stat();
        String path = root + "/a/b/c";
        assertEquals(
                path,
                one.create()
                        .storingStatIn(stat)
                        .creatingParentContainersIfNeeded()
                        .forPath(path, bytes("x")));
        assertEquals(stat(path), stat);
        one.delete().guaranteed().forPath(path);
        eventually("the parents are swept", () -> stat(root + "/a") == null);
    }

    @Test
    void createOrSetAndIdempotence() throws Exception {
        String path = root + "/a";
        one.create().orSetData().forPath(path, bytes("1"));
        one.create().orSetData().forPath(path, bytes("2"));
        assertEquals("2", text(one.getData().forPath(path)));
        assertEquals(1, stat(path).getVersion());
        one.create().idempotent().forPath(root + "/b", bytes("1"));
        one.create().idempotent().forPath(root + "/b", bytes("1"));
        assertEquals(0, stat(root + "/b").getVersion());
        one.setData().withVersion(1).forPath(path, bytes("3"));
        assertThrows(
                KeeperException.BadVersionException.class,
                () -> one.setData().withVersion(1).forPath(path, bytes("4")));
    }

    @Test
    void deletingChildrenAndDeletingQuietly() throws Exception {
        for (String name : List.of("a", "a/b", "a/b/c", "a/d")) {
            make(name, "");
        }
        one.delete().deletingChildrenIfNeeded().forPath(root + "/a");
        assertNull(stat(root + "/a"));
        one.delete().quietly().forPath(root + "/a");
    }

    @Test
    void protectedEphemeralSequentialNodesAreFound() throws Exception {
        String path =
                one.create()
                        .withProtection()
                        .withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                        .forPath(root + "/lock-");
        assertTrue(path.matches(root + "/_c_[0-9a-f-]{36}-lock-0000000000"), path);
    }

    @Test
    void backgroundAnswersArriveInOrder() throws Exception {
        LinkedBlockingQueue<CuratorEvent> events = new LinkedBlockingQueue<>();
        String path = root + "/a";
        one.create().inBackground((c, e) -> events.add(e)).forPath(path, bytes("1"));
        one.getData().inBackground((c, e) -> events.add(e)).forPath(path);
        one.getChildren().inBackground((c, e) -> events.add(e)).forPath(root + "/no");
        one.sync().inBackground((c, e) -> events.add(e)).forPath(root);
        assertEquals(CuratorEventType.CREATE, events.poll(20, SECONDS).getType());
        assertEquals("1", text(events.poll(20, SECONDS).getData()));
        assertEquals(Code.NONODE.intValue(), events.poll(20, SECONDS).getResultCode());
        assertEquals(CuratorEventType.SYNC, events.poll(20, SECONDS).getType());
    }

    @Test
    void aTransactionAnswersEachOperation() throws Exception {
        make("old", "");
        List<CuratorTransactionResult> results =
                one.transaction()
                        .forOperations(
                                one.transactionOp().create().forPath(root + "/a", bytes("1")),
                                one.transactionOp().setData().forPath(root + "/a", bytes("2")),
                                one.transactionOp().check().withVersion(1).forPath(root + "/a"),
                                one.transactionOp().delete().forPath(root + "/old"));
        assertEquals(root + "/a", results.get(0).getResultPath());
        assertEquals(1, results.get(1).getResultStat().getVersion());
        assertEquals(0, results.get(3).getError());
        assertEquals("2", text(one.getData().forPath(root + "/a")));
    }

    @Test
    void aFailedTransactionChangesNothing() throws Exception {
        KeeperException e =
                assertThrows(
                        KeeperException.class,
                        () ->
                                one.transaction()
                                        .forOperations(
                                                one.transactionOp().create().forPath(root + "/a"),
                                                one.transactionOp().check().forPath(root + "/no"),
                                                one.transactionOp().delete().forPath(root)));
        assertEquals(Code.NONODE, e.code());
        assertEquals(3, e.getResults().size());
        assertNull(stat(root + "/a"));
    }

    @Test
    void ttlNodesInAndOutsideTransactions() throws Exception {
        one.create()
                .withTtl(600)
                .withMode(CreateMode.PERSISTENT_WITH_TTL)
                .forPath(root + "/a", bytes("x"));
        one.transaction()
                .forOperations(
                        one.transactionOp()
                                .create()
                                .withTtl(600)
                                .withMode(CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL)
                                .forPath(root + "/b-", bytes("x")));
        eventually("both die", () -> zk.getChildren(root, false).isEmpty());
    }

    @Test
    void aclsAndIdentities() throws Exception {
        CuratorFramework owner =
                closing(
                        org.apache.curator.framework.CuratorFrameworkFactory.builder()
                                .connectString(connectString())
                                .retryPolicy(new org.apache.curator.retry.RetryOneTime(100))
                                .authorization("digest", bytes("bob:secret"))
                                .namespace(root.substring(1))
                                .build());
        owner.start();
        owner.create().withACL(Ids.CREATOR_ALL_ACL).forPath("/a", bytes("x"));
        assertThrows(
                KeeperException.NoAuthException.class, () -> one.getData().forPath(root + "/a"));
        assertEquals("x", text(owner.getData().forPath("/a")));
        owner.setACL().withACL(OPEN).forPath("/a");
        assertEquals(OPEN, one.getACL().forPath(root + "/a"));
    }

    @Test
    void watchesAreAddedAndRemoved() throws Exception {
        make("a", "");
        Events events = Events.ofNodes();
        one.watchers()
                .add()
                .withMode(AddWatchMode.PERSISTENT_RECURSIVE)
                .usingWatcher(events)
                .forPath(root);
        zk.setData(root + "/a", null, -1);
        events.expect("NodeDataChanged " + root + "/a");
        one.watchers().remove(events).forPath(root);
        events.expect("PersistentWatchRemoved " + root);
        Events once = Events.ofNodes();
        one.getData().usingWatcher(once).forPath(root + "/a");
        zk.setData(root + "/a", null, -1);
        once.expect("NodeDataChanged " + root + "/a");
    }

    /** Skips what came before: the first CONNECTED may be told late. */
    private static void awaitState(
            LinkedBlockingQueue<ConnectionState> states, ConnectionState wanted)
            throws InterruptedException {
        ConnectionState state = states.poll(20, SECONDS);
        while (state != null && state != wanted) {
            state = states.poll(20, SECONDS);
        }
        assertEquals(wanted, state);
    }

    @Test
    void connectionStatesAreSuspendedReconnectedAndLost() throws Exception {
        Proxy proxy = closing(new Proxy(Server.shared()));
        CuratorFramework client = curator(proxy.connectString());
        LinkedBlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
        client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
        long id = client.getZookeeperClient().getZooKeeper().getSessionId();
        proxy.cut();
        awaitState(states, ConnectionState.SUSPENDED);
        proxy.mend();
        awaitState(states, ConnectionState.RECONNECTED);
        assertEquals(id, client.getZookeeperClient().getZooKeeper().getSessionId());
        expire(client);
        awaitState(states, ConnectionState.LOST);
        awaitState(states, ConnectionState.RECONNECTED);
        assertNotEquals(id, client.getZookeeperClient().getZooKeeper().getSessionId());
        assertNotNull(client.checkExists().forPath("/"));
    }

    @Test
    void theEnsembleTrackerLeavesTheConnectStringAlone() throws Exception {
        eventually("it has looked", () -> one.getCurrentConfig() != null);
        assertEquals(0, one.getCurrentConfig().getAllMembers().size());
        assertEquals(connectString(), one.getZookeeperClient().getCurrentConnectionString());
    }
}
