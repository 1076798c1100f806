// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.function.Executable;

/** A test with one connected client and a node of its own, on the shared server. */
abstract class ClientTest {
    static final int TIMEOUT = 30_000;
    static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    private final List<AutoCloseable> open = new ArrayList<>();
    ZooKeeper zk;
    String root;

    @BeforeEach
    void openClient() throws Exception {
        zk = connect();
        root = zk.create("/java-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
    }

    @AfterEach
    void closeAll() throws Exception {
        Collections.reverse(open);
        for (AutoCloseable one : open) {
            one.close();
        }
    }

    <T extends AutoCloseable> T closing(T resource) {
        open.add(resource);
        return resource;
    }

    String connectString() {
        return Server.shared().connectString();
    }

    ZooKeeper connect() throws Exception {
        return connect(connectString(), TIMEOUT);
    }

    ZooKeeper connect(String hosts, int timeout) throws Exception {
        Events session = Events.ofSession();
        ZooKeeper client = closing(new ZooKeeper(hosts, timeout, session));
        session.expect("SyncConnected");
        return client;
    }

    /** Creates a persistent node below the test's own. */
    String make(String name, String data) throws Exception {
        return zk.create(root + "/" + name, bytes(data), OPEN, CreateMode.PERSISTENT);
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] data) {
        return data == null ? null : new String(data, StandardCharsets.UTF_8);
    }

    Stat stat(String path) throws Exception {
        return zk.exists(path, false);
    }

    static Code codeOf(Executable operation) {
        return assertThrows(KeeperException.class, operation).code();
    }

    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                fail("not within 20 seconds: " + what);
            }
            Server.pause(20);
        }
    }
}
