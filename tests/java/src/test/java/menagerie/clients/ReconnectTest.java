// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A client whose link is cut and mended while others change the tree. */
class ReconnectTest extends ClientTest {
    private Proxy proxy;
    private Events session;
    private ZooKeeper away;

    @BeforeEach
    void connectThroughProxy() throws Exception {
        proxy = closing(new Proxy(Server.shared()));
        session = Events.ofSession();
        away = closing(new ZooKeeper(proxy.connectString(), TIMEOUT, session));
        session.expect("SyncConnected");
    }

    private void cut() throws Exception {
        proxy.cut();
        session.expect("Disconnected");
    }

    private void mend() throws Exception {
        proxy.mend();
        session.expect("SyncConnected");
    }

    @Test
    void theSessionIsTheSame() throws Exception {
        long id = away.getSessionId();
        away.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        cut();
        mend();
        assertEquals(id, away.getSessionId());
        assertEquals(List.of(root + "/e"), away.getEphemerals());
    }

    @Test
    void watchesTellWhatWasMissed() throws Exception {
        String changed = make("changed", "");
        String deleted = make("deleted", "");
        String parent = make("parent", "");
        String same = make("same", "");
        Events events = Events.ofNodes();
        away.getData(changed, events, null);
        away.getData(deleted, events, null);
        away.exists(root + "/created", events);
        away.getChildren(parent, events);
        away.getData(same, events, null);
        away.exists(root + "/absent", events);
        cut();
        zk.setData(changed, null, -1);
        zk.delete(deleted, -1);
        make("created", "");
        make("parent/a", "");
        mend();
        assertEquals(
                Set.of(
                        "NodeDataChanged " + changed,
                        "NodeDeleted " + deleted,
                        "NodeCreated " + root + "/created",
                        "NodeChildrenChanged " + parent),
                new TreeSet<>(events.drain(away)));
        zk.setData(same, null, -1);
        events.expect("NodeDataChanged " + same);
        make("absent", "");
        events.expect("NodeCreated " + root + "/absent");
        zk.setData(changed, null, -1);
        events.expectNone(away);
    }

    @Test
    void aDeletedAndRecreatedNodeCountsAsChanged() throws Exception {
        String path = make("a", "");
        Events data = Events.ofNodes();
        away.getData(path, data, null);
        cut();
        zk.delete(path, -1);
        make("a", "");
        mend();
        data.expect("NodeDataChanged " + path);
    }

    @Test
    void childWatchesOfDeletedNodesSayDeleted() throws Exception {
        String path = make("a", "");
        Events children = Events.ofNodes();
        away.getChildren(path, children);
        cut();
        zk.delete(path, -1);
        mend();
        children.expect("NodeDeleted " + path);
    }

    @Test
    void persistentWatchesComeBackWithoutWhatWasMissed() throws Exception {
        String path = make("a", "");
        Events persistent = Events.ofNodes();
        Events recursive = Events.ofNodes();
        away.addWatch(path, persistent, AddWatchMode.PERSISTENT);
        away.addWatch(root, recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        cut();
        zk.setData(path, null, -1);
        make("a/missed", "");
        mend();
        persistent.expectNone(away);
        recursive.expectNone(away);
        make("a/b", "");
        zk.setData(path, null, -1);
        persistent.expect("NodeChildrenChanged " + path, "NodeDataChanged " + path);
        recursive.expect("NodeCreated " + path + "/b", "NodeDataChanged " + path);
    }

    @Test
    void thousandsOfWatchesComeBack() throws Exception {
        int count = 3000;
        String filler = "x".repeat(100);
        List<Op> creates = new ArrayList<>();
        List<Op> changes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String path = root + "/" + filler + i;
            creates.add(Op.create(path, null, OPEN, CreateMode.PERSISTENT.toFlag()));
            changes.add(Op.setData(path, null, -1));
        }
        zk.multi(creates);
        Events events = Events.ofNodes();
        for (int i = 0; i < count; i++) {
            away.exists(root + "/" + filler + i, events, (rc, path, ctx, stat) -> {}, null);
        }
        events.expectNone(away);
        cut();
        mend();
        events.expectNone(away);
        zk.multi(changes);
        Set<String> seen = new TreeSet<>();
        for (int i = 0; i < count; i++) {
            seen.add(events.nextEvent().getPath());
        }
        assertEquals(count, seen.size());
        events.expectNone(away);
    }

    @Test
    void identitiesComeBack() throws Exception {
        away.addAuthInfo("digest", bytes("bob:secret"));
        away.create(root + "/a", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        cut();
        mend();
        assertEquals(1, away.setData(root + "/a", null, -1).getVersion());
    }

    @Test
    void aClientAwayForTooLongIsExpired() throws Exception {
        Events mine = Events.ofSession();
        ZooKeeper brief = closing(new ZooKeeper(proxy.connectString(), 500, mine));
        mine.expect("SyncConnected");
        brief.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        Events gone = Events.ofNodes();
        zk.exists(root + "/e", gone);
        proxy.cut();
        gone.expect("NodeDeleted " + root + "/e");
        proxy.mend();
        mine.await("Expired");
    }
}
