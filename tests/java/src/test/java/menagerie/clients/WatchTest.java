// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.Test;

/** Watches of every kind: which events they see, how often, and how they are taken away. */
class WatchTest extends ClientTest {
    @Test
    void aDataWatchFiresOnce() throws Exception {
        String path = make("a", "");
        Events events = Events.ofNodes();
        zk.getData(path, events, null);
        long first = zk.setData(path, null, -1).getMzxid();
        zk.setData(path, null, -1);
        var event = events.nextEvent();
        assertEquals(first, event.getZxid());
        assertEquals(path, event.getPath());
        events.expectNone(zk);
    }

    @Test
    void anExistsWatchSeesCreationChangeAndDeletion() throws Exception {
        String path = root + "/a";
        Events events = Events.ofNodes();
        zk.exists(path, events);
        make("a", "");
        events.expect("NodeCreated " + path);
        zk.exists(path, events);
        zk.setData(path, null, -1);
        events.expect("NodeDataChanged " + path);
        zk.exists(path, events);
        zk.delete(path, -1);
        events.expect("NodeDeleted " + path);
        make("a", "");
        events.expectNone(zk);
    }

    @Test
    void aChildWatchSeesChildrenComeAndGoButNotTheirData() throws Exception {
        Events events = Events.ofNodes();
        zk.getChildren(root, events);
        make("a", "");
        events.expect("NodeChildrenChanged " + root);
        zk.getChildren(root, events);
        zk.setData(root + "/a", null, -1);
        zk.setData(root, null, -1);
        make("a/b", "");
        events.expectNone(zk);
        zk.delete(root + "/a/b", -1);
        zk.delete(root + "/a", -1);
        events.expect("NodeChildrenChanged " + root);
        zk.getChildren(root, events);
        zk.delete(root, -1);
        events.expect("NodeDeleted " + root);
    }

    @Test
    void deletionTellsEachWatcherOnce() throws Exception {
        String path = make("a", "");
        Events one = Events.ofNodes();
        Events two = Events.ofNodes();
        zk.getData(path, one, null);
        zk.getChildren(path, one);
        zk.exists(path, two);
        zk.delete(path, -1);
        one.expect("NodeDeleted " + path);
        two.expect("NodeDeleted " + path);
        one.expectNone(zk);
        two.expectNone(zk);
    }

    @Test
    void aFailedReadLeavesNoWatch() throws Exception {
        Events events = Events.ofNodes();
        assertEquals(Code.NONODE, codeOf(() -> zk.getData(root + "/a", events, null)));
        assertEquals(Code.NONODE, codeOf(() -> zk.getChildren(root + "/a", events)));
        make("a", "");
        zk.setData(root + "/a", null, -1);
        events.expectNone(zk);
    }

    @Test
    void setAclFiresNothing() throws Exception {
        String path = make("a", "");
        Events events = Events.ofNodes();
        zk.getData(path, events, null);
        zk.setACL(path, OPEN, 0);
        events.expectNone(zk);
    }

    @Test
    void theEventComesBeforeAnyReplyThatShowsTheChange() throws Exception {
        String path = make("a", "0");
        ZooKeeper writer = connect();
        for (int i = 1; i <= 50; i++) {
            Events events = Events.ofNodes();
            zk.getData(path, events, null);
            writer.setData(path, bytes("" + i), -1);
            while (!text(zk.getData(path, false, null)).equals("" + i)) {
                continue;
            }
            assertEquals(List.of("NodeDataChanged " + path), events.drain(zk));
        }
    }

    @Test
    void closingASessionDeletesItsEphemeralsUnderWatch() throws Exception {
        ZooKeeper other = connect();
        other.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        Events node = Events.ofNodes();
        Events parent = Events.ofNodes();
        // The two may talk to different servers.
        zk.sync(root);
        zk.exists(root + "/e", node);
        zk.getChildren(root, parent);
        other.close();
        node.expect("NodeDeleted " + root + "/e");
        parent.expect("NodeChildrenChanged " + root);
    }

    @Test
    void aPersistentWatchStaysThroughEverything() throws Exception {
        String path = root + "/a";
        Events events = Events.ofNodes();
        zk.addWatch(path, events, AddWatchMode.PERSISTENT);
        for (int round = 0; round < 2; round++) {
            make("a", "");
            zk.setData(path, null, -1);
            make("a/b", "");
            zk.setData(path + "/b", null, -1);
            zk.delete(path + "/b", -1);
            zk.delete(path, -1);
            events.expect(
                    "NodeCreated " + path,
                    "NodeDataChanged " + path,
                    "NodeChildrenChanged " + path,
                    "NodeChildrenChanged " + path,
                    "NodeDeleted " + path);
        }
        events.expectNone(zk);
    }

    @Test
    void aRecursiveWatchSeesEveryDescendantAndNoChildEvents() throws Exception {
        Events events = Events.ofNodes();
        zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        make("a", "");
        make("a/b", "");
        zk.setData(root + "/a/b", null, -1);
        zk.setData(root, null, -1);
        zk.delete(root + "/a/b", -1);
        zk.delete(root + "/a", -1);
        events.expect(
                "NodeCreated " + root + "/a",
                "NodeCreated " + root + "/a/b",
                "NodeDataChanged " + root + "/a/b",
                "NodeDataChanged " + root,
                "NodeDeleted " + root + "/a/b",
                "NodeDeleted " + root + "/a");
        events.expectNone(zk);
    }

    @Test
    void aRecursiveWatchIsBoundToWholeNames() throws Exception {
        make("a", "");
        Events events = Events.ofNodes();
        zk.addWatch(root + "/a", events, AddWatchMode.PERSISTENT_RECURSIVE);
        make("ab", "");
        events.expectNone(zk);
    }

    @Test
    void aRecursiveWatchOfTheRootSeesAll() throws Exception {
        Events events = Events.ofNodes();
        ZooKeeper other = connect();
        other.addWatch("/", events, AddWatchMode.PERSISTENT_RECURSIVE);
        String path = make("seen", "");
        events.await("NodeCreated " + path);
    }

    @Test
    void persistentAndPlainWatchesLiveSideBySide() throws Exception {
        String path = make("a", "");
        Events persistent = Events.ofNodes();
        Events plain = Events.ofNodes();
        zk.addWatch(path, persistent, AddWatchMode.PERSISTENT);
        zk.getData(path, plain, null);
        zk.setData(path, null, -1);
        zk.setData(path, null, -1);
        plain.expect("NodeDataChanged " + path);
        persistent.expect("NodeDataChanged " + path, "NodeDataChanged " + path);
        plain.expectNone(zk);
        persistent.expectNone(zk);
    }

    @Test
    void removingByKindLeavesTheOtherKind() throws Exception {
        String path = make("a", "");
        Events data = Events.ofNodes();
        Events children = Events.ofNodes();
        zk.getData(path, data, null);
        zk.getChildren(path, children);
        zk.removeWatches(path, data, WatcherType.Data, false);
        data.expect("DataWatchRemoved " + path);
        zk.setData(path, null, -1);
        make("a/b", "");
        children.expect("NodeChildrenChanged " + path);
        data.expectNone(zk);
        zk.getChildren(path, children);
        zk.removeWatches(path, children, WatcherType.Children, false);
        children.expect("ChildWatchRemoved " + path);
        zk.delete(path + "/b", -1);
        children.expectNone(zk);
    }

    @Test
    void removingAnyKindRemovesAll() throws Exception {
        String path = make("a", "");
        Events events = Events.ofNodes();
        zk.getData(path, events, null);
        zk.getChildren(path, events);
        zk.removeWatches(path, events, WatcherType.Any, false);
        assertEquals(
                Set.of("DataWatchRemoved " + path, "ChildWatchRemoved " + path),
                new TreeSet<>(events.drain(zk)));
        zk.delete(path, -1);
        events.expectNone(zk);
    }

    @Test
    void removingWhatIsNotThereIsAnError() throws Exception {
        String path = make("a", "");
        Events events = Events.ofNodes();
        for (WatcherType type : WatcherType.values()) {
            assertEquals(
                    Code.NOWATCHER,
                    codeOf(() -> zk.removeWatches(path, events, type, false)),
                    type.toString());
        }
        zk.getData(path, events, null);
        assertEquals(
                Code.NOWATCHER,
                codeOf(() -> zk.removeWatches(path, events, WatcherType.Children, false)));
    }

    @Test
    void oneOfTwoWatchersIsRemovedWithoutTheServersHelp() throws Exception {
        String path = make("a", "");
        Events one = Events.ofNodes();
        Events two = Events.ofNodes();
        zk.getData(path, one, null);
        zk.getData(path, two, null);
        zk.removeWatches(path, one, WatcherType.Data, false);
        zk.setData(path, null, -1);
        two.expect("NodeDataChanged " + path);
        assertEquals(List.of("DataWatchRemoved " + path), one.drain(zk));
    }

    @Test
    void removeAllWatchesTakesEveryWatcher() throws Exception {
        String path = make("a", "");
        Events one = Events.ofNodes();
        Events two = Events.ofNodes();
        zk.getData(path, one, null);
        zk.exists(path, two);
        zk.removeAllWatches(path, WatcherType.Data, false);
        one.expect("DataWatchRemoved " + path);
        two.expect("DataWatchRemoved " + path);
        zk.setData(path, null, -1);
        one.expectNone(zk);
    }

    @Test
    void persistentWatchesAreRemovedByTheirKind() throws Exception {
        String path = make("a", "");
        Events plain = Events.ofNodes();
        zk.addWatch(path, plain, AddWatchMode.PERSISTENT);
        zk.removeWatches(path, plain, WatcherType.Persistent, false);
        plain.expect("PersistentWatchRemoved " + path);
        Events recursive = Events.ofNodes();
        zk.addWatch(path, recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        zk.removeWatches(path, recursive, WatcherType.PersistentRecursive, false);
        recursive.expect("PersistentWatchRemoved " + path);
        zk.setData(path, null, -1);
        make("a/b", "");
        plain.expectNone(zk);
        recursive.expectNone(zk);
    }
}
