// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache.StartMode;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.junit.jupiter.api.Test;

/** Curator's caches: they start with what is there, follow changes, and catch up after a cut. */
class CuratorCacheTest extends CuratorTest {
    private final LinkedBlockingQueue<String> seen = new LinkedBlockingQueue<>();

    private void expect(String... wanted) throws Exception {
        for (String one : wanted) {
            assertEquals(one, seen.poll(20, SECONDS));
        }
    }

    private String name(String path) {
        return path.substring(root.length());
    }

    private CuratorCache cache(CuratorFramework client) throws Exception {
        CuratorCache cache = closing(CuratorCache.build(client, root));
        CountDownLatch initialized = new CountDownLatch(1);
        cache.listenable()
                .addListener(
                        CuratorCacheListener.builder()
                                .forCreates(n -> seen.add("created " + name(n.getPath())))
                                .forChanges(
                                        (o, n) ->
                                                seen.add(
                                                        "changed "
                                                                + name(n.getPath())
                                                                + " "
                                                                + text(n.getData())))
                                .forDeletes(n -> seen.add("deleted " + name(n.getPath())))
                                .forInitialized(initialized::countDown)
                                .build());
        cache.start();
        assertTrue(initialized.await(20, SECONDS));
        return cache;
    }

    @Test
    void aCuratorCacheFollowsATree() throws Exception {
        make("a", "1");
        CuratorCache cache = cache(one);
        assertEquals(2, cache.size());
        seen.clear();
        make("a/b", "2");
        zk.setData(root + "/a", bytes("11"), -1);
        expect("created /a/b", "changed /a 11");
        zk.delete(root + "/a/b", -1);
        zk.delete(root + "/a", -1);
        expect("deleted /a/b", "deleted /a");
        eventually("only the root is left", () -> cache.size() == 1);
    }

    @Test
    void aCuratorCacheCatchesUpAfterACut() throws Exception {
        make("a", "1");
        make("b", "1");
        Proxy proxy = closing(new Proxy(Server.shared()));
        CuratorCache cache = cache(curator(proxy.connectString()));
        assertEquals(3, cache.size());
        seen.clear();
        proxy.cut();
        zk.setData(root + "/a", bytes("2"), -1);
        zk.delete(root + "/b", -1);
        make("c", "1");
        proxy.mend();
        Set<String> caughtUp = new TreeSet<>();
        for (int i = 0; i < 3; i++) {
            caughtUp.add(seen.poll(30, SECONDS));
        }
        assertEquals(Set.of("changed /a 2", "deleted /b", "created /c"), caughtUp);
    }

    @Test
    @SuppressWarnings("deprecation")
    void aPathChildrenCacheFollowsTheChildren() throws Exception {
        make("a", "1");
        PathChildrenCache cache = closing(new PathChildrenCache(one, root, true));
        cache.start(StartMode.BUILD_INITIAL_CACHE);
        assertEquals("1", text(cache.getCurrentData(root + "/a").getData()));
        cache.getListenable()
                .addListener(
                        (c, e) -> {
                            if (e.getData() != null) {
                                seen.add(e.getType() + " " + name(e.getData().getPath()));
                            }
                        });
        make("b", "1");
        expect("CHILD_ADDED /b");
        zk.setData(root + "/a", bytes("2"), -1);
        expect("CHILD_UPDATED /a");
        assertEquals("2", text(cache.getCurrentData(root + "/a").getData()));
        zk.delete(root + "/a", -1);
        expect("CHILD_REMOVED /a");
        assertNull(cache.getCurrentData(root + "/a"));
    }

    @Test
    @SuppressWarnings("deprecation")
    void aTreeCacheFollowsATree() throws Exception {
        make("a", "1");
        TreeCache cache = closing(new TreeCache(one, root));
        cache.getListenable()
                .addListener(
                        (c, e) -> {
                            String path = e.getData() == null ? "" : name(e.getData().getPath());
                            seen.add(e.getType() + " " + path);
                        });
        cache.start();
        expect("NODE_ADDED ", "NODE_ADDED /a", "INITIALIZED ");
        make("a/b", "1");
        expect("NODE_ADDED /a/b");
        zk.setData(root + "/a/b", bytes("2"), -1);
        expect("NODE_UPDATED /a/b");
        zk.delete(root + "/a/b", -1);
        expect("NODE_REMOVED /a/b");
        assertEquals(Set.of("a"), cache.getCurrentChildren(root).keySet());
    }

    @Test
    @SuppressWarnings("deprecation")
    void aNodeCacheFollowsOneNode() throws Exception {
        NodeCache cache = closing(new NodeCache(one, root + "/a"));
        cache.getListenable()
                .addListener(
                        () -> {
                            var data = cache.getCurrentData();
                            seen.add(data == null ? "gone" : text(data.getData()));
                        });
        cache.start(true);
        assertNull(cache.getCurrentData());
        make("a", "1");
        expect("1");
        zk.setData(root + "/a", bytes("2"), -1);
        expect("2");
        zk.delete(root + "/a", -1);
        expect("gone");
    }

    @Test
    void aPersistentWatcherSurvivesExpiry() throws Exception {
        PersistentWatcher watcher = closing(new PersistentWatcher(one, root, true));
        CountDownLatch twice = new CountDownLatch(2);
        watcher.getResetListenable().addListener(twice::countDown);
        watcher.getListenable()
                .addListener(
                        e -> {
                            if (e.getPath() != null) {
                                seen.add(e.getType() + " " + name(e.getPath()));
                            }
                        });
        watcher.start();
        eventually("it watches", () -> twice.getCount() == 1);
        make("a", "");
        expect("NodeCreated /a");
        expire(one);
        assertTrue(twice.await(30, SECONDS), "it watches again");
        zk.delete(root + "/a", -1);
        expect("NodeDeleted /a");
    }
}
