// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/** A watcher that remembers: node events as "NodeCreated /path", session events as "Expired". */
final class Events implements Watcher {
    private final LinkedBlockingQueue<WatchedEvent> seen = new LinkedBlockingQueue<>();
    private final boolean nodes;

    private Events(boolean nodes) {
        this.nodes = nodes;
    }

    /** Remembers node events only. */
    static Events ofNodes() {
        return new Events(true);
    }

    /** Remembers changes of the session's state only. */
    static Events ofSession() {
        return new Events(false);
    }

    @Override
    public void process(WatchedEvent event) {
        if (nodes == (event.getType() != Event.EventType.None)) {
            seen.add(event);
        }
    }

    private static String text(WatchedEvent event) {
        return event.getType() == Event.EventType.None
                ? event.getState().toString()
                : event.getType() + " " + event.getPath();
    }

    WatchedEvent nextEvent() throws InterruptedException {
        WatchedEvent event = seen.poll(20, TimeUnit.SECONDS);
        assertNotNull(event, "an event within 20 seconds");
        return event;
    }

    void expect(String... wanted) throws InterruptedException {
        for (String one : wanted) {
            assertEquals(one, text(nextEvent()));
        }
    }

    /** Skips to the given event. */
    void await(String wanted) throws InterruptedException {
        while (!text(nextEvent()).equals(wanted)) {
            continue;
        }
    }

    /** All that came, once everything the server sent before now was delivered. */
    List<String> drain(ZooKeeper zk) throws InterruptedException {
        CountDownLatch delivered = new CountDownLatch(1);
        zk.sync("/", (rc, path, ctx) -> delivered.countDown(), null);
        assertEquals(true, delivered.await(20, TimeUnit.SECONDS), "the client answers");
        List<WatchedEvent> events = new ArrayList<>();
        seen.drainTo(events);
        return events.stream().map(Events::text).toList();
    }

    void expectNone(ZooKeeper zk) throws InterruptedException {
        assertEquals(List.of(), drain(zk));
    }
}
