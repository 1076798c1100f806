// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.junit.jupiter.api.Test;

/** Curator's leader elections and locks. */
class CuratorLockTest extends CuratorTest {
    @Test
    void aLeaderLatchHasOneLeaderAndAnHeir() throws Exception {
        LeaderLatch first = new LeaderLatch(one, root + "/latch", "first");
        LeaderLatch second = closing(new LeaderLatch(two, root + "/latch", "second"));
        first.start();
        assertTrue(first.await(20, SECONDS));
        second.start();
        eventually("both are in", () -> first.getParticipants().size() == 2);
        assertFalse(second.hasLeadership());
        assertEquals("first", second.getLeader().getId());
        first.close();
        assertTrue(second.await(20, SECONDS));
        assertEquals("second", second.getLeader().getId());
    }

    @Test
    void aLeaderWhoseSessionEndsIsReplaced() throws Exception {
        LeaderLatch first = closing(new LeaderLatch(one, root + "/latch", "first"));
        LeaderLatch second = closing(new LeaderLatch(two, root + "/latch", "second"));
        first.start();
        assertTrue(first.await(20, SECONDS));
        second.start();
        eventually("both are in", () -> first.getParticipants().size() == 2);
        expire(one);
        assertTrue(second.await(20, SECONDS));
        eventually("the old one knows", () -> !first.hasLeadership());
        eventually("and stands again", () -> second.getParticipants().size() == 2);
    }

    @Test
    void leaderSelectorsTakeTurns() throws Exception {
        LinkedBlockingQueue<String> terms = new LinkedBlockingQueue<>();
        AtomicInteger leading = new AtomicInteger();
        for (CuratorFramework client : List.of(one, two)) {
            String name = client == one ? "one" : "two";
            LeaderSelector selector =
                    closing(
                            new LeaderSelector(
                                    client,
                                    root + "/select",
                                    new LeaderSelectorListenerAdapter() {
                                        @Override
                                        public void takeLeadership(CuratorFramework c) {
                                            assertEquals(1, leading.incrementAndGet());
                                            Server.pause(50);
                                            leading.decrementAndGet();
                                            terms.add(name);
                                        }
                                    }));
            selector.autoRequeue();
            selector.start();
        }
        // While the first leads alone it may follow itself; once both wait they alternate.
        List<String> order = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            order.add(terms.poll(20, SECONDS));
        }
        assertTrue(order.containsAll(List.of("one", "two")), order.toString());
        assertEquals(0, order.lastIndexOf(order.get(7)) - 7);
        assertTrue(!order.get(6).equals(order.get(7)), order.toString());
    }

    @Test
    void aMutexExcludes() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        int[] unguarded = {0};
        List<Future<Void>> workers = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two, one, two)) {
            workers.add(
                    inThread(
                            () -> {
                                InterProcessMutex mutex =
                                        new InterProcessMutex(client, root + "/mutex");
                                for (int i = 0; i < 15; i++) {
                                    mutex.acquire();
                                    assertEquals(1, inside.incrementAndGet());
                                    unguarded[0]++;
                                    inside.decrementAndGet();
                                    mutex.release();
                                }
                                return null;
                            }));
        }
        for (Future<Void> worker : workers) {
            worker.get(40, SECONDS);
        }
        assertEquals(60, unguarded[0]);
    }

    @Test
    void aMutexIsReentrantAndItsContainerIsSwept() throws Exception {
        InterProcessMutex mine = new InterProcessMutex(one, root + "/mutex");
        InterProcessMutex theirs = new InterProcessMutex(two, root + "/mutex");
        mine.acquire();
        mine.acquire();
        mine.release();
        assertFalse(theirs.acquire(200, MILLISECONDS));
        mine.release();
        assertTrue(theirs.acquire(20, SECONDS));
        theirs.release();
        eventually("the container is swept", () -> stat(root + "/mutex") == null);
    }

    @Test
    void aMutexIsFreedWhenItsHoldersSessionEnds() throws Exception {
        new InterProcessMutex(one, root + "/mutex").acquire();
        InterProcessMutex theirs = new InterProcessMutex(two, root + "/mutex");
        assertFalse(theirs.acquire(200, MILLISECONDS));
        expire(one);
        assertTrue(theirs.acquire(20, SECONDS));
    }

    @Test
    void readersShareAndWritersDoNot() throws Exception {
        var first = new InterProcessReadWriteLock(one, root + "/rw");
        var second = new InterProcessReadWriteLock(two, root + "/rw");
        first.readLock().acquire();
        assertTrue(second.readLock().acquire(20, SECONDS));
        second.readLock().release();
        assertFalse(second.writeLock().acquire(200, MILLISECONDS));
        first.readLock().release();
        assertTrue(second.writeLock().acquire(20, SECONDS));
        assertFalse(first.readLock().acquire(200, MILLISECONDS));
        assertTrue(second.readLock().acquire(20, SECONDS), "a writer may also read");
        second.writeLock().release();
        assertTrue(first.readLock().acquire(20, SECONDS));
    }

    @Test
    void aSemaphoreHasSoManyLeases() throws Exception {
        var mine = new InterProcessSemaphoreV2(one, root + "/semaphore", 3);
        var theirs = new InterProcessSemaphoreV2(two, root + "/semaphore", 3);
        List<Lease> leases = new ArrayList<>(mine.acquire(2));
        leases.add(theirs.acquire(20, SECONDS));
        assertNull(theirs.acquire(300, MILLISECONDS));
        assertEquals(3, theirs.getParticipantNodes().size());
        mine.returnLease(leases.get(0));
        Lease again = theirs.acquire(20, SECONDS);
        assertNotNull(again);
    }

    @Test
    void aSemaphoreMutexExcludesAcrossThreads() throws Exception {
        var mine = new InterProcessSemaphoreMutex(one, root + "/sm");
        var theirs = new InterProcessSemaphoreMutex(two, root + "/sm");
        mine.acquire();
        assertFalse(theirs.acquire(200, MILLISECONDS));
        inThread(
                        () -> {
                            mine.release();
                            return null;
                        })
                .get(20, SECONDS);
        assertTrue(theirs.acquire(20, SECONDS));
    }

    @Test
    void aMultiLockTakesAllOrNone() throws Exception {
        List<String> paths = List.of(root + "/a", root + "/b");
        InterProcessMutex other = new InterProcessMutex(two, root + "/b");
        InterProcessMultiLock both = new InterProcessMultiLock(one, paths);
        other.acquire();
        assertFalse(both.acquire(300, MILLISECONDS));
        assertTrue(new InterProcessMutex(two, root + "/a").acquire(20, SECONDS));
    }

    @Test
    void waitersAreServedInTheOrderTheyCame() throws Exception {
        InterProcessMutex holder = new InterProcessMutex(one, root + "/fair");
        holder.acquire();
        LinkedBlockingQueue<Integer> served = new LinkedBlockingQueue<>();
        CountDownLatch done = new CountDownLatch(5);
        for (int i = 0; i < 5; i++) {
            int place = i;
            inThread(
                    () -> {
                        InterProcessMutex mutex = new InterProcessMutex(two, root + "/fair");
                        mutex.acquire();
                        served.add(place);
                        mutex.release();
                        done.countDown();
                        return null;
                    });
            eventually("it waits", () -> stat(root + "/fair").getNumChildren() == place + 2);
        }
        holder.release();
        assertTrue(done.await(20, SECONDS));
        assertEquals(List.of(0, 1, 2, 3, 4), new ArrayList<>(served));
    }
}
