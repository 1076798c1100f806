// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.zookeeper.CreateMode;
import org.junit.jupiter.api.Test;

/** Curator's barriers, counters, queues, groups and service discovery. */
class CuratorRecipeTest extends CuratorTest {
    @Test
    void aBarrierHoldsUntilItIsLifted() throws Exception {
        DistributedBarrier barrier = new DistributedBarrier(one, root + "/barrier");
        barrier.setBarrier();
        DistributedBarrier waiting = new DistributedBarrier(two, root + "/barrier");
        assertFalse(waiting.waitOnBarrier(200, MILLISECONDS));
        Future<Boolean> through = inThread(() -> waiting.waitOnBarrier(20, SECONDS));
        barrier.removeBarrier();
        assertTrue(through.get(20, SECONDS));
        assertTrue(waiting.waitOnBarrier(20, SECONDS));
    }

    @Test
    void aDoubleBarrierIsEnteredAndLeftTogether() throws Exception {
        var first = new DistributedDoubleBarrier(one, root + "/double", 2);
        var second = new DistributedDoubleBarrier(two, root + "/double", 2);
        Future<Boolean> entered = inThread(() -> first.enter(20, SECONDS));
        assertTrue(second.enter(20, SECONDS));
        assertTrue(entered.get(20, SECONDS));
        Future<Boolean> left = inThread(() -> first.leave(20, SECONDS));
        assertTrue(second.leave(20, SECONDS));
        assertTrue(left.get(20, SECONDS));
    }

    @Test
    void aSharedCountIsSeenByAllAndSetByVersion() throws Exception {
        SharedCount mine = closing(new SharedCount(one, root + "/count", 7));
        SharedCount theirs = closing(new SharedCount(two, root + "/count", 7));
        LinkedBlockingQueue<Integer> heard = new LinkedBlockingQueue<>();
        theirs.addListener(
                new SharedCountListener() {
                    @Override
                    public void countHasChanged(SharedCountReader reader, int count) {
                        heard.add(count);
                    }

                    @Override
                    public void stateChanged(CuratorFramework client, ConnectionState state) {}
                });
        mine.start();
        theirs.start();
        assertEquals(7, theirs.getCount());
        var stale = mine.getVersionedValue();
        assertTrue(mine.trySetCount(stale, 8));
        assertEquals(8, heard.poll(20, SECONDS));
        assertFalse(mine.trySetCount(stale, 9));
        assertEquals(8, mine.getCount());
    }

    @Test
    void anAtomicLongLosesNoIncrement() throws Exception {
        List<Future<Void>> workers = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two)) {
            workers.add(
                    inThread(
                            () -> {
                                var number =
                                        new DistributedAtomicLong(
                                                client, root + "/long", new RetryNTimes(200, 1));
                                for (int i = 0; i < 50; i++) {
                                    assertTrue(number.increment().succeeded());
                                }
                                return null;
                            }));
        }
        for (Future<Void> worker : workers) {
            worker.get(40, SECONDS);
        }
        AtomicValue<Long> value =
                new DistributedAtomicLong(one, root + "/long", new RetryNTimes(1, 1)).get();
        assertEquals(100L, value.postValue());
    }

    @Test
    void aQueueKeepsItsOrder() throws Exception {
        SimpleDistributedQueue in = new SimpleDistributedQueue(one, root + "/queue");
        SimpleDistributedQueue out = new SimpleDistributedQueue(two, root + "/queue");
        Future<byte[]> waiting = inThread(() -> out.poll(20, SECONDS));
        for (int i = 0; i < 20; i++) {
            assertTrue(in.offer(bytes("item " + i)));
        }
        assertEquals("item 0", text(waiting.get(20, SECONDS)));
        for (int i = 1; i < 20; i++) {
            assertEquals("item " + i, text(out.take()));
        }
        assertEquals(null, out.poll());
    }

    @Test
    void groupMembersComeAndGo() throws Exception {
        GroupMember first = closing(new GroupMember(one, root + "/group", "first", bytes("1")));
        GroupMember second = new GroupMember(two, root + "/group", "second", bytes("2"));
        first.start();
        second.start();
        eventually("both", () -> first.getCurrentMembers().size() == 2);
        eventually("data", () -> text(first.getCurrentMembers().get("second")).equals("2"));
        second.close();
        eventually("one left", () -> first.getCurrentMembers().keySet().equals(Set.of("first")));
    }

    @Test
    void aPersistentNodeReturnsWithANewSession() throws Exception {
        PersistentNode node =
                closing(
                        new PersistentNode(
                                one, CreateMode.EPHEMERAL, false, root + "/p", bytes("x")));
        node.start();
        assertTrue(node.waitForInitialCreate(20, SECONDS));
        long owner = stat(root + "/p").getEphemeralOwner();
        expire(one);
        eventually(
                "made again",
                () -> {
                    var now = stat(root + "/p");
                    return now != null && now.getEphemeralOwner() != owner;
                });
        zk.delete(root + "/p", -1);
        eventually("made again after a deletion", () -> stat(root + "/p") != null);
    }

    @Test
    void aPersistentTtlNodeLivesWhileItIsTouched() throws Exception {
        PersistentTtlNode node = new PersistentTtlNode(one, root + "/ttl", 1500, bytes("x"));
        node.start();
        assertTrue(node.waitForInitialCreate(20, SECONDS));
        Server.pause(3500);
        assertNotNull(stat(root + "/ttl"));
        node.close();
        eventually("untouched, it dies", () -> stat(root + "/ttl") == null);
    }

    private ServiceDiscovery<String> discovery(CuratorFramework client) throws Exception {
        ServiceDiscovery<String> discovery =
                closing(
                        ServiceDiscoveryBuilder.builder(String.class)
                                .client(client)
                                .basePath(root + "/services")
                                .build());
        discovery.start();
        return discovery;
    }

    private static ServiceInstance<String> instance(String id, int port) throws Exception {
        return ServiceInstance.<String>builder()
                .name("shop")
                .id(id)
                .address("127.0.0.1")
                .port(port)
                .payload("on " + port)
                .build();
    }

    @Test
    void servicesAreFoundAndForgotten() throws Exception {
        ServiceDiscovery<String> provider = discovery(one);
        ServiceDiscovery<String> consumer = discovery(two);
        var first = instance("a", 1001);
        provider.registerService(first);
        provider.registerService(instance("b", 1002));
        assertEquals(List.of("shop"), List.copyOf(consumer.queryForNames()));
        assertEquals(2, consumer.queryForInstances("shop").size());
        assertEquals("on 1002", consumer.queryForInstance("shop", "b").getPayload());
        provider.unregisterService(first);
        assertEquals(1, consumer.queryForInstances("shop").size());
        expire(one);
        eventually("registered again", () -> consumer.queryForInstances("shop").size() == 1);
    }

    @Test
    void aServiceCacheAndAProviderFollow() throws Exception {
        ServiceDiscovery<String> provider = discovery(one);
        ServiceDiscovery<String> consumer = discovery(two);
        ServiceCache<String> cache =
                closing(consumer.serviceCacheBuilder().name("shop").build());
        cache.start();
        ServiceProvider<String> choice =
                closing(consumer.serviceProviderBuilder().serviceName("shop").build());
        choice.start();
        provider.registerService(instance("a", 1001));
        provider.registerService(instance("b", 1002));
        eventually("cached", () -> cache.getInstances().size() == 2);
        eventually("provided", () -> choice.getAllInstances().size() == 2);
        Set<String> chosen =
                Set.of(choice.getInstance().getId(), choice.getInstance().getId());
        assertEquals(Set.of("a", "b"), chosen, "round robin");
    }
}
